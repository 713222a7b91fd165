import { ConfigurationError } from './errors.js';
import { Events } from './events.js';
import { Agents } from './resources/agents.js';
import { Audit } from './resources/audit.js';
import { Authorizations } from './resources/authorizations.js';
import { Budgets } from './resources/budgets.js';
import { Grants } from './resources/grants.js';
import { Keys } from './resources/keys.js';
import { PrincipalSessions } from './resources/principal-sessions.js';
import { ScopeNames } from './resources/scope-names.js';
import { Tokens } from './resources/tokens.js';
import { environment, type ServiceOptions, settings } from './settings.js';
import { type CreateOptions, type RequestOptions, Transport } from './transport.js';
import type {
  AuthorizeRequest,
  AuthorizeResponse,
  Developer,
  SignupRequest,
  SignupResponse,
} from './types.js';
import { Verifier } from './verify.js';

/** Settings of a client. */
export interface GrantexOptions extends ServiceOptions {
  /**
   * The API key; `GRANTEX_API_KEY` unless given. A function is called for it before the first call,
   * and again whenever the service refuses the key with 401.
   */
  apiKey?: string | (() => string | Promise<string>) | undefined;
  /** The developer whose tokens `tokens.verifyOffline` accepts; unless given, yours. */
  developerId?: string | undefined;
  /** The issuer that `tokens.verifyOffline` requires; any unless given. */
  issuer?: string | undefined;
  /** Called with failures of calls that nobody awaits; `console.error` unless given. */
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
  /** The audit trail. */
  readonly audit: Audit;
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
  /** Names of scopes, as principals read them. */
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
    this.#transport = new Transport(settings(options, apiKey));
    const onError = options.onError ?? ((error) => console.error('grantex:', error));
    this.agents = new Agents(this.#transport);
    this.audit = new Audit(this.#transport);
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

  /** Creates a developer with a first API key, which is shown only once. Needs no API key. */
  static signup(request: SignupRequest, options: GrantexOptions = {}): Promise<SignupResponse> {
    const transport = new Transport(settings(options));
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
   * Asks a principal for consent; with a sandbox key the request is approved at once.
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
