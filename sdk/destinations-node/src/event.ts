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

interface EnvelopeOf<Type extends EventType> {
  /** Unique; increases strictly within the log. The key to tell a repeated event by. */
  id: string;
  /** What happened. */
  type: Type;
  /** When it was committed (ISO 8601). */
  createdAt: string;
  /** The payload. */
  data: EventPayloads[Type];
}

/** A consent was completed, or a grant delegated. */
export type GrantCreatedEvent = EnvelopeOf<'grant.created'>;
/** A grant was revoked, by itself or in a cascade. */
export type GrantRevokedEvent = EnvelopeOf<'grant.revoked'>;
/** A grant token was issued. */
export type TokenIssuedEvent = EnvelopeOf<'token.issued'>;
/** The use of a budget crossed 50 % or 80 %. */
export type BudgetThresholdEvent = EnvelopeOf<'budget.threshold'>;
/** A budget is used up. */
export type BudgetExhaustedEvent = EnvelopeOf<'budget.exhausted'>;

/**
 * An event in its envelope, as the service sends it: with `createdAt`, where the event of
 * `@grantex/sdk` has `timestamp`. `type` narrows `data`.
 *
 * Types that a newer service adds are delivered too, although this union does not list them: what
 * is left after every known type is an {@link UntypedEvent}.
 *
 * @example
 * ```ts
 * if (event.type === 'grant.revoked') console.log(event.data.grantId, event.data.revokedBy);
 * ```
 */
export type EventEnvelope = { [Type in EventType]: EnvelopeOf<Type> }[EventType];

/** Another name of {@link EventEnvelope}. */
export type GrantexEvent = EventEnvelope;

/** An event of any type, also of one that this version does not know. */
export interface UntypedEvent {
  id: string;
  type: string;
  createdAt: string;
  data: object;
}
