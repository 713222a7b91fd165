import type { NativeSource } from './binding.js';
import type { BatchInfo, DeliveryOptions, EventDestination } from './destination.js';
import { BuiltinDestination } from './destinations.js';
import {
  ConfigError,
  DeliveryError,
  type NativeError,
  RejectError,
  RetryError,
  SourceError,
  toSourceError,
} from './errors.js';
import type { EventEnvelope } from './event.js';
import { encode, makeNativeSource, type Outcome, translated } from './native.js';
import type {
  DestinationStats,
  EventSourceOptions,
  KeptDeadLetter,
  LogRecord,
  Redelivery,
} from './options.js';

/** A destination of this package or of your own. */
export type Destination = BuiltinDestination | EventDestination;

interface Member {
  destination: Destination;
  options: DeliveryOptions;
}

/**
 * Delivers the events of a service to any number of destinations. Each has its own cursor, batches,
 * retries and checkpoint: one that is down does not delay the others, and catches up from the
 * service's log.
 *
 * It keeps the process alive while it runs, and leaves signals to the application.
 *
 * @example
 * ```ts
 * const source = new EventSource({
 *   url: 'http://127.0.0.1:8080',
 *   apiKey: process.env.GRANTEX_API_KEY,
 *   types: ['grant.created', 'grant.revoked'],
 *   stateDir: './forward-state',
 * });
 * source.addDestination(new DatadogDestination({ apiKey: process.env.DD_API_KEY! }));
 *
 * process.once('SIGTERM', () => source.stop());
 * await source.start(); // until it is stopped
 * ```
 */
export class EventSource {
  readonly #options: EventSourceOptions;
  readonly #members = new Map<string, Member>();
  /** The error of the next `start()`: two destinations have the same name. */
  #mistake: SourceError | undefined;
  #native: NativeSource | undefined;
  #phase: 'new' | 'running' | 'ended' = 'new';
  #isStopping = false;
  #end: (ended: Ended) => void = () => {};
  readonly #ended = new Promise<Ended>((resolve) => {
    this.#end = resolve;
  });
  #lastStats: DestinationStats[] = [];
  readonly #questions = new Map<number, (answer: string | undefined) => void>();
  #lastQuestion = 0;
  /** What the destinations last threw: the cause of the error that `onError` is called with. */
  readonly #causes = new Map<string, unknown>();

  /** Nothing is checked or opened before {@link EventSource.start}. */
  constructor(options: EventSourceOptions = {}) {
    this.#options = { ...options };
  }

  /**
   * Adds a destination. If the source runs, delivery to it begins at once. `options` are for a
   * destination of your own: its filters, batches and retries.
   *
   * @throws ConfigError if the source runs and the destination's options are invalid. Before the
   * start, `start()` rejects with it.
   */
  addDestination(destination: Destination, options: DeliveryOptions = {}): void {
    if (this.#phase === 'ended')
      throw new SourceError('already_started', 'this source has ended; create another one');
    const member = { destination, options };
    const name = String(Object(destination).name);
    if (this.#phase === 'running') {
      this.#add(member);
    } else if (this.#members.has(name)) {
      this.#mistake ??= new ConfigError(
        'is used twice; give one of the two destinations another `name`',
        name,
        'name',
      );
    }
    this.#members.set(name, member);
  }

  /**
   * Delivers until {@link EventSource.stop} is called.
   *
   * Rejects with a {@link ConfigError} when the configuration is invalid, a {@link KeyRefusedError}
   * when the service refuses the key, a {@link StateError} when the state folder cannot be used,
   * and when every destination has ended, with the error of the first. While a service or a
   * destination is down, it retries.
   */
  async start(): Promise<void> {
    if (this.#phase !== 'new')
      throw new SourceError(
        'already_started',
        'this source was started before; create another one',
      );
    if (this.#isStopping) {
      this.#phase = 'ended';
      return;
    }
    try {
      this.#open();
    } catch (error) {
      this.#native?.discard();
      this.#close([]);
      throw error;
    }
    const { error } = await this.#ended;
    if (error) throw toSourceError(error);
  }

  /**
   * Stops reading, delivers what was read within `stopLimitMs`, and closes the destinations.
   * Resolves when that is done, with the last figures: `pending` events are left. Never rejects.
   */
  async stop(): Promise<DestinationStats[]> {
    this.#isStopping = true;
    if (this.#phase === 'running') {
      this.#native?.stop();
      await this.#ended;
    }
    return this.stats();
  }

  /** The figures of each destination, ordered by name; empty before the start. */
  stats(): DestinationStats[] {
    return this.#native ? JSON.parse(this.#native.stats()) : this.#lastStats;
  }

  /** The dead letters that are kept, oldest first. Only while the source runs. */
  deadLetters(): Promise<KeptDeadLetter[]> {
    return this.#ask('reading the dead letters', (native, id) => native.deadLetters(id));
  }

  /**
   * Delivers dead letters again, for example after the receiver was repaired. Resolves with the
   * counts when each is delivered or rejected again, or after `waitMs` (30 s unless given): what
   * still waits then is delivered as soon as its destination accepts it, also after a restart if
   * there is a `stateDir`. Only while the source runs; rejects with a {@link SourceError} if it
   * ends before.
   *
   * @example
   * ```ts
   * const { delivered, refused, waiting } = await source.redeliver(await source.deadLetters());
   * ```
   */
  async redeliver(
    letters: readonly KeptDeadLetter[],
    options: { waitMs?: number } = {},
  ): Promise<Redelivery> {
    const waitMs = Math.min(
      Math.max(options.waitMs ?? REDELIVERY_WAIT_MS, 0),
      MOST_REDELIVERY_WAIT_MS,
    );
    const chosen = numbers(letters);
    return this.#ask('the redelivery', (native, id) => native.redeliver(id, chosen, waitMs));
  }

  /** Deletes dead letters. Only while the source runs. */
  async dropDeadLetters(letters: readonly KeptDeadLetter[]): Promise<void> {
    const chosen = numbers(letters);
    return this.#ask('the deletion', (native, id) => native.dropDeadLetters(id, chosen));
  }

  async #ask<T>(work: string, question: (native: NativeSource, id: number) => void): Promise<T> {
    const native = this.#native;
    const answer = await new Promise<string | undefined>((resolve) => {
      if (!native) return resolve(undefined);
      this.#lastQuestion += 1;
      this.#questions.set(this.#lastQuestion, resolve);
      question(native, this.#lastQuestion);
    });
    if (answer === undefined) {
      const message = native ? `the source was stopped during ${work}` : NOT_RUNNING;
      throw new SourceError('not_running', message);
    }
    const { value, error } = JSON.parse(answer);
    if (error) throw toSourceError(error);
    return value;
  }

  #open(): void {
    if (this.#mistake) throw this.#mistake;
    const asksForKey = typeof this.#options.apiKey === 'function';
    const functions = { onError: undefined, onDeadLetter: undefined, onLog: undefined };
    const options = { ...this.#options, ...functions, ...(asksForKey && { apiKey: undefined }) };
    this.#native = makeNativeSource(encode(options), asksForKey, this.#called);
    for (const member of this.#members.values()) this.#add(member);
    this.#phase = 'running';
    this.#native.start();
  }

  #close(stats: DestinationStats[]): void {
    this.#phase = 'ended';
    this.#lastStats = stats;
    // The native half is freed with it.
    this.#native = undefined;
  }

  #add({ destination, options }: Member): void {
    const native = this.#native;
    if (!native) return;
    if (
      typeof destination !== 'object' ||
      destination === null ||
      typeof destination.name !== 'string'
    ) {
      throw new ConfigError('a destination must have a `name`');
    }
    const { name } = destination;
    const builtin = BuiltinDestination.definitionOf(destination);
    if (builtin) {
      translated(() =>
        native.addBuiltin(name, builtin.kind, encode({ ...builtin.options, ...options }, name)),
      );
      return;
    }
    const { send, flush, close } = destination as EventDestination;
    if (typeof send !== 'function')
      throw new ConfigError('must be a function: it is called with the events', name, 'send');
    translated(() =>
      native.addCustom(
        name,
        typeof flush === 'function',
        typeof close === 'function',
        encode(options, name),
      ),
    );
  }

  /** Handles the calls of the native half, in their order. */
  readonly #called = (kind: string, id: number, destination: string, payload: string): void => {
    switch (kind) {
      case 'send':
      case 'flush':
      case 'close':
        void this.#complete(id, destination, () => this.#deliver(kind, destination, payload));
        break;
      case 'answer':
        this.#questions.get(id)?.(payload);
        this.#questions.delete(id);
        break;
      case 'key':
        void this.#complete(id, '', () => this.#key());
        break;
      case 'failed':
        this.#notify(this.#options.onError, () => this.#failure(destination, JSON.parse(payload)));
        break;
      case 'rejected':
        for (const letter of JSON.parse(payload)) {
          this.#notify(this.#options.onDeadLetter, () => ({ destination, ...letter }));
        }
        break;
      case 'log':
        this.#notify(this.#options.onLog ?? toConsole, () => JSON.parse(payload));
        break;
      case 'ended': {
        const ended: Ended = JSON.parse(payload);
        this.#native?.join();
        for (const unanswered of this.#questions.values()) unanswered(undefined);
        this.#close(ended.stats);
        this.#end(ended);
      }
    }
  };

  /** Does work that may be asynchronous, and reports its outcome. */
  async #complete(id: number, destination: string, work: () => unknown): Promise<void> {
    let outcome: Outcome;
    try {
      const value = await work();
      outcome = typeof value === 'string' ? { outcome: 'done', value } : { outcome: 'done' };
    } catch (error) {
      if (destination !== '') this.#causes.set(destination, error);
      outcome = failed(error);
    }
    this.#native?.complete(id, JSON.stringify(outcome));
  }

  async #deliver(kind: 'send' | 'flush' | 'close', name: string, payload: string): Promise<void> {
    const destination = this.#members.get(name)?.destination as EventDestination;
    if (kind !== 'send') return destination[kind]?.();
    const { events, ...batch }: { events: EventEnvelope[] } & BatchInfo = JSON.parse(payload);
    await destination.send(events, batch);
  }

  async #key(): Promise<string> {
    const { apiKey } = this.#options;
    return typeof apiKey === 'function' ? apiKey() : (apiKey ?? '');
  }

  #failure(
    destination: string,
    { message, failures, needsAction, retryInMs }: FailureMessage,
  ): DeliveryError {
    const cause = this.#causes.get(destination);
    this.#causes.delete(destination);
    const about = { destination, failures, needsAction, retryInMs: retryInMs ?? undefined };
    return new DeliveryError(message, about, cause);
  }

  /** Calls one of the application's functions, whose errors must not end the delivery. */
  #notify<T>(listener: ((value: T) => void) | undefined, value: () => T): void {
    if (!listener) return;
    try {
      const returned: unknown = listener(value());
      if (returned instanceof Promise) returned.catch(complain);
    } catch (error) {
      complain(error);
    }
  }
}

const NOT_RUNNING =
  'this source does not run; dead letters are available after start() is called and until it has stopped';
/** How long `redeliver` waits by default. */
const REDELIVERY_WAIT_MS = 30_000;
/** The longest wait of `redeliver`: a day. */
const MOST_REDELIVERY_WAIT_MS = 86_400_000;
/** The longest wait that a `RetryError` can ask for: a day. */
const MOST_RETRY_MS = 86_400_000;

interface Ended {
  error: NativeError | null;
  stats: DestinationStats[];
}

interface FailureMessage {
  message: string;
  failures: number;
  needsAction: boolean;
  retryInMs: number | null;
}

function numbers(letters: readonly KeptDeadLetter[]): number[] {
  const chosen = Array.isArray(letters) ? letters.map((letter) => Object(letter).number) : [];
  if (!Array.isArray(letters) || !chosen.every(Number.isInteger))
    throw new TypeError('expected an array of dead letters, as deadLetters() returns them');
  return chosen;
}

function failed(error: unknown): Outcome {
  const message = messageOf(error);
  if (error instanceof RejectError) {
    const { events, othersDelivered } = error;
    return { outcome: 'rejected', message, othersDelivered, ...(events && { events }) };
  }
  const after = error instanceof RetryError ? error.retryAfterMs : undefined;
  // It often comes from a header: a value that is not a time is ignored.
  const retryAfterMs =
    after !== undefined && after > 0 ? Math.min(Math.ceil(after), MOST_RETRY_MS) : undefined;
  return { outcome: 'failed', message, ...(retryAfterMs !== undefined && { retryAfterMs }) };
}

/** Anything can be thrown, also a value that cannot be converted to a string. */
function messageOf(error: unknown): string {
  try {
    return String(error instanceof Error ? error.message : error);
  } catch {
    return 'a value that cannot be converted to a string was thrown';
  }
}

function complain(error: unknown): void {
  console.error('[grantex] a function of the application failed:', error);
}

function toConsole({ level, message, fields }: LogRecord): void {
  if (level === 'info') return;
  const shown = Object.entries(fields).map(([name, value]) => ` ${name}=${JSON.stringify(value)}`);
  console[level](`[grantex] ${message}${shown.join('')}`);
}
