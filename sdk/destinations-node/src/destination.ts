import type { EventEnvelope } from './event.js';

/** Facts about a batch. */
export interface BatchInfo {
  /** It may have been sent before, in whole or in part, by this process or an earlier one. */
  isRepeat: boolean;
  /** It is a dead letter that is delivered again on request, out of order. */
  isRedelivery: boolean;
}

/**
 * A destination of your own.
 *
 * `send` is called with events in log order. When its promise is fulfilled (and that of `flush`, if
 * there is one), the checkpoint moves past them; until then nothing after them is sent, unless
 * `concurrency` allows it. When the promise is rejected, the same events are sent again until they
 * are accepted: with growing delays, and also after a restart of the process if the source has a
 * `stateDir`. So an event may come more than once, with the same `id`. A {@link RejectError}
 * rejects events instead.
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
  /** Takes one or more events. It fails if it has not settled within 15 minutes. */
  send(events: EventEnvelope[], batch: BatchInfo): Promise<void> | void;
  /** Makes the accepted events durable. Called after each `send`, before the checkpoint moves. */
  flush?(): Promise<void> | void;
  /** Releases resources. Called once, after the last batch. */
  close?(): Promise<void> | void;
}

/**
 * The options of every destination. One that is left out has its default, or the source's value.
 */
export interface DeliveryOptions {
  /** Only these types of events. */
  types?: string[] | undefined;
  /** Only events of this agent's grants. */
  agentId?: string | undefined;
  /** Only events of this principal's grants. */
  principalId?: string | undefined;
  /** Only events of this grant. */
  grantId?: string | undefined;
  /** Where to start without a checkpoint. */
  since?: string | Date | undefined;
  /** The most events in a batch. */
  batchSize?: number | undefined;
  /** The most bytes in a batch, counted in the events' envelopes. */
  batchBytes?: number | undefined;
  /** The longest time that an event waits for others in its batch, in milliseconds. */
  flushIntervalMs?: number | undefined;
  /** Batches in flight at once; 1 unless given. Above 1, events may arrive out of order. */
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
   * destination (the default), or `'continue'` from the oldest event that exists.
   */
  onLostPosition?: 'stop' | 'continue' | undefined;
}
