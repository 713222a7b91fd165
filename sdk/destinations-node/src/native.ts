import { loadAddon } from './binding.js';
import { ConfigError, type NativeError, toSourceError } from './errors.js';

/**
 * What the native half calls: `call(kind, id, destination, payload)`. Calls with an id above 0 are
 * to be completed.
 */
export type Call = (kind: string, id: number, destination: string, payload: string) => void;

/** The native half: see `native/src/lib.rs`. All options, outcomes and figures are JSON. */
export interface NativeSource {
  addBuiltin(name: string, kind: string, options: string): void;
  addCustom(name: string, hasFlush: boolean, hasClose: boolean, options: string): void;
  start(): void;
  stop(): void;
  /** Waits for its last thread, after the call that says that it has ended. */
  join(): void;
  /**
   * This and the next two are answered by `call("answer", id, …)`, unless the source ends before.
   */
  deadLetters(id: number): void;
  redeliver(id: number, numbers: number[], waitMs: number): void;
  dropDeadLetters(id: number, numbers: number[]): void;
  /** Gives up what it holds, of a source that is not started. */
  discard(): void;
  complete(id: number, outcome: string): void;
  stats(): string;
}

/** What the addon exports. */
export interface Addon {
  NativeSource: new (options: string, asksForKey: boolean, call: Call) => NativeSource;
}

/** What became of a call. */
export type Outcome =
  | { outcome: 'done'; value?: string }
  | { outcome: 'failed'; message: string; retryAfterMs?: number }
  | { outcome: 'rejected'; message: string; events?: readonly number[]; othersDelivered: boolean };

/**
 * A source that does nothing yet. Loads the native half, whose absence is an error then, not
 * before.
 */
export function makeNativeSource(options: string, asksForKey: boolean, call: Call): NativeSource {
  const { NativeSource } = loadAddon();
  return told(() => new NativeSource(options, asksForKey, call));
}

/** Does what may fail in the native half, and throws what it tells as a {@link SourceError}. */
export function told<T>(work: () => T): T {
  let failure: NativeError;
  try {
    return work();
  } catch (error) {
    failure = JSON.parse((error as Error).message);
  }
  throw toSourceError(failure);
}

/** Options as the native half takes them. */
export function encode(options: object, destination?: string): string {
  for (const [option, value] of Object.entries(options)) {
    // JSON has no such numbers: it would take them for options that are left out.
    if (typeof value === 'bigint' || (typeof value === 'number' && !Number.isFinite(value))) {
      throw new ConfigError(`${value} is no number that can be used here`, destination, option);
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
