import { ConfigurationError } from '../errors.js';
import { checkOptions } from '../options.js';
import type { CreateOptions, RequestOptions, Transport, VerifyOptions } from '../transport.js';
import type {
  Claims,
  ExchangeRequest,
  RefreshRequest,
  TokenResponse,
  TokenVerification,
} from '../types.js';
import type { Verifier } from '../verify.js';

/** The prefix of every authorization code. */
const CODE_PREFIX = 'gxc_';

/** Grant tokens. */
export class Tokens {
  readonly #transport: Transport;
  readonly #verifier: Verifier;

  /** @internal */
  constructor(transport: Transport, verifier: Verifier) {
    this.#transport = transport;
    this.#verifier = verifier;
  }

  /**
   * Exchanges the code of an approved request for a grant and its first token. A code that does not
   * begin with `gxc_` throws a {@link ConfigurationError} before a request is made.
   */
  async exchange(request: ExchangeRequest, options?: CreateOptions): Promise<TokenResponse> {
    // In JavaScript it may be the `undefined` of a request that waits for its principal.
    if (!String(request.code).startsWith(CODE_PREFIX)) {
      throw new ConfigurationError(
        `the authorization code does not begin with ${CODE_PREFIX}: give the \`code\` of the redirect, or in a sandbox that of the request`,
      );
    }
    return this.#transport.json(
      { method: 'POST', path: '/v1/token', body: request, creates: true },
      options,
    );
  }

  /** A new token of the same grant for a refresh token, which can be used once. */
  refresh(request: RefreshRequest, options?: CreateOptions): Promise<TokenResponse> {
    const call = { method: 'POST', path: '/v1/token/refresh', body: request, creates: true };
    return this.#transport.json(call, options);
  }

  /**
   * Asks the service whether a token is valid; it sees revocations at once. Give the `audience`
   * that you are, or compare `aud` of the answer yourself.
   */
  async verify(token: string, given: VerifyOptions = {}): Promise<TokenVerification> {
    checkOptions('tokens.verify', given);
    const { audience, ...options } = given;
    const call = { method: 'POST', path: '/v1/tokens/verify', body: { token, audience } };
    return this.#transport.json(call, options);
  }

  /**
   * Checks a token without asking the service: signature, type, expiry, developer, audience, and
   * the issuer if one is set. Throws {@link InvalidTokenError}. One key set signs the tokens of all
   * developers, so `dev` is always compared with your own developer id. A token that names an
   * audience is valid for that audience only.
   *
   * It does not see revocations before the token expires: where they must count at once, use
   * {@link verify} or follow `grant.revoked`. The service's public keys are fetched every hour, and
   * when a token names a new one. A server that has no API key uses a {@link TokenVerifier}.
   *
   * @example
   * ```ts
   * const claims = await grantex.tokens.verifyOffline(token, { audience: 'https://api.example' });
   * if (!claims.scp.includes('calendar:read')) throw new Error('not allowed');
   * ```
   */
  async verifyOffline(
    token: string,
    options: { audience?: string | undefined } = {},
  ): Promise<Claims> {
    checkOptions('tokens.verifyOffline', options);
    return this.#verifier.verify(token, options.audience);
  }

  /** Revokes a token by its `jti`; the grant stays. */
  revoke(tokenId: string, options?: RequestOptions): Promise<void> {
    return this.#transport.done(
      { method: 'POST', path: '/v1/tokens/revoke', body: { jti: tokenId } },
      options,
    );
  }
}
