"""Errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional


class GrantexError(Exception):
    """The base of all errors of this SDK. A copied or pickled one keeps its class, text and fields."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Some constructors take other arguments than the text.
        return _restored, (type(self), self.args, self.__dict__)


def _restored(
    kind: type[GrantexError], args: tuple[Any, ...], fields: dict[str, Any]
) -> GrantexError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(fields)
    return error


class ConfigurationError(GrantexError):
    """A setting of the client or an argument of a call is invalid."""


class ConnectionError(GrantexError):
    """The connection could not be opened, or it broke."""


class TimeoutError(GrantexError):
    """The service did not answer in time."""


class ProtocolError(GrantexError):
    """The answer is not one that this service sends: is the base URL right?"""


class StreamEndedError(GrantexError):
    """A 204 ended the stream: the server asked clients not to reconnect."""

    status = 204

    def __init__(self) -> None:
        super().__init__(
            "the stream ended with status 204, by which a server asks clients not to reconnect; "
            "this service never sends it: is the base URL right, or does a proxy answer?"
        )


class InvalidTokenError(GrantexError):
    """A token is not valid, and must not be accepted; the text says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the token is not valid: {reason}")


@dataclass(frozen=True)
class Refusal:
    """The fields of an error answer."""

    status: int
    code: Optional[str]
    message: str
    request_id: Optional[str]
    retry_after: Optional[float]
    oldest_event_id: Optional[str]


class ApiError(GrantexError):
    """An error answer of the service. It has a subclass for each status that a program may handle.

    >>> try:
    ...     await client.grants.get(grant_id)
    ... except NotFoundError:
    ...     print("there is no such grant")
    """

    status: int
    """The HTTP status."""
    code: Optional[str]
    """The stable code, such as `NOT_FOUND`; `None` where the answer is not the service's own."""
    message: str
    """What is wrong and what to do about it, as the service says it."""
    request_id: Optional[str]
    """Identifies the request in the service's log."""
    retry_after: Optional[float]
    """How long the service asks to wait, in seconds."""
    oldest_event_id: Optional[str]
    """With 410 on a stream: the oldest event that is still there."""

    def __init__(self, refusal: Refusal, hint: Optional[str] = None) -> None:
        self.status = refusal.status
        self.code = refusal.code
        self.message = refusal.message
        self.request_id = refusal.request_id
        self.retry_after = refusal.retry_after
        self.oldest_event_id = refusal.oldest_event_id
        request = refusal.request_id and f"request {refusal.request_id}"
        details = ", ".join(str(part) for part in (refusal.status, refusal.code, request) if part)
        text = f"{refusal.message} [{details}]"
        if refusal.oldest_event_id:
            text += f" (the oldest event still there is {refusal.oldest_event_id})"
        super().__init__(f"{text}; {hint}" if hint else text)


class BadRequestError(ApiError):
    """400: change the request."""


class UnauthorizedError(ApiError):
    """401: get a working API key."""


class InsufficientBudgetError(ApiError):
    """402: the budget does not cover the amount; nothing was debited."""


class ForbiddenError(ApiError):
    """403: the caller is not allowed to do this."""


class NotFoundError(ApiError):
    """404: it does not exist, or it belongs to another developer."""


class ConflictError(ApiError):
    """409: the request conflicts with the current state."""


class GoneError(ApiError):
    """410: it has ended; for a stream: the log no longer reaches back to the cursor."""


class RateLimitedError(ApiError):
    """429: wait as long as `retry_after` says."""


class ServerError(ApiError):
    """5xx: the service failed."""


_BY_STATUS: dict[int, type[ApiError]] = {
    400: BadRequestError,
    401: UnauthorizedError,
    402: InsufficientBudgetError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: GoneError,
    429: RateLimitedError,
}
_STREAM_HINTS = {
    401: "a stream needs a working API key; a client with a function as api_key renews it by itself",
    410: "events may be missing: read the current state, then start again",
}


def api_error(refusal: Refusal, *, of_stream: bool = False) -> ApiError:
    """The error for an answer's status."""
    kind = _BY_STATUS.get(refusal.status, ServerError if refusal.status >= 500 else ApiError)
    return kind(refusal, _STREAM_HINTS.get(refusal.status) if of_stream else None)


def may_pass(error: ApiError) -> bool:
    """Whether the same request may succeed later; a 409 unless the service said that it is final."""
    if error.status == 409:
        return error.code not in ("CONFLICT", "GRANT_INACTIVE")
    # A damaged event stays damaged.
    return error.status in (408, 429) or (error.status >= 500 and error.code != "EVENT_DAMAGED")


def did_nothing(error: ApiError) -> bool:
    """Whether the answer says that the request had no effect."""
    return error.status == 429 or (error.status == 503 and error.code == "UNAVAILABLE")
