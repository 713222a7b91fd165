import { checkOptions } from '../options.js';
import { List, type ListParams } from '../page.js';
import { Started } from '../started.js';
import {
  type CreateOptions,
  type RequestOptions,
  segment,
  type Transport,
  type VerifyOptions,
} from '../transport.js';
import type {
  DelegateRequest,
  Grant,
  GrantStatus,
  GrantVerification,
  TokenResponse,
} from '../types.js';

/** A selection of grants. */
export interface GrantListParams extends ListParams {
  agentId?: string | undefined;
  principalId?: string | undefined;
  status?: GrantStatus | undefined;
}

/** Grants. */
export class Grants {
  readonly #transport: Transport;
  readonly #onError: (error: unknown) => void;

  /** @internal */
  constructor(transport: Transport, onError: (error: unknown) => void) {
    this.#transport = transport;
    this.#onError = onError;
  }

  /**
   * The grants, newest first.
   *
   * @example
   * ```ts
   * for await (const grant of grantex.grants.list({ principalId: 'user-123', status: 'active' })) {
   *   console.log(grant.grantId, grant.scopes);
   * }
   * ```
   */
  list(params: GrantListParams = {}, options?: RequestOptions): List<Grant> {
    return new List(params.after, async (after) => {
      const call = { method: 'GET', path: '/v1/grants', query: { ...params, after } };
      const { grants, nextCursor } = await this.#transport.json<{
        grants: Grant[];
        nextCursor: string | null;
      }>(call, options);
      return { items: grants, nextCursor };
    });
  }

  /** One grant. */
  get(grantId: string, options?: RequestOptions): Promise<Grant> {
    return this.#transport.json({ method: 'GET', path: `/v1/grants/${segment(grantId)}` }, options);
  }

  /**
   * Revokes a grant and every grant below it. Throws {@link NotFoundError} when it does not exist
   * or is revoked already.
   *
   * It need not be awaited: a failure that nobody awaits goes to the client's `onError` and never
   * ends the process.
   */
  revoke(grantId: string, options?: RequestOptions): Promise<void> {
    const done = this.#transport.done(
      { method: 'DELETE', path: `/v1/grants/${segment(grantId)}` },
      options,
    );
    return Started.watch(done, this.#onError);
  }

  /** Delegates scopes of a grant to another agent. */
  delegate(request: DelegateRequest, options?: CreateOptions): Promise<TokenResponse> {
    const call = { method: 'POST', path: '/v1/grants/delegate', body: request, creates: true };
    return this.#transport.json(call, options);
  }

  /**
   * Asks the service whether a token's grant is in force, and if not, why. With `audience`, also
   * whether the token is for that audience.
   */
  async verify(token: string, given: VerifyOptions = {}): Promise<GrantVerification> {
    checkOptions('grants.verify', given);
    const { audience, ...options } = given;
    const call = { method: 'POST', path: '/v1/grants/verify', body: { token, audience } };
    return this.#transport.json(call, options);
  }
}
