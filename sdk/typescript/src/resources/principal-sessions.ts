import { List, type ListParams } from '../page.js';
import { type RequestOptions, segment, type Transport } from '../transport.js';
import type {
  CreatedPrincipalSession,
  PrincipalSession,
  PrincipalSessionRequest,
} from '../types.js';

/** Which sessions. */
export interface PrincipalSessionListParams extends ListParams {
  /** Only this principal's. */
  principalId?: string | undefined;
}

/** Sessions in which principals see and revoke their own grants. */
export class PrincipalSessions {
  readonly #transport: Transport;

  /** @internal */
  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * Opens a session. Anyone who has its token or its link has the session.
   *
   * @example
   * ```ts
   * const session = await grantex.principalSessions.create({ principalId: 'user-123', expiresIn: '10m' });
   * console.log(`send the principal to ${session.dashboardUrl}`);
   * ```
   */
  create(
    request: PrincipalSessionRequest,
    options?: RequestOptions,
  ): Promise<CreatedPrincipalSession> {
    return this.#transport.json(
      { method: 'POST', path: '/v1/principal-sessions', body: request },
      options,
    );
  }

  /** The open sessions, without their tokens, newest first. */
  list(params: PrincipalSessionListParams = {}, options?: RequestOptions): List<PrincipalSession> {
    return new List(params.after, async (after) => {
      type Answer = { sessions: PrincipalSession[]; nextCursor: string | null };
      const call = { method: 'GET', path: '/v1/principal-sessions', query: { ...params, after } };
      const { sessions, nextCursor } = await this.#transport.json<Answer>(call, options);
      return { items: sessions, nextCursor };
    });
  }

  /** Ends a session: its token and its page stop working at once. */
  end(sessionId: string, options?: RequestOptions): Promise<void> {
    const path = `/v1/principal-sessions/${segment(sessionId)}`;
    return this.#transport.done({ method: 'DELETE', path }, options);
  }

  /** Ends all open sessions of a principal; having none is no error. */
  endAll(principalId: string, options?: RequestOptions): Promise<void> {
    const call = { method: 'DELETE', path: '/v1/principal-sessions', query: { principalId } };
    return this.#transport.done(call, options);
  }
}
