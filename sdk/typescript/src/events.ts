import type { EventFilter, GrantexEvent, StreamOptions, SubscribeOptions } from './event.js';
import { List, type ListParams } from './page.js';
import { rawItems, rawObject } from './raw.js';
import { EventStream, toEvent } from './stream.js';
import type { RequestOptions, Transport } from './transport.js';
import type { Ticket } from './types.js';

/** A part of the history. */
export interface HistoryParams extends EventFilter, ListParams {
  /** Before this time (ISO 8601, exclusive). */
  until?: string | undefined;
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

/** What a ticket allows to stream, and how long it lasts (`15m` unless given, at most `24h`). */
export interface TicketParams extends Omit<EventFilter, 'since'> {
  expiresIn?: string | undefined;
}

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
   * this service.
   *
   * @example
   * ```ts
   * for await (const event of grantex.events.stream({ eventTypes: ['budget.exhausted'] })) {
   *   if (event.type === 'budget.exhausted') await grantex.grants.revoke(event.data.grantId);
   * }
   * ```
   */
  stream(options: StreamOptions = {}): EventStream {
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
    const controller = new AbortController();
    const unsubscribe = (): void => controller.abort();
    const onError = options.onError ?? this.#onError;
    if (options.signal?.aborted) unsubscribe();
    options.signal?.addEventListener('abort', unsubscribe);
    const run = async (): Promise<void> => {
      for await (const event of this.stream({ ...options, signal: controller.signal })) {
        try {
          await handler(event);
        } catch (error) {
          onError(error);
        }
      }
    };
    run()
      .catch(onError)
      .finally(() => options.signal?.removeEventListener('abort', unsubscribe));
    return unsubscribe;
  }

  /** The history up to now, oldest first unless `newestFirst` is set. */
  list(params: HistoryParams = {}, options?: RequestOptions): List<GrantexEvent> {
    const { eventTypes, since, until, newestFirst, ...rest } = params;
    const types = eventTypes?.length ? eventTypes.join(',') : undefined;
    const order = newestFirst ? 'desc' : undefined;
    return new List(newestFirst ? rest.before : rest.after, async (place) => {
      const cursors = newestFirst
        ? { after: rest.after, before: place }
        : { after: place, before: rest.before };
      // A cursor takes precedence over a time.
      const times = {
        since: cursors.after ? undefined : since,
        until: cursors.before ? undefined : until,
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

  /** A ticket that opens streams in a browser, which cannot send an `Authorization` header. */
  createTicket(params: TicketParams = {}, options?: RequestOptions): Promise<Ticket> {
    const { eventTypes, ...rest } = params;
    const body = { ...rest, types: eventTypes?.length ? eventTypes : undefined };
    return this.#transport.json({ method: 'POST', path: '/v1/events/tickets', body }, options);
  }
}
