/**
 * A developer's mode: in `live` principals decide, in a `sandbox` requests are approved at once.
 */
export type Mode = 'live' | 'sandbox';

/** A developer: the tenant that everything belongs to. */
export interface Developer {
  developerId: string;
  name: string;
  email: string | null;
  mode: Mode;
  createdAt: string;
}

/** A signup. */
export interface SignupRequest {
  name: string;
  email?: string | undefined;
  mode?: Mode | undefined;
}

/** A new developer with the first API key, which is shown this one time. */
export interface SignupResponse extends Developer {
  apiKey: string;
}

/** An API key without its secret. */
export interface ApiKey {
  keyId: string;
  name: string;
  /** The first characters of the secret, to tell keys apart. */
  prefix: string;
  mode: Mode;
  createdAt: string;
  revokedAt: string | null;
}

/** A new API key; its secret is shown this one time. */
export interface CreatedKey {
  keyId: string;
  name: string;
  apiKey: string;
  mode: Mode;
  createdAt: string;
}

/** The key that replaces the one that made the call. */
export interface RotatedKey {
  apiKey: string;
  rotatedAt: string;
}

/** An agent. */
export interface Agent {
  agentId: string;
  /** `did:grantex:<agentId>` */
  did: string;
  developerId: string;
  name: string;
  description: string;
  /** The scopes that it usually asks for. They are a description, not a limit. */
  scopes: string[];
  status: 'active' | 'suspended';
  createdAt: string;
  updatedAt: string;
}

/** A new agent. */
export interface CreateAgentRequest {
  name: string;
  description?: string | undefined;
  scopes?: string[] | undefined;
}

/** Changes to an agent: at least one of the fields. */
export interface UpdateAgentRequest {
  name?: string | undefined;
  description?: string | undefined;
  scopes?: string[] | undefined;
  status?: 'active' | 'suspended' | undefined;
}

/** A request for a principal's consent. */
export interface AuthorizeRequest {
  agentId: string;
  /** The principal: your own identifier of the person. */
  principalId: string;
  scopes: string[];
  /** How long the grant lasts after the consent, such as `90m`; `24h` unless given. */
  expiresIn?: string | undefined;
  redirectUri?: string | undefined;
  state?: string | undefined;
  /** The audience of the grant token. */
  audience?: string | undefined;
  /** PKCE: the base64url SHA-256 of a verifier that the exchange must present. */
  codeChallenge?: string | undefined;
  codeChallengeMethod?: 'S256' | undefined;
  /**
   * The budget that the grant has from the exchange on. The principal reads it on the consent page.
   */
  budget?: RequestedBudget | undefined;
}

/** A budget that is requested together with the access. */
export interface RequestedBudget {
  initialBudget: AmountInput;
  /** Three upper-case letters; `USD` unless given. */
  currency?: string | undefined;
}

/** A name to give to a scope. */
export interface NewScopeName {
  scope: string;
  /** What it allows, in a few words that follow "it may", such as `Read your calendar`. */
  name: string;
  /** More about it; empty unless given. */
  description?: string | undefined;
}

/** A scope with the name that principals read. */
export interface ScopeName {
  scope: string;
  name: string;
  description: string;
  updatedAt: string;
}

/** An authorization request. */
export interface AuthorizeResponse {
  authRequestId: string;
  /** Where the principal decides. Anyone with this link can decide: send it only to them. */
  consentUrl: string;
  expiresAt: string;
  /** In a sandbox the request is approved at once. */
  sandbox?: boolean;
  /** In a sandbox: the code, ready to be exchanged. */
  code?: string;
}

/** The answer to an approval. */
export interface Approval {
  code: string;
  redirectUri?: string;
  state?: string;
}

/** The answer to a denial. */
export interface Denial {
  redirectUri?: string;
  state?: string;
}

/** A code to exchange. */
export interface ExchangeRequest {
  code: string;
  agentId: string;
  codeVerifier?: string | undefined;
}

/** A refresh token, which can be used once. */
export interface RefreshRequest {
  refreshToken: string;
  agentId: string;
}

/** A grant token, with its refresh token and its grant. */
export interface TokenResponse {
  /** The signed JWT. */
  grantToken: string;
  expiresAt: string;
  scopes: string[];
  refreshToken: string;
  grantId: string;
}

/** Whether the service considers a token valid now. */
export type TokenVerification =
  | { valid: false }
  | {
      valid: true;
      grantId: string;
      scopes: string[];
      principal: string;
      agent: string;
      expiresAt: string;
      /** The token's audience, if one was requested. Any other audience must refuse the token. */
      aud?: string;
    };

/**
 * The claims of a grant token. `client_id`, `scope`, `urn:grantex:grant` and `act` repeat other
 * claims under the names of RFC 9068; tokens of older grants may lack them.
 */
export interface Claims {
  /** The issuer: the service's public base URL. */
  iss: string;
  /** The principal. */
  sub: string;
  /** The agent's DID. */
  agt: string;
  /** The developer. */
  dev: string;
  /** The scopes. */
  scp: string[];
  /** The grant. */
  grnt: string;
  /** The token's id. */
  jti: string;
  /** Issued at, in seconds since 1970. */
  iat: number;
  /** Ends at, in seconds since 1970. */
  exp: number;
  /** The token's audience, if one was requested. */
  aud?: string;
  parentAgt?: string;
  parentGrnt?: string;
  delegationDepth?: number;
  /** After a refresh of a grant with a budget: the amount that remained. */
  bdg?: number;
  /** The agent's id. */
  client_id?: string;
  /** The scopes, separated by spaces. */
  scope?: string;
  /** The grant. */
  'urn:grantex:grant'?: {
    grant_id: string;
    agent_did: string;
    developer_id: string;
    parent_grant_id?: string;
    delegation_depth?: number;
  };
  /** In a delegated grant: the agent that delegated it, and the agents above. */
  act?: ActingAgent;
}

/** An agent that delegated, the most recent one outermost. */
export interface ActingAgent {
  /** The agent's DID. */
  sub: string;
  act?: ActingAgent;
}

/** Whether a token's grant is in force, and if not, why. */
export type GrantVerification =
  | { active: true; claims: Claims }
  | { active: false; reason: InactiveReason };

/** Why a token or its grant is not in force; `agent_suspended` may be temporary. */
export type InactiveReason =
  | 'revoked'
  | 'expired'
  | 'not_found'
  | 'wrong_developer'
  | 'wrong_audience'
  | 'agent_suspended';

/** The state of a grant. */
export type GrantStatus = 'active' | 'revoked' | 'expired';

/** A grant. */
export interface Grant {
  grantId: string;
  agentId: string;
  principalId: string;
  developerId: string;
  scopes: string[];
  status: GrantStatus;
  issuedAt: string;
  expiresAt: string;
  revokedAt?: string;
  parentGrantId?: string;
  /** How many delegations lie between it and the principal's consent. */
  delegationDepth: number;
}

/** A delegation to another agent. */
export interface DelegateRequest {
  parentGrantToken: string;
  subAgentId: string;
  /** Some or all of the parent's scopes. */
  scopes: string[];
  expiresIn?: string | undefined;
}

/** An amount in a request: exact as a string such as `"12.50"`; at most four decimals. */
export type AmountInput = string | number;

/** A grant's budget. */
export interface Budget {
  id: string;
  grantId: string;
  developerId: string;
  /** Exact, with four decimals. */
  initialBudget: string;
  /** Exact, with four decimals. */
  remainingBudget: string;
  currency: string;
  createdAt: string;
  updatedAt: string;
}

/** A budget to allocate to a grant. */
export interface AllocateRequest {
  grantId: string;
  initialBudget: AmountInput;
  /** Three upper-case letters; `USD` unless given. */
  currency?: string | undefined;
}

/** A debit of a budget. */
export interface DebitRequest {
  grantId: string;
  amount: AmountInput;
  description?: string | undefined;
  /** At most 8 KiB. */
  metadata?: Record<string, unknown> | undefined;
}

/** A completed debit. */
export interface DebitResponse {
  /** Exact, with four decimals. */
  remaining: string;
  transactionId: string;
  grantId: string;
}

/** One debit. */
export interface Transaction {
  id: string;
  grantId: string;
  allocationId: string;
  /** Exact, with four decimals. */
  amount: string;
  description: string | null;
  metadata: Record<string, unknown> | null;
  createdAt: string;
}

/** A ticket that opens streams in a browser. */
export interface Ticket {
  /** For the `ticket` parameter of the streams. */
  ticket: string;
  expiresAt: string;
}

/** A session to open; it lasts `1h` unless `expiresIn` says otherwise, `24h` at most. */
export interface PrincipalSessionRequest {
  principalId: string;
  expiresIn?: string | undefined;
}

/** A new session in which a principal sees and revokes their own grants. */
export interface CreatedPrincipalSession {
  /** Its id, with which it can be ended. */
  sessionId: string;
  /** Bearer token for the principal's own calls. */
  sessionToken: string;
  /** A page with the same functions. Anyone who has this link has the session. */
  dashboardUrl: string;
  expiresAt: string;
}

/** A principal's open session, without its token. */
export interface PrincipalSession {
  sessionId: string;
  principalId: string;
  /** The API key that opened it; the session ends with the key. */
  keyId: string;
  createdAt: string;
  expiresAt: string;
}

/** One change outside the event log. */
export interface AuditEntry {
  id: string;
  createdAt: string;
  /** Who made it. */
  actor: Actor;
  /**
   * What was done: `key.created`, `key.rotated`, `key.revoked`, `session.created`, `session.ended`,
   * `scope.named`, `scope.name_removed`, `developer.suspended`, `developer.resumed`. More may come.
   */
  action: string;
  /** The id of what was changed, or the scope. */
  target: string;
  /** Further facts, by name. */
  details: Record<string, string>;
}

/** Who made a change. */
export interface Actor {
  kind: 'api_key' | 'principal' | 'operator' | 'system';
  /** The API key's id, the principal's id, the operator's user; `null` for the service itself. */
  id: string | null;
}
