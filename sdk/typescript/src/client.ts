import { ConfigurationError } from './errors.js';
import { Events } from './events.js';
import { redactedUrl } from './redact.js';
import { Agents } from './resources/agents.js';
import { Authorizations } from './resources/authorizations.js';
import { Budgets } from './resources/budgets.js';
import { Grants } from './resources/grants.js';
import { Keys } from './resources/keys.js';
import { PrincipalSessions } from './resources/principal-sessions.js';
import { ScopeNames } from './resources/scope-names.js';
import { Tokens } from './resources/tokens.js';
import { type CreateOptions, type RequestOptions, type Settings, Transport } from './transport.js';
import type {
  AuthorizeRequest,
  AuthorizeResponse,
  Developer,
  SignupRequest,
  SignupResponse,
} from './types.js';
import { Verifier } from './verify.js';

/** Where the public service is; the option `baseUrl` or `GRANTEX_BASE_URL` name another one. */
export const DEFAULT_BASE_URL = 'https://api.grantex.dev';

/** Settings of the client. */
export interface GrantexOptions {
  /**
   * The API key; `GRANTEX_API_KEY` unless given. A function is asked for it before the first call,
   * and again whenever the service refuses the key with 401.
   */
  apiKey?: string | (() => string | Promise<string>) | undefined;
  /** Where the service is; `GRANTEX_BASE_URL`, or {@link DEFAULT_BASE_URL}, unless given. */
  baseUrl?: string | undefined;
  /** How long one try of a call may take; 30 s unless given. Streams have `silenceTimeoutMs`. */
  timeoutMs?: number | undefined;
  /** How often a failed call is tried again where that is safe; 2 unless given. */
  maxRetries?: number | undefined;
  /**
   * The delay before the first new try, doubled with each and with full jitter; 500 ms unless
   * given.
   */
  retryDelayMs?: number | undefined;
  /** The developer whose tokens `tokens.verifyOffline` accepts; asked for once unless given. */
  developerId?: string | undefined;
  /** The issuer that `tokens.verifyOffline` demands; any unless given. */
  issuer?: string | undefined;
  /** Another `fetch`, for proxies and tests. */
  fetch?: typeof fetch | undefined;
  /** Told about failures that nobody waits for; `console.error` unless given. */
  onError?: ((error: unknown) => void) | undefined;
}

/**
 * A client of one Grantex service.
 *
 * @example
 * ```ts
 * import { Grantex } from '@grantex/sdk';
 *
 * const grantex = new Grantex({ apiKey: process.env.GRANTEX_API_KEY });
 * for await (const event of grantex.events.stream()) console.log(event.type, event.data);
 * ```
 */
export class Grantex {
  readonly #transport: Transport;
  /** Agents. */
  readonly agents: Agents;
  /** Authorization requests. */
  readonly authorizations: Authorizations;
  /** Budgets and debits. */
  readonly budgets: Budgets;
  /** The event log: streams, subscriptions, the history. */
  readonly events: Events;
  /** Grants. */
  readonly grants: Grants;
  /** API keys. */
  readonly keys: Keys;
  /** Sessions in which principals see and revoke their own grants. */
  readonly principalSessions: PrincipalSessions;
  /** What principals read for scopes. */
  readonly scopeNames: ScopeNames;
  /** Grant tokens. */
  readonly tokens: Tokens;

  constructor(options: GrantexOptions = {}) {
    const apiKey = options.apiKey ?? environment('GRANTEX_API_KEY');
    if (apiKey === undefined) {
      throw new ConfigurationError(
        'no API key: set GRANTEX_API_KEY, or give the client one as apiKey',
      );
    }
    this.#transport = new Transport(settings({ ...options, apiKey }));
    const onError = options.onError ?? ((error) => console.error('grantex:', error));
    this.agents = new Agents(this.#transport);
    this.authorizations = new Authorizations(this.#transport);
    this.budgets = new Budgets(this.#transport);
    this.events = new Events(this.#transport, onError);
    this.grants = new Grants(this.#transport, onError);
    this.keys = new Keys(this.#transport);
    this.principalSessions = new PrincipalSessions(this.#transport);
    this.scopeNames = new ScopeNames(this.#transport);
    const verifier = new Verifier(this.#transport, options.developerId, options.issuer);
    this.tokens = new Tokens(this.#transport, verifier);
  }

  /** Makes a developer with a first API key, which is shown this one time. Needs no key. */
  static signup(request: SignupRequest, options: GrantexOptions = {}): Promise<SignupResponse> {
    const transport = new Transport({ ...settings(options), apiKey: undefined });
    const call = {
      method: 'POST',
      path: '/v1/signup',
      body: request,
      isPublic: true,
      unsafe: true,
    };
    return transport.json(call);
  }

  /** The developer that the API key belongs to. */
  me(options?: RequestOptions): Promise<Developer> {
    return this.#transport.json({ method: 'GET', path: '/v1/me' }, options);
  }

  /**
   * Asks a principal for consent; with a sandbox key it is given at once.
   *
   * @example
   * ```ts
   * const asked = await grantex.authorize({ agentId, principalId: 'user-123', scopes: ['calendar:read'] });
   * console.log(`send the principal to ${asked.consentUrl}`);
   * ```
   */
  authorize(request: AuthorizeRequest, options?: CreateOptions): Promise<AuthorizeResponse> {
    return this.authorizations.create(request, options);
  }
}

function settings(options: GrantexOptions): Settings {
  const baseUrl = options.baseUrl ?? (environment('GRANTEX_BASE_URL') || DEFAULT_BASE_URL);
  checkBaseUrl(baseUrl);
  return {
    baseUrl: baseUrl.replace(/\/+$/, ''),
    apiKey: options.apiKey,
    timeoutMs: options.timeoutMs ?? 30_000,
    maxRetries: options.maxRetries ?? 2,
    retryDelayMs: options.retryDelayMs ?? 500,
    fetch: options.fetch ?? ((input, init) => fetch(input, init)),
  };
}

/** Whether calls can go there, and nothing in it is a secret that an error or a log would show. */
function checkBaseUrl(baseUrl: string): void {
  const shown = `the base URL ${JSON.stringify(redactedUrl(baseUrl))}`;
  let url: URL | undefined;
  try {
    url = new URL(baseUrl);
  } catch {
    // It is told below.
  }
  if (!url || !/^https?:\/\/[^/]/i.test(baseUrl)) {
    throw new ConfigurationError(`${shown} is not an http or https URL`);
  }
  if (url.username || url.password) {
    throw new ConfigurationError(
      `${shown} holds a user name or a password, which the service does not take: leave it out, and give the API key as apiKey or in GRANTEX_API_KEY`,
    );
  }
  if (/[?#]/.test(baseUrl)) {
    throw new ConfigurationError(
      `${shown} holds a query or a fragment: give only the scheme, the host and a path`,
    );
  }
}

/** A variable of the environment, where there is one. */
function environment(name: string): string | undefined {
  const { process } = globalThis as { process?: { env?: Record<string, string | undefined> } };
  return process?.env?.[name];
}
