import { List, type ListParams } from '../page.js';
import type { RequestOptions, Transport } from '../transport.js';
import type { AuditEntry } from '../types.js';

/**
 * The audit trail: who changed what outside the event log, such as API keys, principals' sessions
 * and names of scopes.
 */
export class Audit {
  readonly #transport: Transport;

  /** @internal */
  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * The entries, newest first.
   *
   * @example
   * ```ts
   * for await (const entry of grantex.audit.list()) {
   *   console.log(entry.createdAt, entry.action, entry.target, 'by', entry.actor.kind);
   * }
   * ```
   */
  list(params: ListParams = {}, options?: RequestOptions): List<AuditEntry> {
    return new List(params.after, async (after) => {
      type Answer = { entries: AuditEntry[]; nextCursor: string | null };
      const call = { method: 'GET', path: '/v1/audit/entries', query: { ...params, after } };
      const { entries, nextCursor } = await this.#transport.json<Answer>(call, options);
      return { items: entries, nextCursor };
    });
  }
}
