import type { GrantexError } from './errors.js';

/** The event types of this version. */
export type EventType =
  | 'grant.created'
  | 'grant.revoked'
  | 'token.issued'
  | 'budget.threshold'
  | 'budget.exhausted';

interface EventOf<Type extends EventType, Data> {
  /**
   * Unique; increases strictly within the log. The key to de-duplicate by, and the cursor to resume
   * from.
   */
  id: string;
  /** What happened. */
  type: Type;
  /** When it was committed (ISO 8601). */
  timestamp: string;
  /** The payload. */
  data: Data;
  /**
   * The event's envelope as the service sent it: here every number has all of its digits, where
   * `data` has a `number`, which holds 53 bits. Not enumerable: neither printed nor copied with the
   * event.
   */
  readonly json: string;
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
 * An event. `type` narrows `data`.
 *
 * Types that a later service adds come through as they are, although this union does not list them:
 * what is left after every known type is an {@link UntypedEvent}.
 *
 * @example
 * ```ts
 * switch (event.type) {
 *   case 'budget.exhausted':
 *     return grantex.grants.revoke(event.data.grantId);
 *   case 'grant.created': case 'grant.revoked': case 'token.issued': case 'budget.threshold':
 *     return;
 *   default: {
 *     const other: UntypedEvent = event;
 *     console.log(other.type, other.data);
 *   }
 * }
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
  timestamp: string;
  data: object;
  /** The event's envelope as the service sent it. */
  readonly json: string;
}

/** Which events. */
export interface EventFilter {
  /** Only these types; all of them when left out or empty. */
  eventTypes?: string[] | undefined;
  /** From this time on (ISO 8601, inclusive): first what happened since, then live. */
  since?: string | undefined;
  /** Only events of this agent's grants. */
  agentId?: string | undefined;
  /** Only events of grants that this principal gave. */
  principalId?: string | undefined;
  /** Only events of this grant. */
  grantId?: string | undefined;
}

/** A stream has lost its connection and will try again. */
export interface Reconnect {
  /** The number of this try since the last connection that worked, from 1. */
  attempt: number;
  /** How long it waits first, in milliseconds. */
  delayMs: number;
  /** What ended the connection; `undefined` when the service ended it in order. */
  reason: GrantexError | undefined;
  /** Where it will go on. */
  lastEventId: string | undefined;
}

/** What to stream, and how. */
export interface StreamOptions extends EventFilter {
  /** Right after this event; wins over `since`. */
  lastEventId?: string | undefined;
  /** Ends the stream and closes its connection at once, also an idle one. */
  signal?: AbortSignal | undefined;
  /** Whether to reconnect; on unless `false`: then the stream ends with its connection. */
  reconnect?: boolean | undefined;
  /**
   * The first reconnection waits a random part of this, each further one in a row of twice as much;
   * 1 s unless given. The service's own `retry:` field replaces it.
   */
  reconnectDelayMs?: number | undefined;
  /** No reconnection waits longer, unless the service asks for it; 30 s unless given. */
  maxReconnectDelayMs?: number | undefined;
  /**
   * A connection on which nothing comes for so long is dead; 15 s unless given. The service is
   * never silent for 5 s. Time in which the consumer does not read does not count.
   */
  silenceTimeoutMs?: number | undefined;
  /** The longest event that is accepted; 4 Mi characters unless given. */
  maxEventBytes?: number | undefined;
  /** Called whenever a connection is open. */
  onOpen?: (() => void) | undefined;
  /** Called before each reconnection. */
  onReconnect?: ((reconnect: Reconnect) => void) | undefined;
}

/** Options of a subscription. */
export interface SubscribeOptions extends StreamOptions {
  /**
   * Told what the handler throws (the subscription goes on), and what ends the subscription for
   * good. `console.error` unless given.
   */
  onError?: ((error: unknown) => void) | undefined;
}
