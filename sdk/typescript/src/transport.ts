import { delay, pause, retryAfter } from './backoff.js';
import { webcrypto } from './crypto.js';
import {
  ApiError,
  apiError,
  ConfigurationError,
  ConnectionError,
  didNothing,
  GrantexError,
  mayPass,
  ProtocolError,
  TimeoutError,
} from './errors.js';
import { redacted } from './redact.js';
import { VERSION } from './version.js';

/** The longest delay between two tries of a call. */
const MAX_RETRY_DELAY_MS = 8_000;
/** A longer `Retry-After` is reported to the caller, not waited for. */
const MAX_RETRY_AFTER_MS = 60_000;
/** Browsers set `User-Agent` themselves, and need the service's consent (CORS) for more headers. */
const IN_BROWSER = 'document' in globalThis;

/** Options of one call. */
export interface RequestOptions {
  /** Ends the call. */
  signal?: AbortSignal | undefined;
  /** How long one try may take, in milliseconds. */
  timeoutMs?: number | undefined;
  /** How often a failed call is retried where that is safe. */
  maxRetries?: number | undefined;
}

/** Options of a call that creates or spends. */
export interface CreateOptions extends RequestOptions {
  /**
   * Identifies what is created: the same key with the same request gives the first answer again,
   * for 24 hours. Random unless given; all tries of a call have the same one.
   */
  idempotencyKey?: string | undefined;
}

/** How a token is verified. */
export interface VerifyOptions extends RequestOptions {
  /** The audience that you are: a token for another audience, or for none, is not valid. */
  audience?: string | undefined;
}

/** One call. */
export interface Call {
  method: string;
  path: string;
  query?: Record<string, string | number | undefined> | undefined;
  body?: object | undefined;
  /** It needs no API key and sends none. */
  isPublic?: boolean;
  /**
   * Not safe to repeat: it is retried only where the service says that it had no effect.
   */
  unsafe?: boolean;
  /** It creates or spends: an idempotency key makes it safe to repeat. */
  creates?: boolean;
}

/** The settings of all calls. */
export interface Settings {
  baseUrl: string;
  apiKey: string | (() => string | Promise<string>) | undefined;
  timeoutMs: number;
  maxRetries: number;
  retryDelayMs: number;
  fetch: typeof fetch;
}

/** Sends calls: API key, retries, time limits, errors. */
export class Transport {
  readonly settings: Settings;
  #key: Promise<string> | undefined;

  constructor(settings: Settings) {
    this.settings = settings;
    if (typeof settings.apiKey === 'string') checkKey(settings.apiKey);
  }

  /** The API key to use now. */
  async key(): Promise<string> {
    const { apiKey } = this.settings;
    if (typeof apiKey === 'string') return apiKey;
    if (!apiKey)
      throw new ConfigurationError(
        'no API key: set GRANTEX_API_KEY, or give the client one as apiKey',
      );
    if (!this.#key) {
      const asked = Promise.resolve(apiKey()).then(checkKey);
      this.#key = asked;
      // A failure is not kept.
      asked.catch(() => {
        if (this.#key === asked) this.#key = undefined;
      });
    }
    return this.#key;
  }

  /** Forgets `refused`, so that the function is called again; `false` where there is none. */
  async renew(refused: string): Promise<boolean> {
    if (typeof this.settings.apiKey !== 'function') return false;
    // Another call may have renewed it already.
    if ((await this.#key?.catch(() => refused)) === refused) this.#key = undefined;
    return true;
  }

  /** Sends a call, with retries where that is safe, and gives the answer's JSON. */
  async json<T>(call: Call, options: CreateOptions = {}): Promise<T> {
    return (await this.jsonAndText<T>(call, options))[0];
  }

  /** The answer's JSON, parsed and as it came. */
  async jsonAndText<T>(call: Call, options: CreateOptions = {}): Promise<[T, string]> {
    const text = await this.#send(call, options);
    try {
      return [JSON.parse(text) as T, text];
    } catch {
      throw new ProtocolError(
        `the answer of ${this.settings.baseUrl}${call.path} is not JSON: is the base URL right?`,
      );
    }
  }

  /** Sends a call whose answer has no content. */
  async done(call: Call, options: RequestOptions = {}): Promise<void> {
    await this.#send(call, options);
  }

  async #send(call: Call, options: CreateOptions): Promise<string> {
    const maxRetries = options.maxRetries ?? this.settings.maxRetries;
    const headers = new Headers(agent());
    if (call.body) headers.set('content-type', 'application/json');
    if (call.creates) headers.set('idempotency-key', options.idempotencyKey ?? (await randomKey()));
    let renewed = false;
    // Whether an earlier try may have taken effect although its answer was lost.
    let inDoubt = false;
    for (let attempt = 0; ; ) {
      const key = call.isPublic ? undefined : await this.key();
      if (key) headers.set('authorization', `Bearer ${key}`);
      try {
        return await this.#once(call, headers, options);
      } catch (error) {
        if (!(error instanceof GrantexError) || options.signal?.aborted) throw error;
        const api = error instanceof ApiError ? error : undefined;
        if (api?.status === 401 && key && !renewed && (await this.renew(key))) {
          renewed = true;
          continue;
        }
        if (api?.status === 404 && inDoubt && call.method === 'DELETE') return '';
        const nothing = api !== undefined && didNothing(api);
        const passing = api
          ? mayPass(api)
          : error instanceof ConnectionError || error instanceof TimeoutError;
        const asked = api?.retryAfterMs ?? 0;
        const again = passing && (!call.unsafe || nothing) && asked <= MAX_RETRY_AFTER_MS;
        if (!again || attempt >= maxRetries) throw error;
        inDoubt ||= !nothing;
        const wait = delay(attempt, this.settings.retryDelayMs, MAX_RETRY_DELAY_MS, Math.random());
        await pause(Math.max(wait, asked), options.signal);
        attempt += 1;
      }
    }
  }

  async #once(call: Call, headers: Headers, options: RequestOptions): Promise<string> {
    const timeoutMs = options.timeoutMs ?? this.settings.timeoutMs;
    const controller = new AbortController();
    const abort = (): void => controller.abort(options.signal?.reason);
    if (options.signal?.aborted) abort();
    options.signal?.addEventListener('abort', abort);
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      controller.abort();
    }, timeoutMs);
    try {
      const body = call.body ? JSON.stringify(call.body) : null;
      const init: RequestInit = { method: call.method, headers, body, redirect: 'manual' };
      const response = await this.settings.fetch(this.url(call), {
        ...init,
        signal: controller.signal,
      });
      const text = await response.text();
      if (!response.ok) throw apiError(refusal(response, text));
      return text;
    } catch (error) {
      if (error instanceof GrantexError) throw error;
      if (isLate) throw new TimeoutError(`the service did not answer within ${timeoutMs} ms`);
      if (options.signal?.aborted) throw options.signal.reason;
      throw this.connectionError(error);
    } finally {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', abort);
    }
  }

  /** A call's URL. */
  url(call: Pick<Call, 'path' | 'query'>): string {
    const query = Object.entries(call.query ?? {})
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => `${name}=${encodeURIComponent(value ?? '')}`)
      .join('&');
    return `${this.settings.baseUrl}${call.path}${query && '?'}${query}`;
  }

  /** A failure below HTTP, in one sentence. */
  connectionError(error: unknown): ConnectionError {
    const cause = (error as { cause?: unknown }).cause ?? error;
    const reason = cause instanceof Error ? cause.message || cause.name : String(cause);
    return new ConnectionError(
      `the connection to ${this.settings.baseUrl} failed: ${redacted(reason)}; is the service running, and is the base URL right?`,
      { cause: error },
    );
  }
}

/** The headers that identify this package. */
export function agent(): Record<string, string> {
  return IN_BROWSER ? {} : { 'user-agent': `grantex-typescript/${VERSION}` };
}

/** The fields of an error answer. */
export function refusal(response: Response, text: string): Parameters<typeof apiError>[0] {
  let body: Record<string, unknown> = {};
  try {
    body = Object(JSON.parse(text));
  } catch {
    // Not an answer of the service.
  }
  const field = (name: string): string | undefined => {
    const value = body[name];
    return typeof value === 'string' ? value : undefined;
  };
  const status = response.status;
  const said =
    status < 400
      ? `the service answered with the redirect ${status}, which is not followed: is the base URL right?`
      : `the service answered ${status} without a message${status < 500 ? ': is the base URL right?' : ''}`;
  return {
    status,
    code: field('code'),
    text: field('message') ?? said,
    requestId: field('requestId') ?? response.headers.get('x-request-id') ?? undefined,
    retryAfterMs: retryAfter(response.headers),
    oldestEventId: field('oldestEventId'),
  };
}

/** Text as one segment of a path, whatever characters it has. */
export function segment(text: string): string {
  return encodeURIComponent(text).replaceAll("'", '%27');
}

function checkKey(key: string): string {
  if (!/^[!-~]+$/.test(key)) {
    throw new ConfigurationError(
      'the API key is empty or contains a character that no API key has: copy it again',
    );
  }
  return key;
}

async function randomKey(): Promise<string> {
  const bytes = (await webcrypto()).getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
