import { delay, pause } from './backoff.js';
import {
  apiError,
  type GrantexError,
  mayPass,
  ProtocolError,
  StreamEndedError,
  TimeoutError,
} from './errors.js';
import type { GrantexEvent, StreamOptions } from './event.js';
import { checkTypes, timeText } from './options.js';
import { Decoder, type Item, type TooLong } from './sse.js';
import { agent, refusal, type Transport } from './transport.js';

/** The service sends something at least every 5 s; after three times that a connection is dead. */
const SILENCE_MS = 15_000;
const RECONNECT_DELAY_MS = 1_000;
const MAX_RECONNECT_DELAY_MS = 30_000;
/**
 * The longest `Retry-After` that is waited for: after it the next attempt shows whether it still
 * applies.
 */
const MAX_RETRY_AFTER_MS = 600_000;
/** It bounds memory. */
const MAX_EVENT_BYTES = 4 << 20;
const EVENT_ID = /^evt_[0-7][0-9A-HJKMNP-TV-Z]{25}$/;

/** The connection has ended, and the stream may reconnect. */
class Broken {
  readonly reason: GrantexError | undefined;
  readonly askedMs: number;
  constructor(reason?: GrantexError, askedMs = 0) {
    this.reason = reason;
    this.askedMs = askedMs;
  }
}

/** An open stream. */
interface Connection {
  controller: AbortController;
  reader: ReadableStreamDefaultReader<Uint8Array>;
  decoder: Decoder;
  /** What ends the stream once the events before it are delivered. */
  failure?: unknown;
}

/** Reads a stream: keeps its cursor, and replaces broken connections. */
export class EventReader {
  readonly #transport: Transport;
  readonly #options: StreamOptions;
  readonly #query: Record<string, string | undefined>;
  /** The cursor for `Last-Event-ID`. */
  #cursor: string | undefined;
  /** The last event that was delivered: nothing up to it is delivered again. */
  #last: string | undefined;
  #baseDelay: number;
  #connection: Connection | undefined;
  #failures = 0;
  /** The key was renewed, and has not been accepted since. */
  #renewed = false;

  constructor(transport: Transport, options: StreamOptions) {
    this.#transport = transport;
    this.#options = options;
    // It may come from a file, with the end of its line.
    this.#cursor = options.lastEventId?.trim();
    this.#last = this.#cursor;
    this.#baseDelay = options.reconnectDelayMs ?? RECONNECT_DELAY_MS;
    const { eventTypes, since, agentId, principalId, grantId } = options;
    const types = checkTypes(eventTypes)?.join(',');
    this.#query = { types, since: timeText(since), agentId, principalId, grantId };
  }

  /**
   * The next events, at most those of one read from the socket; `undefined` when the stream is
   * over. Throws where a reconnection cannot help.
   */
  async next(signal: AbortSignal): Promise<GrantexEvent[] | undefined> {
    while (!signal.aborted) {
      let broken: unknown;
      try {
        this.#connection ??= await this.#open(signal);
        const events = await this.#read(this.#connection);
        if (events?.length) return events;
        if (events) continue;
        broken = new Broken();
      } catch (error) {
        broken = error;
      }
      this.close();
      if (signal.aborted) return undefined;
      if (!(broken instanceof Broken)) throw broken;
      if (this.#options.reconnect === false) {
        if (broken.reason) throw broken.reason;
        return undefined;
      }
      const max = this.#options.maxReconnectDelayMs ?? MAX_RECONNECT_DELAY_MS;
      const wait = delay(this.#failures, this.#baseDelay, max, Math.random());
      const delayMs = Math.max(wait, Math.min(broken.askedMs, MAX_RETRY_AFTER_MS));
      this.#failures += 1;
      const { reason } = broken;
      this.#options.onReconnect?.({
        attempt: this.#failures,
        delayMs,
        reason,
        lastEventId: this.#cursor,
      });
      await pause(delayMs, signal);
    }
    return undefined;
  }

  /** Closes the connection. */
  close(): void {
    this.#connection?.controller.abort();
    this.#connection = undefined;
  }

  /** The events of one read; `undefined` when the service ended the connection. */
  async #read(connection: Connection): Promise<GrantexEvent[] | undefined> {
    if (connection.failure) throw connection.failure;
    const chunk = await this.#inTime(connection.controller, connection.reader.read());
    if (chunk.done) return undefined;
    const items: Item[] = [];
    const events: GrantexEvent[] = [];
    // Events before a failure are delivered before it.
    try {
      connection.decoder.feed(chunk.value, items);
    } catch (error) {
      connection.failure = new ProtocolError((error as TooLong).message);
    }
    if (items.length > 0) this.#failures = 0;
    try {
      for (const item of items) {
        const event = this.#take(item);
        if (event) events.push(event);
      }
    } catch (error) {
      connection.failure = error;
    }
    return events;
  }

  #take(item: Item): GrantexEvent | undefined {
    // An empty id would reset the cursor.
    if (item.kind === 'cursor' && item.id !== '') this.#cursor = item.id;
    if (item.kind === 'retry') this.#baseDelay = item.ms;
    if (item.kind !== 'message') return undefined;
    const event = parseEvent(item.data);
    if (this.#last !== undefined && isNotAfter(event.id, this.#last)) return undefined;
    this.#last = event.id;
    return event;
  }

  async #open(signal: AbortSignal): Promise<Connection> {
    const controller = new AbortController();
    const abort = (): void => controller.abort();
    signal.addEventListener('abort', abort);
    controller.signal.addEventListener('abort', () => signal.removeEventListener('abort', abort));
    try {
      const response = await this.#ask(controller);
      this.#renewed = false;
      this.#options.onOpen?.();
      const decoder = new Decoder(this.#options.maxEventBytes ?? MAX_EVENT_BYTES);
      return { controller, reader: response.getReader(), decoder };
    } catch (error) {
      controller.abort();
      throw error;
    }
  }

  async #ask(controller: AbortController): Promise<ReadableStream<Uint8Array>> {
    const key = await this.#transport.key();
    // A cursor takes precedence over a time.
    const query = this.#cursor ? { ...this.#query, since: undefined } : this.#query;
    const headers = new Headers({
      ...agent(),
      accept: 'text/event-stream',
      authorization: `Bearer ${key}`,
    });
    if (this.#cursor) headers.set('last-event-id', this.#cursor);
    const url = this.#transport.url({ path: '/v1/events/stream', query });
    const init: RequestInit = { headers, redirect: 'manual', signal: controller.signal };
    const response = await this.#inTime(controller, this.#transport.settings.fetch(url, init));
    if (response.status === 204) throw new StreamEndedError();
    if (response.status !== 200) {
      const error = apiError(
        refusal(response, await this.#inTime(controller, response.text())),
        true,
      );
      if (error.status === 401 && !this.#renewed && (await this.#transport.renew(key))) {
        this.#renewed = true;
        return this.#ask(controller);
      }
      throw mayPass(error) ? new Broken(error, error.retryAfterMs) : error;
    }
    const type = response.headers.get('content-type') ?? '';
    if (!type.toLowerCase().startsWith('text/event-stream') || !response.body) {
      throw new ProtocolError(
        `${this.#transport.settings.baseUrl} answers with "${type}", which is not an event stream: is the base URL right?`,
      );
    }
    return response.body;
  }

  /**
   * What `work` gives; {@link Broken} when it fails or the connection is silent. The timer runs
   * only during the wait.
   */
  async #inTime<T>(controller: AbortController, work: Promise<T>): Promise<T> {
    const silence = this.#options.silenceTimeoutMs ?? SILENCE_MS;
    let isSilent = false;
    const timer = setTimeout(() => {
      isSilent = true;
      controller.abort();
    }, silence);
    try {
      return await work;
    } catch (error) {
      if (isSilent)
        throw new Broken(new TimeoutError(`the service sent nothing for ${silence} ms`));
      throw new Broken(this.#transport.connectionError(error));
    } finally {
      clearTimeout(timer);
    }
  }
}

/**
 * The events of a stream, from `events.stream()`.
 *
 * `return()` ends it and closes its connection at once; a `next()` that waits then ends too.
 */
export class EventStream implements AsyncIterableIterator<GrantexEvent> {
  readonly #reader: EventReader;
  readonly #controller = new AbortController();
  readonly #signal: AbortSignal | undefined;
  /** What was read and not delivered yet: never more than one read from the socket. */
  #events: GrantexEvent[] = [];
  #reading: Promise<GrantexEvent[] | undefined> | undefined;
  /** Concurrent calls take turns. */
  #turn: Promise<unknown> = Promise.resolve();

  /** @internal */
  constructor(transport: Transport, options: StreamOptions) {
    this.#reader = new EventReader(transport, options);
    this.#signal = options.signal;
    if (this.#signal?.aborted) this.#end();
    else this.#signal?.addEventListener('abort', this.#end);
  }

  /** The next event. */
  next(): Promise<IteratorResult<GrantexEvent, void>> {
    return this.#inTurn(async () => (await this.#next()) ?? DONE);
  }

  /**
   * What `next()` gives, `{ done: false, value: event }` or, when the stream is over, `{ done: true
   * }`; `undefined` if no event comes within this many milliseconds. The stream goes on, and no
   * event is lost – unlike with `Promise.race`, which discards the event that `next()` gives later.
   */
  nextWithin(timeoutMs: number): Promise<IteratorResult<GrantexEvent, void> | undefined> {
    return this.#inTurn(() => this.#next(timeoutMs));
  }

  /** Ends the stream and closes its connection at once. */
  async return(): Promise<IteratorResult<GrantexEvent, void>> {
    this.#end();
    return DONE;
  }

  /** Ends the stream, and throws `error`. */
  async throw(error: unknown): Promise<IteratorResult<GrantexEvent, void>> {
    this.#end();
    throw error;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  readonly #end = (): void => {
    this.#controller.abort();
    this.#signal?.removeEventListener('abort', this.#end);
    this.#events = [];
    this.#reader.close();
  };

  async #next(timeoutMs?: number): Promise<IteratorResult<GrantexEvent, void> | undefined> {
    const { signal } = this.#controller;
    while (!signal.aborted) {
      const value = this.#events.shift();
      if (value) return { done: false, value };
      // A read that has begun outlives a wait that is given up.
      this.#reading ??= this.#reader.next(signal);
      const reading = this.#reading;
      // A failure while nobody waits is given to the next call.
      reading.catch(() => undefined);
      let timer: ReturnType<typeof setTimeout> | undefined;
      try {
        const late = new Promise<typeof LATE>((resolve) => {
          if (timeoutMs !== undefined) timer = setTimeout(resolve, timeoutMs, LATE);
        });
        const events = await (timeoutMs === undefined ? reading : Promise.race([reading, late]));
        if (events === LATE) return undefined;
        this.#reading = undefined;
        if (!events) break;
        this.#events = events;
      } catch (error) {
        this.#end();
        throw error;
      } finally {
        clearTimeout(timer);
      }
    }
    this.#end();
    return DONE;
  }
}

const DONE: IteratorReturnResult<void> = { done: true, value: undefined };
const LATE = Symbol('late');
// For `await using`, where the runtime has it.
const { asyncDispose } = Symbol as { asyncDispose?: symbol };
if (asyncDispose) {
  Object.defineProperty(EventStream.prototype, asyncDispose, {
    async value(this: EventStream): Promise<void> {
      await this.return();
    },
  });
}

/** An event from its envelope's JSON. */
export function parseEvent(json: string): GrantexEvent {
  let envelope: unknown;
  try {
    envelope = JSON.parse(json);
  } catch {
    throw new ProtocolError('an event is not JSON: is the base URL right?');
  }
  return toEvent(envelope, json);
}

/** An event from its parsed envelope, and from the envelope's JSON. */
export function toEvent(envelope: unknown, json = ''): GrantexEvent {
  const { id, type, createdAt, data } = Object(envelope);
  if (typeof id !== 'string' || typeof type !== 'string' || typeof createdAt !== 'string') {
    throw new ProtocolError('an event has no id, type or createdAt: is the base URL right?');
  }
  const event = { id, type, timestamp: createdAt, data };
  // Not enumerable: neither printed nor compared with the event.
  return Object.defineProperty(event, 'json', { value: json }) as GrantexEvent;
}

/** Ids of this form increase strictly within a log; others can only be compared for equality. */
function isNotAfter(id: string, last: string): boolean {
  return id === last || (id < last && EVENT_ID.test(id) && EVENT_ID.test(last));
}
