import type { DeliveryError } from './errors.js';
import type { EventEnvelope } from './event.js';

/** Options of an `EventSource`. */
export interface EventSourceOptions {
  /** The service's base URL; `GRANTEX_BASE_URL` or the public service unless given. */
  url?: string | undefined;
  /**
   * The API key; `GRANTEX_API_KEY` unless given. A function is called for it, and again when the
   * service refuses the key.
   */
  apiKey?: string | (() => string | Promise<string>) | undefined;
  /**
   * PEM file with certificates to trust besides the system's, for a service whose certificate is
   * self-signed or comes from a private authority.
   */
  caFile?: string | undefined;
  /**
   * Only these types of events, unless a destination has types of its own; all when left out or
   * empty.
   */
  types?: string[] | undefined;
  /** Only events of this agent's grants, unless a destination has its own `agentId`. */
  agentId?: string | undefined;
  /** Only events of this principal's grants, unless a destination has its own `principalId`. */
  principalId?: string | undefined;
  /** Only events of this grant, unless a destination has its own `grantId`. */
  grantId?: string | undefined;
  /**
   * Where a destination without a checkpoint starts; at the present unless given.
   */
  since?: string | Date | undefined;
  /**
   * The folder for checkpoints, batches in flight and dead letters. It is created if missing; one
   * source at a time can use it. Without it they are kept in memory and lost with the source.
   */
  stateDir?: string | undefined;
  /** How long `stop()` lets destinations finish, in milliseconds; 10,000 unless given. */
  stopLimitMs?: number | undefined;
  /**
   * Called with every failed delivery. The log has the same failures, but repeats those of an
   * outage less often.
   */
  onError?: ((error: DeliveryError) => void) | undefined;
  /** Called with every event that a destination rejected, once it is kept as a dead letter. */
  onDeadLetter?: ((letter: DeadLetter) => void) | undefined;
  /** Called with the log's records; unless given, warnings and errors go to the console. */
  onLog?: ((record: LogRecord) => void) | undefined;
}

/** An event that a destination rejected. */
export interface DeadLetter {
  destination: string;
  event: EventEnvelope;
  /** What the destination answered. */
  reason: string;
}

/** A dead letter that is kept. */
export interface KeptDeadLetter extends DeadLetter {
  /** Identifies it. */
  number: number;
  /** When it was refused, in milliseconds since 1970. */
  atMs: number;
  /** How often it was refused. */
  tries: number;
  /** Whether it waits to be delivered again. */
  isWaiting: boolean;
}

/** The result of a redelivery of dead letters. */
export interface Redelivery {
  /** Delivered, or dropped in the meantime. */
  delivered: number;
  /** Rejected again: they are still dead letters. */
  refused: number;
  /** Not delivered yet: their destination is down or does not run. */
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
  /** It delivers; it was stopped; it has ended with an error that requires action. */
  phase: 'running' | 'stopped' | 'failed';
  /** A delivery failed and is being retried. */
  isRetrying: boolean;
  /**
   * The failure requires action: a credential, a permission, the configuration, the state folder.
   */
  isFailing: boolean;
  /** Events that were delivered. */
  delivered: number;
  /** Batches that were delivered. */
  batches: number;
  /** Failed tries. */
  retries: number;
  /** Events that were rejected. */
  deadLetters: number;
  /**
   * Events that were read and are neither delivered nor rejected. What is left after `stop()` is
   * delivered at the next start if there is a `stateDir`.
   */
  pending: number;
  /** Recently delivered events per second. */
  rate: number;
  /**
   * The checkpoint: all events up to this id are delivered or rejected. `null` before there is one.
   */
  cursor: string | null;
  /** The last error; `null` if there was none. */
  lastError: string | null;
  /** When it last recovered, in milliseconds since 1970; `null` while it fails or if it did not. */
  recoveredAtMs: number | null;
}
