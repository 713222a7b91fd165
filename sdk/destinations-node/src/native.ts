import { loadAddon } from './binding.js';
import { ConfigError, type NativeError, toSourceError } from './errors.js';

/**
 * The function that the native half calls: `call(kind, id, destination, payload)`. Calls with an id
 * above 0 must be completed.
 */
export type Call = (kind: string, id: number, destination: string, payload: string) => void;

/** The native half: see `native/src/lib.rs`. All options, outcomes and figures are JSON. */
export interface NativeSource {
  addBuiltin(name: string, kind: string, options: string): void;
  addCustom(name: string, hasFlush: boolean, hasClose: boolean, options: string): void;
  start(): void;
  stop(): void;
  /** Waits for its last thread, after the `ended` call. */
  join(): void;
  /**
   * This and the next two are answered by `call("answer", id, …)`, unless the source ends before.
   */
  deadLetters(id: number): void;
  redeliver(id: number, numbers: number[], waitMs: number): void;
  dropDeadLetters(id: number, numbers: number[]): void;
  /** Frees a source that was not started. */
  discard(): void;
  complete(id: number, outcome: string): void;
  stats(): string;
}

/** The addon's exports. */
export interface Addon {
  NativeSource: new (options: string, asksForKey: boolean, call: Call) => NativeSource;
}

/** The outcome of a call. */
export type Outcome =
  | { outcome: 'done'; value?: string }
  | { outcome: 'failed'; message: string; retryAfterMs?: number }
  | { outcome: 'rejected'; message: string; events?: readonly number[]; othersDelivered: boolean };

/**
 * A source that is not started. Loads the native half: its absence is an error only now.
 */
export function makeNativeSource(options: string, asksForKey: boolean, call: Call): NativeSource {
  const { NativeSource } = loadAddon();
  return translated(() => new NativeSource(options, asksForKey, call));
}

/** Does work in the native half, and throws its failure as a {@link SourceError}. */
export function translated<T>(work: () => T): T {
  let failure: NativeError;
  try {
    return work();
  } catch (error) {
    failure = JSON.parse((error as Error).message);
  }
  throw toSourceError(failure);
}

/** Options in the form of the native half. */
export function encode(options: object, destination?: string): string {
  for (const [option, value] of Object.entries(options)) {
    // JSON has no such numbers: the options would be left out.
    if (typeof value === 'bigint' || (typeof value === 'number' && !Number.isFinite(value))) {
      throw new ConfigError(`${value} is not a valid number here`, destination, option);
    }
    if (value instanceof Date && Number.isNaN(value.valueOf())) {
      throw new ConfigError('is an invalid date', destination, option);
    }
    if (typeof value === 'function' || typeof value === 'symbol') {
      throw new ConfigError(`cannot be a ${typeof value}`, destination, option);
    }
  }
  return JSON.stringify(options);
}
