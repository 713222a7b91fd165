/** Everything that this SDK throws. */
export class GrantexError extends Error {
  override get name(): string {
    return this.constructor.name;
  }
}

/** A setting of the client or an argument of a call is invalid. */
export class ConfigurationError extends GrantexError {}

/** The connection could not be opened, or it broke. */
export class ConnectionError extends GrantexError {}

/** The service did not answer in time. */
export class TimeoutError extends GrantexError {}

/** The answer is not one that this service sends: is the base URL right? */
export class ProtocolError extends GrantexError {}

/** A 204 ended the stream: the server asked clients not to reconnect. */
export class StreamEndedError extends GrantexError {
  readonly status = 204;
  constructor() {
    super(
      'the stream ended with status 204, by which a server asks clients not to reconnect; this service never sends it: is the base URL right, or does a proxy answer?',
    );
  }
}

/** A token is not valid; the message says why. Do not accept it. */
export class InvalidTokenError extends GrantexError {
  constructor(reason: string) {
    super(`the token is not valid: ${reason}`);
  }
}

/** The fields of an error answer. */
export interface Refusal {
  status: number;
  code: string | undefined;
  text: string;
  requestId: string | undefined;
  retryAfterMs: number | undefined;
  oldestEventId: string | undefined;
}

/**
 * An error answer of the service. It has a subclass for each status that a program may handle.
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
  /** What is wrong and what to do about it, as the service says it. */
  readonly text: string;
  /** Identifies the request in the service's log. */
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
/** 402: the budget does not cover the amount; nothing was debited. */
export class InsufficientBudgetError extends ApiError {}
/** 403: the caller is not allowed to do this. */
export class ForbiddenError extends ApiError {}
/** 404: it does not exist, or it belongs to another developer. */
export class NotFoundError extends ApiError {}
/** 409: the request conflicts with the current state. */
export class ConflictError extends ApiError {}
/** 410: it has ended; for a stream: the log no longer reaches back to the cursor. */
export class GoneError extends ApiError {}
/** 429: wait as long as `retryAfterMs` says. */
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
  410: 'events may be missing: read the current state, then start again',
};

/** The error for an answer's status. */
export function apiError(refusal: Refusal, ofStream = false): ApiError {
  const kind = BY_STATUS[refusal.status] ?? (refusal.status >= 500 ? ServerError : ApiError);
  return new kind(refusal, ofStream ? STREAM_HINTS[refusal.status] : undefined);
}

/**
 * Whether the same request may succeed later. A 409 may, unless the service said that it is final;
 * a 5xx too, except for a damaged event, which stays damaged.
 */
export function mayPass({ status, code }: ApiError): boolean {
  if (status === 409) return code !== 'CONFLICT' && code !== 'GRANT_INACTIVE';
  return status === 408 || status === 429 || (status >= 500 && code !== 'EVENT_DAMAGED');
}

/** Whether the answer says that the request had no effect. */
export function didNothing({ status, code }: ApiError): boolean {
  return status === 429 || (status === 503 && code === 'UNAVAILABLE');
}
