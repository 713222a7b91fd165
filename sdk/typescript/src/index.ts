export { Grantex, type GrantexOptions } from './client.js';
export {
  ApiError,
  BadRequestError,
  ConfigurationError,
  ConflictError,
  ConnectionError,
  ForbiddenError,
  GoneError,
  GrantexError,
  InsufficientBudgetError,
  InvalidTokenError,
  NotFoundError,
  ProtocolError,
  RateLimitedError,
  ServerError,
  StreamEndedError,
  TimeoutError,
  UnauthorizedError,
} from './errors.js';
export type * from './event.js';
export { Events, type HistoryParams, type PlacedEvent, type TicketParams } from './events.js';
export { List, type ListParams, type Page } from './page.js';
export { Agents } from './resources/agents.js';
export { Audit } from './resources/audit.js';
export { Authorizations } from './resources/authorizations.js';
export { Budgets } from './resources/budgets.js';
export { type GrantListParams, Grants } from './resources/grants.js';
export { Keys } from './resources/keys.js';
export {
  type PrincipalSessionListParams,
  PrincipalSessions,
} from './resources/principal-sessions.js';
export { ScopeNames } from './resources/scope-names.js';
export { Tokens } from './resources/tokens.js';
export { DEFAULT_BASE_URL, type ServiceOptions } from './settings.js';
export { EventStream } from './stream.js';
export type { CreateOptions, RequestOptions, VerifyOptions } from './transport.js';
export type * from './types.js';
export { TokenVerifier, type TokenVerifierOptions } from './verify.js';
export { VERSION } from './version.js';
