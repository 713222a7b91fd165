/** Everything that this SDK throws. */
export class GrantexError extends Error {
  override get name(): string {
    return this.constructor.name;
  }
}

/** The client was set up wrongly, or a call was given what cannot work. */
export class ConfigurationError extends GrantexError {}

/** The connection could not be made, or broke. */
export class ConnectionError extends GrantexError {}

/** Nothing came in time. */
export class TimeoutError extends GrantexError {}

/** What came is not what this service sends: is the base URL right? */
export class ProtocolError extends GrantexError {}

/** A 204 ended the stream: whoever answers wants no reconnection. */
export class StreamEndedError extends GrantexError {
  readonly status = 204;
  constructor() {
    super(
      'the stream was ended with 204 and must not be opened again; whatever answers there (a proxy?) says that it has no more',
    );
  }
}

/** A token that must not be accepted, and why. */
export class InvalidTokenError extends GrantexError {
  constructor(reason: string) {
    super(`the token is not valid: ${reason}`);
  }
}

/** What an answer that was no success said. */
export interface Refusal {
  status: number;
  code: string | undefined;
  text: string;
  requestId: string | undefined;
  retryAfterMs: number | undefined;
  oldestEventId: string | undefined;
}

/**
 * An answer that was no success. Its subclasses say by status what can be done about it.
 *
 * @example
 * ```ts
 * try {
 *   await grantex.grants.get(id);
 * } catch (error) {
 *   if (!(error instanceof NotFoundError)) throw error;
 *   console.log('there is no such grant');
 * }
 * ```
 */
export class ApiError extends GrantexError {
  /** The HTTP status. */
  readonly status: number;
  /**
   * The stable code, such as `NOT_FOUND`; `undefined` where the answer is not the service's own.
   */
  readonly code: string | undefined;
  /** What is wrong and what to do about it, in the service's own words. */
  readonly text: string;
  /** Names the answer in the service's log. */
  readonly requestId: string | undefined;
  /** How long the service asks to wait, in milliseconds. */
  readonly retryAfterMs: number | undefined;
  /** With 410 on a stream: the oldest event that is still there. */
  readonly oldestEventId: string | undefined;

  constructor(refusal: Refusal, hint?: string) {
    const details = [
      refusal.status,
      refusal.code,
      refusal.requestId && `request ${refusal.requestId}`,
    ];
    const oldest = refusal.oldestEventId
      ? ` (the oldest event still there is ${refusal.oldestEventId})`
      : '';
    super(
      `${refusal.text} [${details.filter(Boolean).join(', ')}]${oldest}${hint ? `; ${hint}` : ''}`,
    );
    this.status = refusal.status;
    this.code = refusal.code;
    this.text = refusal.text;
    this.requestId = refusal.requestId;
    this.retryAfterMs = refusal.retryAfterMs;
    this.oldestEventId = refusal.oldestEventId;
  }
}

/** 400: change the request. */
export class BadRequestError extends ApiError {}
/** 401: get a working API key. */
export class UnauthorizedError extends ApiError {}
/** 402: the budget does not hold the amount; nothing was taken. */
export class InsufficientBudgetError extends ApiError {}
/** 403: this caller may not. */
export class ForbiddenError extends ApiError {}
/** 404: there is no such thing, or it belongs to somebody else. */
export class NotFoundError extends ApiError {}
/** 409: it stands against what is there. */
export class ConflictError extends ApiError {}
/** 410: it was there and is over; for a stream: the cursor is of no use. */
export class GoneError extends ApiError {}
/** 429: wait, as `retryAfterMs` says. */
export class RateLimitedError extends ApiError {}
/** 5xx: the service failed. */
export class ServerError extends ApiError {}

const BY_STATUS: Record<number, new (refusal: Refusal, hint?: string) => ApiError> = {
  400: BadRequestError,
  401: UnauthorizedError,
  402: InsufficientBudgetError,
  403: ForbiddenError,
  404: NotFoundError,
  409: ConflictError,
  410: GoneError,
  429: RateLimitedError,
};

const STREAM_HINTS: Record<number, string> = {
  401: 'a stream needs a working API key; a client with a function as apiKey renews it by itself',
  410: 'events may be missing: start again with `since`, or without a cursor, and read the state itself',
};

/** The error for an answer's status. */
export function apiError(refusal: Refusal, ofStream = false): ApiError {
  const kind = BY_STATUS[refusal.status] ?? (refusal.status >= 500 ? ServerError : ApiError);
  return new kind(refusal, ofStream ? STREAM_HINTS[refusal.status] : undefined);
}

/**
 * Whether the same request may get another answer later. A 409 may, unless the service said that it
 * is final; a 5xx too, except for a damaged event, which stays damaged.
 */
export function mayPass({ status, code }: ApiError): boolean {
  if (status === 409) return code !== 'CONFLICT' && code !== 'GRANT_INACTIVE';
  return status === 408 || status === 429 || (status >= 500 && code !== 'EVENT_DAMAGED');
}

/** Whether the answer says that nothing was done. */
export function didNothing({ status, code }: ApiError): boolean {
  return status === 429 || (status === 503 && code === 'UNAVAILABLE');
}
