import { ProtocolError } from '../errors.js';
import type { Call, RequestOptions, Transport } from '../transport.js';
import type { NewScopeName, ScopeName } from '../types.js';

/** Names of scopes, as principals read them on the consent page and on their own page. */
export class ScopeNames {
  readonly #transport: Transport;

  /** @internal */
  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * Names scopes; scopes that the request does not list keep their names.
   *
   * @example
   * ```ts
   * await grantex.scopeNames.set({ scopes: [{ scope: 'calendar:read', name: 'Read your calendar' }] });
   * ```
   */
  set(request: { scopes: NewScopeName[] }, options?: RequestOptions): Promise<ScopeName[]> {
    return this.#names({ method: 'PUT', path: '/v1/scopes', body: request }, options);
  }

  /** All scopes that have a name, 500 at most. */
  list(options?: RequestOptions): Promise<ScopeName[]> {
    return this.#names({ method: 'GET', path: '/v1/scopes' }, options);
  }

  /** Removes a scope's name. Grants do not change. */
  remove(scope: string, options?: RequestOptions): Promise<void> {
    return this.#transport.done(
      { method: 'DELETE', path: '/v1/scopes', query: { scope } },
      options,
    );
  }

  async #names(call: Call, options?: RequestOptions): Promise<ScopeName[]> {
    const { scopes } = await this.#transport.json<{ scopes: ScopeName[] }>(call, options);
    if (!Array.isArray(scopes))
      throw new ProtocolError('the answer has no scopes: is the base URL right?');
    return scopes;
  }
}
