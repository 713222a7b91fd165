import type { EventEnvelope } from './event.js';

/** What is known of a batch besides its events. */
export interface BatchInfo {
  /** It may have been sent before, wholly or in part, by this process or one before it. */
  isRepeat: boolean;
  /** It is a dead letter that is sent again on request, outside of the order. */
  isRedelivery: boolean;
}

/**
 * Somewhere of your own that events go.
 *
 * `send` gets some events in log order. When its promise is fulfilled (and that of `flush`, if
 * there is one), the checkpoint moves past them; until then nothing after them is sent, unless
 * `concurrency` allows it. When it is rejected, the same events are sent again, for as long as it
 * takes: later each time, and also after a restart of the process if the source has a `stateDir`.
 * So an event may come more than once: tell it by its `id`. A {@link RejectError} rejects events
 * instead.
 *
 * @example
 * ```ts
 * class Warehouse implements EventDestination {
 *   readonly name = 'warehouse';
 *
 *   async send(events: EventEnvelope[]): Promise<void> {
 *     await database.insert('events', events, { onConflict: 'ignore' });
 *   }
 * }
 * ```
 */
export interface EventDestination {
  /** Unique within a source; keys the checkpoint, so it must not change. */
  readonly name: string;
  /** Takes some events, never none. 15 minutes without an answer are a failure. */
  send(events: EventEnvelope[], batch: BatchInfo): Promise<void> | void;
  /** Makes durable what was accepted. Called after each `send`, before the checkpoint moves. */
  flush?(): Promise<void> | void;
  /** Frees what it holds. Called once, when no more events come. */
  close?(): Promise<void> | void;
}

/**
 * How a destination's options look whatever it is. What is left out is its default, or the
 * source's.
 */
export interface DeliveryOptions {
  /** Only these types of events. */
  types?: string[] | undefined;
  /** Only events of this agent's grants. */
  agentId?: string | undefined;
  /** Only events of grants that this principal gave. */
  principalId?: string | undefined;
  /** Only events of this grant. */
  grantId?: string | undefined;
  /** Where to start without a checkpoint. */
  since?: string | Date | undefined;
  /** Events in a batch, at most. */
  batchSize?: number | undefined;
  /** Bytes of their envelopes, at most. */
  batchBytes?: number | undefined;
  /** How long an event waits for others before the batch is sent, in milliseconds. */
  flushIntervalMs?: number | undefined;
  /** Batches on their way at once. Above 1 events may arrive out of order. 1 unless given. */
  concurrency?: number | undefined;
  /**
   * The first wait after a failure, doubled with each further one and random, in milliseconds; 500
   * unless given.
   */
  retryBaseMs?: number | undefined;
  /** The longest wait between tries, in milliseconds; 60,000 unless given. */
  retryCapMs?: number | undefined;
  /**
   * What to do when the service has deleted events that were not delivered yet: `'stop'` this
   * destination (the default), or `'continue'` from the oldest that is there.
   */
  onLostPosition?: 'stop' | 'continue' | undefined;
}
