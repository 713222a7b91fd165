import type { DeliveryError } from './errors.js';
import type { EventEnvelope } from './event.js';

/** Options of an `EventSource`. */
export interface EventSourceOptions {
  /** Where the service is; `GRANTEX_BASE_URL` or the public service unless given. */
  url?: string | undefined;
  /**
   * The API key; or what gives one, which is asked again when the service refuses the one before.
   */
  apiKey: string | (() => string | Promise<string>);
  /**
   * PEM file with certificates to trust besides the system's, where the service's comes from a
   * private authority or from itself.
   */
  caFile?: string | undefined;
  /**
   * Only these types of events, for destinations that do not say otherwise; all when left out or
   * empty.
   */
  types?: string[] | undefined;
  /** Only events of this agent's grants, for destinations that do not say otherwise. */
  agentId?: string | undefined;
  /** Only events of grants that this principal gave, for destinations that do not say otherwise. */
  principalId?: string | undefined;
  /** Only events of this grant, for destinations that do not say otherwise. */
  grantId?: string | undefined;
  /**
   * Where a destination without a checkpoint starts; with what happens from now on unless given.
   */
  since?: string | Date | undefined;
  /**
   * The folder for checkpoints, batches in flight and dead letters, made if it is not there; for
   * one source at a time. Without it they are in memory and end with the source.
   */
  stateDir?: string | undefined;
  /** How long `stop()` lets destinations finish, in milliseconds; 10,000 unless given. */
  stopLimitMs?: number | undefined;
  /**
   * Told of everything that fails while delivering, as it happens. The log tells the same, but of
   * outages only now and then.
   */
  onError?: ((error: DeliveryError) => void) | undefined;
  /** Told of every event that a destination will never take, when it is among the dead letters. */
  onDeadLetter?: ((letter: DeadLetter) => void) | undefined;
  /** Gets the log's records; unless given, warnings and errors go to the console. */
  onLog?: ((record: LogRecord) => void) | undefined;
}

/** An event that a destination will never take. */
export interface DeadLetter {
  destination: string;
  event: EventEnvelope;
  /** What the destination answered. */
  reason: string;
}

/** A dead letter in the state. */
export interface KeptDeadLetter extends DeadLetter {
  /** Names it in calls. */
  number: number;
  /** When it was refused, in milliseconds since 1970. */
  atMs: number;
  /** How often it was refused. */
  tries: number;
  /** It waits to be sent again. */
  isWaiting: boolean;
}

/** What became of dead letters that were sent again. */
export interface Redelivery {
  /** Delivered, or dropped meanwhile. */
  delivered: number;
  /** Refused again: dead letters again. */
  refused: number;
  /** Not delivered yet: their destination is down, or does not run. */
  waiting: number;
}

/** A record of the log. */
export interface LogRecord {
  level: 'info' | 'warn' | 'error';
  message: string;
  fields: Record<string, string | number | boolean>;
}

/** A destination's figures since the source started. */
export interface DestinationStats {
  name: string;
  /** It reads and delivers; it has ended in order; it has ended and needs somebody. */
  phase: 'running' | 'stopped' | 'failed';
  /** Something failed and is tried again. */
  isRetrying: boolean;
  /**
   * What failed will not pass by itself: a credential, a permission, the configuration, the state
   * folder.
   */
  isFailing: boolean;
  /** Events that were delivered. */
  delivered: number;
  /** Batches that were delivered. */
  batches: number;
  /** Tries that failed. */
  retries: number;
  /** Events that were rejected. */
  deadLetters: number;
  /**
   * Events that were read and are neither delivered nor rejected. After `stop()`: what is left,
   * and is delivered at the next start if there is a `stateDir`.
   */
  pending: number;
  /** Delivered events a second, lately. */
  rate: number;
  /** The checkpoint: the id of the event up to which all is settled; `null` before there is one. */
  cursor: string | null;
  /** What went wrong last; `null` if nothing did. */
  lastError: string | null;
  /** Since when nothing is wrong any more, in milliseconds since 1970; `null` while it is. */
  recoveredAtMs: number | null;
}
