import { type Call, loadAddon, type NativeSource } from './binding.js';
import { ConfigError, type NativeError, toSourceError } from './errors.js';

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
