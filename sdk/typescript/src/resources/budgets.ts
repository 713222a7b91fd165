import { List, type ListParams } from '../page.js';
import { type CreateOptions, type RequestOptions, segment, type Transport } from '../transport.js';
import type {
  AllocateRequest,
  AmountInput,
  Budget,
  DebitRequest,
  DebitResponse,
  Transaction,
} from '../types.js';

/** Budgets and debits. */
export class Budgets {
  readonly #transport: Transport;

  /** @internal */
  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * Allocates a budget to a grant.
   *
   * @example
   * ```ts
   * await grantex.budgets.allocate({ grantId, initialBudget: '100' }); const { remaining } = await
   * grantex.budgets.debit({ grantId, amount: '12.50', description: 'a train' });
   * ```
   */
  async allocate(request: AllocateRequest, options?: CreateOptions): Promise<Budget> {
    checkAmount(request.initialBudget);
    const call = { method: 'POST', path: '/v1/budget/allocate', body: request, creates: true };
    return this.#transport.json(call, options);
  }

  /**
   * Debits an amount, all or nothing. Retries do not debit again: all tries have the same
   * idempotency key.
   */
  async debit(request: DebitRequest, options?: CreateOptions): Promise<DebitResponse> {
    checkAmount(request.amount);
    const call = { method: 'POST', path: '/v1/budget/debit', body: request, creates: true };
    return this.#transport.json(call, options);
  }

  /** A grant's budget. */
  get(grantId: string, options?: RequestOptions): Promise<Budget> {
    return this.#transport.json(
      { method: 'GET', path: `/v1/budget/balance/${segment(grantId)}` },
      options,
    );
  }

  /** The budgets, newest first. */
  list(params: ListParams = {}, options?: RequestOptions): List<Budget> {
    return new List(params.after, async (after) => {
      type Answer = { allocations: Budget[]; nextCursor: string | null };
      const call = { method: 'GET', path: '/v1/budget/allocations', query: { ...params, after } };
      const { allocations, nextCursor } = await this.#transport.json<Answer>(call, options);
      return { items: allocations, nextCursor };
    });
  }

  /** A grant's debits, newest first. */
  transactions(
    grantId: string,
    params: ListParams = {},
    options?: RequestOptions,
  ): List<Transaction> {
    return new List(params.after, async (after) => {
      type Answer = { transactions: Transaction[]; total: number; nextCursor: string | null };
      const path = `/v1/budget/transactions/${segment(grantId)}`;
      const call = { method: 'GET', path, query: { ...params, after } };
      const { transactions, total, nextCursor } = await this.#transport.json<Answer>(call, options);
      return { items: transactions, total, nextCursor };
    });
  }
}

/** JSON would encode these as `null`. */
function checkAmount(amount: AmountInput): void {
  if (typeof amount === 'number' && !Number.isFinite(amount)) {
    throw new RangeError(`an amount is a finite number or a decimal string, not ${amount}`);
  }
}
