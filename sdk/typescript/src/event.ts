import type { GrantexError } from './errors.js';

/** The payload of each event type. */
export interface EventPayloads {
  /** A consent was completed, or a grant delegated. */
  'grant.created': { grantId: string; agentId: string; principalId: string; scopes: string[] };
  /** A grant was revoked, by itself or in a cascade. */
  'grant.revoked': { grantId: string; revokedBy: 'developer' | 'principal' | 'system' };
  /** A grant token was issued. */
  'token.issued': { grantId: string; tokenId: string; method: 'exchange' | 'refresh' };
  /** The use of a budget crossed 50 % or 80 %. */
  'budget.threshold': {
    grantId: string;
    percentage: 50 | 80;
    remaining: number;
    initial: number;
  };
  /** A budget is used up. */
  'budget.exhausted': { grantId: string; initial: number };
}

/** The event types of this version. */
export type EventType = keyof EventPayloads;

interface EventOf<Type extends EventType> {
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
  data: EventPayloads[Type];
  /**
   * The event's envelope as the service sent it: here every number has all of its digits, where
   * `data` has a `number`, which holds 53 bits. Not enumerable: neither printed nor copied with the
   * event.
   */
  readonly json: string;
}

/** A consent was completed, or a grant delegated. */
export type GrantCreatedEvent = EventOf<'grant.created'>;
/** A grant was revoked, by itself or in a cascade. */
export type GrantRevokedEvent = EventOf<'grant.revoked'>;
/** A grant token was issued. */
export type TokenIssuedEvent = EventOf<'token.issued'>;
/** The use of a budget crossed 50 % or 80 %. */
export type BudgetThresholdEvent = EventOf<'budget.threshold'>;
/** A budget is used up. */
export type BudgetExhaustedEvent = EventOf<'budget.exhausted'>;

/**
 * An event. `type` narrows `data`.
 *
 * Types that a newer service adds are delivered too, although this union does not list them: what
 * is left after every known type is an {@link UntypedEvent}.
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
export type GrantexEvent = { [Type in EventType]: EventOf<Type> }[EventType];

/** An event of any type, also of one that this version does not know. */
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
  /** From this time on (ISO 8601 or a `Date`, inclusive): first the history, then live. */
  since?: string | Date | undefined;
  /** Only events of this agent's grants. */
  agentId?: string | undefined;
  /** Only events of this principal's grants. */
  principalId?: string | undefined;
  /** Only events of this grant. */
  grantId?: string | undefined;
}

/** A stream has lost its connection and will reconnect. */
export interface Reconnect {
  /** The number of this attempt since the last working connection, from 1. */
  attempt: number;
  /** The delay before it, in milliseconds. */
  delayMs: number;
  /** What ended the connection; `undefined` when the service ended it in order. */
  reason: GrantexError | undefined;
  /** The event after which it resumes. */
  lastEventId: string | undefined;
}

/** What to stream, and how. */
export interface StreamOptions extends EventFilter {
  /** Start right after this event; takes precedence over `since`. */
  lastEventId?: string | undefined;
  /** Ends the stream and closes its connection at once, also an idle one. */
  signal?: AbortSignal | undefined;
  /** Whether to reconnect; on unless `false`: then the stream ends with its connection. */
  reconnect?: boolean | undefined;
  /**
   * The first reconnection waits a random part of this; the limit doubles with each further one in
   * a row. 1 s unless given. The service's own `retry:` field replaces it.
   */
  reconnectDelayMs?: number | undefined;
  /** The longest wait, unless the service asks for a longer one; 30 s unless given. */
  maxReconnectDelayMs?: number | undefined;
  /**
   * A connection that delivers nothing for this long is replaced; 15 s unless given. The service
   * sends something at least every 5 s. Time in which the consumer does not read does not count.
   */
  silenceTimeoutMs?: number | undefined;
  /** The longest event that is accepted; 4 Mi characters unless given. */
  maxEventBytes?: number | undefined;
  /** Called whenever a connection has been opened. */
  onOpen?: (() => void) | undefined;
  /** Called before each reconnection. */
  onReconnect?: ((reconnect: Reconnect) => void) | undefined;
}

/** Options of a subscription. */
export interface SubscribeOptions extends StreamOptions {
  /**
   * Called with what the handler throws (the subscription goes on), and with the error that ends
   * the subscription. `console.error` unless given.
   */
  onError?: ((error: unknown) => void) | undefined;
}
