import { ConfigurationError } from '../errors.js';
import type { CreateOptions, RequestOptions, Transport, VerifyOptions } from '../transport.js';
import type {
  Claims,
  ExchangeRequest,
  RefreshRequest,
  TokenResponse,
  TokenVerification,
} from '../types.js';
import type { Verifier } from '../verify.js';

/** What every authorization code begins with. */
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
   * Exchanges the code of an approved request for a grant and its first token. What does not begin
   * with `gxc_` is no code: it is a {@link ConfigurationError}, and no request is made.
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

  /** A new token of the same grant for a refresh token, which is good for one use. */
  refresh(request: RefreshRequest, options?: CreateOptions): Promise<TokenResponse> {
    const call = { method: 'POST', path: '/v1/token/refresh', body: request, creates: true };
    return this.#transport.json(call, options);
  }

  /**
   * Asks the service whether a token is in force: sees revocations at once. Say who you are as
   * `audience`, or compare `aud` of the answer yourself.
   */
  verify(token: string, { audience, ...options }: VerifyOptions = {}): Promise<TokenVerification> {
    const call = { method: 'POST', path: '/v1/tokens/verify', body: { token, audience } };
    return this.#transport.json(call, options);
  }

  /**
   * Checks a token without asking the service: signature, times, developer, issuer, audience.
   * Throws {@link InvalidTokenError}. One key set signs the tokens of all developers, so `dev` is
   * always compared with your own developer id.
   *
   * It does not see revocations: where they must count at once, use {@link verify}, or follow
   * `grant.revoked`. The service's public keys are fetched once and again when a token names a new
   * one, so that keys can be rotated. A token that names an audience is valid for that audience
   * only.
   *
   * @example
   * ```ts
   * const claims = await grantex.tokens.verifyOffline(token, { audience: 'https://api.example' });
   * if (!claims.scp.includes('calendar:read')) throw new Error('not allowed');
   * ```
   */
  verifyOffline(token: string, options: { audience?: string | undefined } = {}): Promise<Claims> {
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
