/** The kind of a {@link SourceError}. */
export type SourceErrorCode =
  | 'invalid_config'
  | 'key_refused'
  | 'state_unusable'
  | 'lost_position'
  | 'already_started'
  | 'not_running'
  | 'no_binary';

/**
 * Why a source does not run, or why it ended: what `start()` rejects with.
 *
 * @example
 * ```ts
 * try {
 *   await source.start();
 * } catch (error) {
 *   if (error instanceof ConfigError) console.error(error.destination, error.option, error.message);
 *   else throw error;
 * }
 * ```
 */
export class SourceError extends Error {
  /** The kind of error; stable. */
  readonly code: SourceErrorCode;
  /** The destination that it concerns; `undefined` for the source itself. */
  readonly destination: string | undefined;

  /** @internal */
  constructor(code: SourceErrorCode, message: string, destination?: string) {
    super(message);
    this.code = code;
    this.destination = destination;
  }

  override get name(): string {
    return this.constructor.name;
  }
}

/** The configuration is invalid. Nothing was delivered. */
export class ConfigError extends SourceError {
  /** The option to change, if the error concerns one. */
  readonly option: string | undefined;

  /** @internal */
  constructor(message: string, destination?: string, option?: string) {
    const where = destination === undefined ? '' : `destination ${JSON.stringify(destination)}: `;
    super(
      'invalid_config',
      `${where}${option === undefined ? '' : `${option}: `}${message}`,
      destination,
    );
    this.option = option;
  }
}

/** The service refuses the API key. */
export class KeyRefusedError extends SourceError {}

/** The state folder is in use by another process, cannot be read or written, or is damaged. */
export class StateError extends SourceError {}

/**
 * The log does not have the position, and `onLostPosition` is `'stop'`: events were deleted before
 * they could be delivered, or the service was restored from an older copy.
 */
export class LostPositionError extends SourceError {}

/**
 * A delivery failed: `onError` is called with it. It is retried, unless `retryInMs` is `undefined`.
 */
export class DeliveryError extends Error {
  /** The destination that it concerns. */
  readonly destination: string;
  /** The number of failures in a row. */
  readonly failures: number;
  /** Whether it requires action: a credential, a permission, a full disk. */
  readonly needsAction: boolean;
  /**
   * The time until the retry, in milliseconds; `undefined`: there is none, and the destination gets
   * no more events.
   */
  readonly retryInMs: number | undefined;

  /** @internal */
  constructor(message: string, about: Omit<DeliveryError, keyof Error>, cause: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.destination = about.destination;
    this.failures = about.failures;
    this.needsAction = about.needsAction;
    this.retryInMs = about.retryInMs;
  }

  override get name(): string {
    return 'DeliveryError';
  }
}

/**
 * For a destination's `send` to throw: it rejects events that it will never accept. They become
 * dead letters, and the delivery continues after them. It counts at once, also before the
 * destination has accepted anything: throw it only when an event is at fault.
 *
 * @example
 * ```ts
 * if (response.status === 400) throw new RejectError(await response.text());
 * ```
 */
export class RejectError extends Error {
  /**
   * The indexes of the rejected events in the array of `send`; all of them when `undefined`. An
   * index that is not in the array is logged.
   */
  readonly events: readonly number[] | undefined;
  /**
   * Whether the other events are delivered. If not, they are sent again without these, with
   * `isRepeat`.
   */
  readonly othersDelivered: boolean;

  constructor(
    message: string,
    options: { events?: readonly number[]; othersDelivered?: boolean } = {},
  ) {
    super(message);
    this.events = options.events;
    this.othersDelivered = options.othersDelivered ?? false;
  }

  override get name(): string {
    return 'RejectError';
  }
}

/**
 * For a destination's `send` to throw: the same batch is to be sent again, but not before this
 * time. After any other error the batch is sent again too, after a time that grows with each
 * failure.
 *
 * @example
 * ```ts
 * if (response.status === 429) throw new RetryError('busy', { retryAfterMs: 30_000 });
 * ```
 */
export class RetryError extends Error {
  /** How long to wait at least, in milliseconds. */
  readonly retryAfterMs: number | undefined;

  constructor(message: string, options: { retryAfterMs?: number } = {}) {
    super(message);
    this.retryAfterMs = options.retryAfterMs;
  }

  override get name(): string {
    return 'RetryError';
  }
}

/** An error of the native half. */
export interface NativeError {
  code: SourceErrorCode;
  message: string;
  destination?: string;
  option?: string;
}

/** The error for the application. */
export function toSourceError({ code, message, destination, option }: NativeError): SourceError {
  if (code === 'invalid_config') return new ConfigError(message, destination, option);
  const where =
    destination === undefined ? message : `destination ${JSON.stringify(destination)}: ${message}`;
  const Kind = {
    key_refused: KeyRefusedError,
    state_unusable: StateError,
    lost_position: LostPositionError,
  };
  const Class = code in Kind ? Kind[code as keyof typeof Kind] : SourceError;
  return new Class(code, where, destination);
}
