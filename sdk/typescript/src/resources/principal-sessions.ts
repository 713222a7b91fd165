import type { RequestOptions, Transport } from '../transport.js';
import type { PrincipalSession, PrincipalSessionRequest } from '../types.js';

/** Sessions in which principals see and revoke their own grants. */
export class PrincipalSessions {
  readonly #transport: Transport;

  /** @internal */
  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Opens a session. */
  create(request: PrincipalSessionRequest, options?: RequestOptions): Promise<PrincipalSession> {
    return this.#transport.json(
      { method: 'POST', path: '/v1/principal-sessions', body: request },
      options,
    );
  }
}
