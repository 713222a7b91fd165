import { type CreateOptions, type RequestOptions, segment, type Transport } from '../transport.js';
import type { Approval, AuthorizeRequest, AuthorizeResponse, Denial } from '../types.js';

/** Authorization requests. */
export class Authorizations {
  readonly #transport: Transport;

  /** @internal */
  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Asks a principal for consent; the same as `grantex.authorize`. */
  create(request: AuthorizeRequest, options?: CreateOptions): Promise<AuthorizeResponse> {
    const call = { method: 'POST', path: '/v1/authorize', body: request, creates: true };
    return this.#transport.json(call, options);
  }

  /** Approves a pending request in the principal's place; only in a sandbox. */
  approve(authRequestId: string, options?: RequestOptions): Promise<Approval> {
    const path = `/v1/authorize/${segment(authRequestId)}/approve`;
    return this.#transport.json({ method: 'POST', path, unsafe: true }, options);
  }

  /** Denies a pending request in the principal's place; only in a sandbox. */
  deny(authRequestId: string, options?: RequestOptions): Promise<Denial> {
    const path = `/v1/authorize/${segment(authRequestId)}/deny`;
    return this.#transport.json({ method: 'POST', path, unsafe: true }, options);
  }
}
