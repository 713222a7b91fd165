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

/** What a signup says. */
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
  /** The scopes it usually asks for. They describe; they do not limit. */
  scopes: string[];
  status: 'active' | 'suspended';
  createdAt: string;
  updatedAt: string;
}

/** What a new agent is. */
export interface CreateAgentRequest {
  name: string;
  description?: string | undefined;
  scopes?: string[] | undefined;
}

/** What changes about an agent: at least one of the fields. */
export interface UpdateAgentRequest {
  name?: string | undefined;
  description?: string | undefined;
  scopes?: string[] | undefined;
  status?: 'active' | 'suspended' | undefined;
}

/** What a principal is asked. */
export interface AuthorizeRequest {
  agentId: string;
  /** Your own name for the person. */
  principalId: string;
  scopes: string[];
  /** How long the grant lasts from the consent on, such as `90m`; `24h` unless given. */
  expiresIn?: string | undefined;
  redirectUri?: string | undefined;
  state?: string | undefined;
  /** Who the grant token is for. */
  audience?: string | undefined;
  /** PKCE: the base64url SHA-256 of a verifier that the exchange must show. */
  codeChallenge?: string | undefined;
  codeChallengeMethod?: 'S256' | undefined;
  /**
   * The budget that the grant has from the exchange on. The principal reads it on the consent page.
   */
  budget?: RequestedBudget | undefined;
}

/** A budget that is asked for together with the access. */
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
  /** Where the principal decides. Whoever has this link can decide: send it to nobody else. */
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

/** A refresh token to use, once. */
export interface RefreshRequest {
  refreshToken: string;
  agentId: string;
}

/** A grant token with what comes with it. */
export interface TokenResponse {
  /** The signed JWT. */
  grantToken: string;
  expiresAt: string;
  scopes: string[];
  refreshToken: string;
  grantId: string;
}

/** Whether a token is in force, by the service's own knowledge. */
export type TokenVerification =
  | { valid: false }
  | {
      valid: true;
      grantId: string;
      scopes: string[];
      principal: string;
      agent: string;
      expiresAt: string;
      /** Who the token is for, if it was asked for. Whoever is somebody else must not accept it. */
      aud?: string;
    };

/**
 * The claims of a grant token. `client_id`, `scope`, `urn:grantex:grant` and `act` say in the words
 * of RFC 9068 what the others say; tokens of older grants may lack them.
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
  /** Who the token is for, if it was asked for. */
  aud?: string;
  parentAgt?: string;
  parentGrnt?: string;
  delegationDepth?: number;
  /** After a refresh of a grant with a budget: what remained. */
  bdg?: number;
  /** The agent's id. */
  client_id?: string;
  /** The scopes, with spaces between. */
  scope?: string;
  /** The grant. */
  'urn:grantex:grant'?: {
    grant_id: string;
    agent_did: string;
    developer_id: string;
    parent_grant_id?: string;
    delegation_depth?: number;
  };
  /** Delegated grants: the agent that delegated, and those before it. */
  act?: ActingAgent;
}

/** Who acted, the last one outermost. */
export interface ActingAgent {
  /** The agent's DID. */
  sub: string;
  act?: ActingAgent;
}

/** Whether a token's grant is in force, and why not. */
export type GrantVerification =
  | { active: true; claims: Claims }
  | { active: false; reason: InactiveReason };

/** Why a token or its grant is not in force; with `agent_suspended` it may be again. */
export type InactiveReason =
  | 'revoked'
  | 'expired'
  | 'not_found'
  | 'wrong_developer'
  | 'wrong_audience'
  | 'agent_suspended';

/** Whether a grant is in force. */
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

/** What is delegated to whom. */
export interface DelegateRequest {
  parentGrantToken: string;
  subAgentId: string;
  /** Some or all of the parent's. */
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

/** The budget that a grant gets. */
export interface AllocateRequest {
  grantId: string;
  initialBudget: AmountInput;
  /** Three upper-case letters; `USD` unless given. */
  currency?: string | undefined;
}

/** What is taken from a budget. */
export interface DebitRequest {
  grantId: string;
  amount: AmountInput;
  description?: string | undefined;
  /** At most 8 KiB. */
  metadata?: Record<string, unknown> | undefined;
}

/** A debit that was done. */
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

/** Whose session, and for how long (`1h` unless given, at most `24h`). */
export interface PrincipalSessionRequest {
  principalId: string;
  expiresIn?: string | undefined;
}

/** A session in which a principal sees and revokes their own grants. */
export interface PrincipalSession {
  /** Its id, with which it can be ended. */
  sessionId: string;
  /** Bearer token for the principal's own calls. */
  sessionToken: string;
  /** A page that shows the same. Whoever has this link has the session. */
  dashboardUrl: string;
  expiresAt: string;
}
