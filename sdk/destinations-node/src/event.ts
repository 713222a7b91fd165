/** The event types of this version. */
export type EventType =
  | 'grant.created'
  | 'grant.revoked'
  | 'token.issued'
  | 'budget.threshold'
  | 'budget.exhausted';

interface EventOf<Type extends EventType, Data> {
  /** Unique; increases strictly within the log. The key to tell a repeated event by. */
  id: string;
  /** What happened. */
  type: Type;
  /** When it was committed (ISO 8601). */
  createdAt: string;
  /** The payload. */
  data: Data;
}

/** A grant came to be: a consent was completed, or a grant delegated. */
export type GrantCreatedEvent = EventOf<
  'grant.created',
  { grantId: string; agentId: string; principalId: string; scopes: string[] }
>;
/** A grant was revoked, by itself or in a cascade. */
export type GrantRevokedEvent = EventOf<
  'grant.revoked',
  { grantId: string; revokedBy: 'developer' | 'principal' | 'system' }
>;
/** A grant token was issued. */
export type TokenIssuedEvent = EventOf<
  'token.issued',
  { grantId: string; tokenId: string; method: 'exchange' | 'refresh' }
>;
/** A budget's use crossed 50 % or 80 %. */
export type BudgetThresholdEvent = EventOf<
  'budget.threshold',
  { grantId: string; percentage: 50 | 80; remaining: number; initial: number }
>;
/** A budget is used up. */
export type BudgetExhaustedEvent = EventOf<
  'budget.exhausted',
  { grantId: string; initial: number }
>;

/**
 * An event, as the service sends it. `type` narrows `data`.
 *
 * Types that a later service adds come through as they are, although this union does not list them:
 * what is left after every known type is an {@link UntypedEvent}.
 *
 * @example
 * ```ts
 * if (event.type === 'grant.revoked') console.log(event.data.grantId, event.data.revokedBy);
 * ```
 */
export type GrantexEvent =
  | GrantCreatedEvent
  | GrantRevokedEvent
  | TokenIssuedEvent
  | BudgetThresholdEvent
  | BudgetExhaustedEvent;

/** An event of any type, also of one that this version does not know. Every event is one. */
export interface UntypedEvent {
  id: string;
  type: string;
  createdAt: string;
  data: object;
}
