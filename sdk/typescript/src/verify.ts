import { webcrypto } from './crypto.js';
import { ConfigurationError, InvalidTokenError } from './errors.js';
import { checkOptions } from './options.js';
import { type ServiceOptions, settings } from './settings.js';
import { Transport } from './transport.js';
import type { Claims, Developer } from './types.js';

/** The age at which keys are fetched again: a key that the service withdrew stops working then. */
const KEYS_MAX_AGE_MS = 3_600_000;
/**
 * How long keys are used while the service cannot be reached: an outage of less than a day stops
 * no verification.
 */
const KEYS_MAX_AGE_IN_OUTAGE_MS = 24 * 3_600_000;
/**
 * The shortest time between two fetches for unknown keys, and after a failed fetch for old ones:
 * tokens with made-up key names cost the service nothing, and an outage delays no verification.
 */
const FETCH_PAUSE_MS = 10_000;
/** The clock difference between issuer and verifier that is tolerated. */
const LEEWAY_SECONDS = 5;
/** An access token of RFC 9068, or the older type. */
const TYPES = /^(application\/)?(at\+jwt|jwt)$/i;
const RS256 = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' };

type Json = Record<string, unknown>;

/** Settings of a {@link TokenVerifier}. */
export interface TokenVerifierOptions extends ServiceOptions {
  /**
   * The developer whose tokens are accepted. One key set signs the tokens of all developers, so a
   * good signature alone does not say that a token is yours.
   */
  developerId: string;
  /** The issuer that a token must have; any unless given. */
  issuer?: string | undefined;
}

/**
 * Checks grant tokens by the service's public keys, without asking the service about each, and
 * without an API key: for a server that accepts tokens and does nothing else.
 * `grantex.tokens.verifyOffline` is the same check.
 *
 * Checked: signature (RS256), type, expiry, developer, audience, and the issuer if one is given.
 * Not seen before the token expires: a revoked grant or token, a suspended agent or developer.
 * Where these must count at once, ask the service (`grantex.tokens.verify`) or follow
 * `grant.revoked`; both need an API key.
 *
 * @example
 * ```ts
 * const verifier = new TokenVerifier({ baseUrl: 'https://auth.example.com', developerId: 'dev_…' });
 * const claims = await verifier.verify(token, { audience: 'https://api.example' });
 * if (!claims.scp.includes('calendar:read')) throw new Error('not allowed');
 * ```
 */
export class TokenVerifier {
  readonly #verifier: Verifier;

  constructor({ developerId, issuer, ...options }: TokenVerifierOptions) {
    checkOptions('TokenVerifier', options);
    // In JavaScript it may be missing: the check of the developer must not be left out.
    if (!developerId) {
      throw new ConfigurationError(
        "no developerId: a verifier accepts the tokens of one developer, so give it that developer's id (`grantex.me()` shows yours)",
      );
    }
    this.#verifier = new Verifier(new Transport(settings(options)), developerId, issuer);
  }

  /**
   * The claims of a valid token. Throws {@link InvalidTokenError} for any other token, and another
   * error where the service's keys cannot be fetched. A token that names an audience is valid for
   * that audience only. The public keys are fetched every hour, and when a token names a new one.
   */
  async verify(token: string, options: { audience?: string | undefined } = {}): Promise<Claims> {
    checkOptions('TokenVerifier.verify', options);
    return this.#verifier.verify(token, options.audience);
  }
}

/** The check itself; it asks for the developer's id, with an API key, where none is given. */
export class Verifier {
  readonly #transport: Transport;
  readonly #issuer: string | undefined;
  #developerId: string | undefined;
  #keys = new Map<string, CryptoKey>();
  #fetchedAt = Number.NEGATIVE_INFINITY;
  #fetchedForUnknownAt = Number.NEGATIVE_INFINITY;
  #failedAt = Number.NEGATIVE_INFINITY;
  #fetching: Promise<void> | undefined;

  constructor(transport: Transport, developerId: string | undefined, issuer: string | undefined) {
    this.#transport = transport;
    this.#developerId = developerId;
    this.#issuer = issuer;
  }

  /** The claims of a valid token; throws {@link InvalidTokenError}. */
  async verify(token: string, audience: string | undefined): Promise<Claims> {
    // In JavaScript it may be the `undefined` of a missing header.
    if (typeof token !== 'string') {
      throw new InvalidTokenError(
        `it is ${token === null ? 'null' : typeof token}: pass the grant token as a string`,
      );
    }
    if (/^\s*bearer\s/i.test(token)) {
      throw new InvalidTokenError('it begins with "Bearer ": pass only what follows it');
    }
    const parts = token.split('.');
    const [head, body, signature] = parts;
    if (parts.length !== 3 || head === undefined || body === undefined || signature === undefined) {
      throw new InvalidTokenError('it does not have three parts');
    }
    const header = decode(head);
    // The token does not choose how it is checked.
    if (header.alg !== 'RS256') throw new InvalidTokenError('it is not signed with RS256');
    if (!TYPES.test(String(header.typ)))
      throw new InvalidTokenError('its type is neither at+jwt nor JWT');
    if (typeof header.kid !== 'string')
      throw new InvalidTokenError('its header names no key (kid)');
    const key = await this.#key(header.kid);
    const signed = new TextEncoder().encode(`${head}.${body}`);
    const { subtle } = await webcrypto();
    if (!(await subtle.verify(RS256, key, bytes(signature), signed))) {
      throw new InvalidTokenError('its signature is wrong');
    }
    const claims = decode(body);
    this.#check(claims, audience);
    this.#developerId ??= (
      await this.#transport.json<Developer>({ method: 'GET', path: '/v1/me' })
    ).developerId;
    if (claims.dev !== this.#developerId)
      throw new InvalidTokenError('it belongs to another developer');
    return claims as unknown as Claims;
  }

  #check(claims: Json, audience: string | undefined): void {
    const { exp, iss, aud, scp } = claims;
    if (typeof exp !== 'number') throw new InvalidTokenError('it has no expiry');
    if (exp + LEEWAY_SECONDS < Date.now() / 1000) throw new InvalidTokenError('it has expired');
    if (this.#issuer !== undefined && iss !== this.#issuer) {
      throw new InvalidTokenError(
        `its issuer is ${JSON.stringify(iss)}, not ${JSON.stringify(this.#issuer)}`,
      );
    }
    if (aud !== audience) {
      throw new InvalidTokenError(
        audience === undefined
          ? 'it is for an audience, and no audience was given to compare'
          : aud === undefined
            ? `it names no audience, and ${JSON.stringify(audience)} is required`
            : `its audience is ${JSON.stringify(aud)}, not ${JSON.stringify(audience)}`,
      );
    }
    const isText = (name: string): boolean => typeof claims[name] === 'string';
    const isWhole =
      ['iss', 'sub', 'agt', 'dev', 'grnt', 'jti'].every(isText) &&
      typeof claims.iat === 'number' &&
      Array.isArray(scp) &&
      scp.every((scope) => typeof scope === 'string');
    if (!isWhole) throw new InvalidTokenError('a claim that every grant token has is missing');
  }

  /**
   * A key that is known is found without waiting for a fetch, unless it is the first call that
   * finds it old.
   */
  async #key(kid: string): Promise<CryptoKey> {
    const now = Date.now();
    const age = now - this.#fetchedAt;
    const known = this.#keys.get(kid);
    if (known && age <= KEYS_MAX_AGE_MS) return known;
    if (known && age <= KEYS_MAX_AGE_IN_OUTAGE_MS) {
      if (this.#fetching || now - this.#failedAt <= FETCH_PAUSE_MS) return known;
      try {
        await this.#fetch();
      } catch {
        return known;
      }
    } else if (age > KEYS_MAX_AGE_MS || this.#fetching) {
      await this.#fetch();
    } else if (now - this.#fetchedForUnknownAt > FETCH_PAUSE_MS) {
      this.#fetchedForUnknownAt = now;
      await this.#fetch();
    }
    const key = this.#keys.get(kid);
    if (!key) throw new InvalidTokenError(`the service has no key ${JSON.stringify(kid)}`);
    return key;
  }

  /** Calls that wait at the same time share one fetch. */
  #fetch(): Promise<void> {
    this.#fetching ??= this.#fetchKeys()
      .catch((error) => {
        this.#failedAt = Date.now();
        throw error;
      })
      .finally(() => {
        this.#fetching = undefined;
      });
    return this.#fetching;
  }

  async #fetchKeys(): Promise<void> {
    const call = { method: 'GET', path: '/.well-known/jwks.json', isPublic: true };
    const set = await this.#transport.json<{ keys: unknown[] }>(call);
    const { subtle } = await webcrypto();
    const keys = new Map<string, CryptoKey>();
    for (const candidate of set.keys ?? []) {
      const {
        kty,
        kid,
        use = 'sig',
        alg = 'RS256',
        n,
        e,
      } = Object(candidate) as Record<string, string>;
      if (kty !== 'RSA' || use !== 'sig' || alg !== 'RS256' || typeof kid !== 'string' || !n || !e)
        continue;
      try {
        keys.set(
          kid,
          await subtle.importKey('jwk', { kty, n, e, alg: 'RS256' }, RS256, false, ['verify']),
        );
      } catch {
        // A key that cannot be used is ignored.
      }
    }
    this.#keys = keys;
    this.#fetchedAt = Date.now();
    this.#failedAt = Number.NEGATIVE_INFINITY;
  }
}

function decode(part: string): Json {
  try {
    return Object(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes(part))));
  } catch {
    throw new InvalidTokenError('it is not JSON');
  }
}

function bytes(base64url: string): Uint8Array<ArrayBuffer> {
  if (!/^[A-Za-z0-9_-]*$/.test(base64url)) throw new InvalidTokenError('it is not base64url');
  const binary = atob(base64url.replaceAll('-', '+').replaceAll('_', '/'));
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}
