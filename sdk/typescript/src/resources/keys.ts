import { List, type ListParams } from '../page.js';
import { type RequestOptions, segment, type Transport } from '../transport.js';
import type { ApiKey, CreatedKey, RotatedKey } from '../types.js';

/** API keys. */
export class Keys {
  readonly #transport: Transport;

  /** @internal */
  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * Creates another key. Its secret is shown only once. The call is not retried where the key may
   * have been created.
   */
  create(request: { name: string }, options?: RequestOptions): Promise<CreatedKey> {
    return this.#transport.json(
      { method: 'POST', path: '/v1/keys', body: request, unsafe: true },
      options,
    );
  }

  /** The keys, without their secrets, newest first. */
  list(params: ListParams = {}, options?: RequestOptions): List<ApiKey> {
    return new List(params.after, async (after) => {
      const call = { method: 'GET', path: '/v1/keys', query: { ...params, after } };
      const { keys, nextCursor } = await this.#transport.json<{
        keys: ApiKey[];
        nextCursor: string | null;
      }>(call, options);
      return { items: keys, nextCursor };
    });
  }

  /** Revokes a key and ends its streams. */
  revoke(keyId: string, options?: RequestOptions): Promise<void> {
    return this.#transport.done({ method: 'DELETE', path: `/v1/keys/${segment(keyId)}` }, options);
  }

  /**
   * Replaces the key that makes this call. The old key stops working at once, so the call is not
   * retried where it may have taken effect: create a second key before you rotate one.
   */
  rotate(options?: RequestOptions): Promise<RotatedKey> {
    return this.#transport.json({ method: 'POST', path: '/v1/keys/rotate', unsafe: true }, options);
  }
}
