import type { EventFilter, GrantexEvent, StreamOptions, SubscribeOptions } from './event.js';
import { checkOptions, checkTypes, timeText } from './options.js';
import { List, type ListParams } from './page.js';
import { rawItems, rawObject } from './raw.js';
import { EventStream, toEvent } from './stream.js';
import type { RequestOptions, Transport } from './transport.js';
import type { Ticket } from './types.js';

/** A part of the history. */
export interface HistoryParams extends EventFilter, ListParams {
  /** Before this time (ISO 8601 or a `Date`, exclusive). */
  until?: string | Date | undefined;
  /** Only what was committed before this event; takes precedence over `until`. */
  before?: string | undefined;
  /** Newest first. The `nextCursor` of a page is then the `before` of the next one. */
  newestFirst?: boolean | undefined;
}

/** An event with its position. */
export interface PlacedEvent {
  /** Its position in the log: 1, 2, 3, … without gaps. */
  position: number;
  event: GrantexEvent;
}

/**
 * What a ticket allows to stream, and how long it lasts (`15m` unless given, at most `24h`). A
 * filter that is there must have a value: an `undefined` one would not restrict the ticket.
 */
export interface TicketParams {
  expiresIn?: string | undefined;
  /** Only these types; all of them when left out or empty. */
  eventTypes?: string[];
  /** Only events of this agent's grants. */
  agentId?: string;
  /** Only events of this principal's grants. */
  principalId?: string;
  /** Only events of this grant. */
  grantId?: string;
}

/** What restricts a ticket. */
const TICKET_FILTERS = ['eventTypes', 'agentId', 'principalId', 'grantId'] as const;

/** The event log: streams, subscriptions, the history. */
export class Events {
  readonly #transport: Transport;
  readonly #onError: (error: unknown) => void;

  /** @internal */
  constructor(transport: Transport, onError: (error: unknown) => void) {
    this.#transport = transport;
    this.#onError = onError;
  }

  /**
   * Events as they happen, after those since a point in the past if one is given. It reconnects by
   * itself, resumes after the last event, and reads from the socket only as fast as it is iterated.
   * Leaving the loop, `return()` and aborting `signal` close the connection at once, also during a
   * wait for an event.
   *
   * It throws where a reconnection cannot help: an {@link ApiError} for 400, 401 (with a key
   * function: only for a fresh key), 403, 410 and other 4xx except 408, 409 and 429; {@link
   * StreamEndedError} for 204; {@link ProtocolError} for anything that is not an event stream of
   * this service. An option that does not exist is a `TypeError` at once, as in all calls of the
   * event log.
   *
   * @example
   * ```ts
   * for await (const event of grantex.events.stream({ eventTypes: ['budget.exhausted'] })) {
   *   if (event.type === 'budget.exhausted') await grantex.grants.revoke(event.data.grantId);
   * }
   * ```
   */
  stream(options: StreamOptions = {}): EventStream {
    checkOptions('events.stream', options);
    return new EventStream(this.#transport, options);
  }

  /**
   * Calls `handler` for each event, one at a time; a promise that it returns is awaited first.
   * Returns the function that ends the subscription and closes its connection at once.
   *
   * @example
   * ```ts
   * const unsubscribe = grantex.events.subscribe((event) => console.log(event.type, event.data));
   * unsubscribe();
   * ```
   */
  subscribe(
    handler: (event: GrantexEvent) => void | Promise<void>,
    options: SubscribeOptions = {},
  ): () => void {
    checkOptions('events.subscribe', options);
    const { onError: given, signal, ...rest } = options;
    const onError = given ?? this.#onError;
    const controller = new AbortController();
    const events = this.stream({ ...rest, signal: controller.signal });
    const unsubscribe = (): void => controller.abort();
    if (signal?.aborted) unsubscribe();
    signal?.addEventListener('abort', unsubscribe);
    const run = async (): Promise<void> => {
      for await (const event of events) {
        try {
          await handler(event);
        } catch (error) {
          onError(error);
        }
      }
    };
    run()
      .catch(onError)
      .finally(() => signal?.removeEventListener('abort', unsubscribe));
    return unsubscribe;
  }

  /** The history up to now, oldest first unless `newestFirst` is set. */
  list(params: HistoryParams = {}, options?: RequestOptions): List<GrantexEvent> {
    checkOptions('events.list', params);
    const { eventTypes, since, until, newestFirst, ...rest } = params;
    const types = checkTypes(eventTypes)?.join(',');
    const order = newestFirst ? 'desc' : undefined;
    return new List(newestFirst ? rest.before : rest.after, async (place) => {
      const cursors = newestFirst
        ? { after: rest.after, before: place }
        : { after: place, before: rest.before };
      // A cursor takes precedence over a time.
      const times = {
        since: cursors.after ? undefined : timeText(since),
        until: cursors.before ? undefined : timeText(until),
      };
      const query = { ...rest, types, order, ...times, ...cursors };
      type Answer = { events: unknown[]; nextCursor: string | null };
      const call = { method: 'GET', path: '/v1/events', query };
      const [{ events, nextCursor }, text] = await this.#transport.jsonAndText<Answer>(
        call,
        options,
      );
      const texts = Array.isArray(events) ? rawItems(text, 'events') : [];
      return { items: events?.map((event, index) => toEvent(event, texts[index])), nextCursor };
    });
  }

  /**
   * One event with its position in the log. Throws {@link NotFoundError} when it does not exist,
   * and {@link GoneError} when the log no longer reaches back that far.
   */
  async get(eventId: string, options?: RequestOptions): Promise<PlacedEvent> {
    const call = { method: 'GET', path: `/v1/events/${encodeURIComponent(eventId)}` };
    type Answer = { position: number; event: unknown };
    const [{ position, event }, text] = await this.#transport.jsonAndText<Answer>(call, options);
    return { position, event: toEvent(event, rawObject(text, 'event')) };
  }

  /**
   * A ticket that opens streams in a browser, which cannot send an `Authorization` header. Without
   * a filter it reads all of your events. A filter that is `undefined` or `null` is a `TypeError`,
   * so that a missing value of a session does not make such a ticket.
   */
  async createTicket(params: TicketParams = {}, options?: RequestOptions): Promise<Ticket> {
    checkOptions('events.createTicket', params);
    for (const name of TICKET_FILTERS) {
      if (name in params && (params[name] ?? undefined) === undefined) {
        throw new TypeError(
          `events.createTicket: ${name} is ${params[name]}, which would not restrict the ticket: give a value, or leave ${name} out`,
        );
      }
    }
    const { eventTypes, ...rest } = params;
    const body = { ...rest, types: checkTypes(eventTypes) };
    return this.#transport.json({ method: 'POST', path: '/v1/events/tickets', body }, options);
  }
}
