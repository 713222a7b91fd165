"""What can go wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional


class GrantexError(Exception):
    """Everything that this SDK raises. Copied or pickled it keeps its class, its text and its
    fields.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        # The constructors of some take other arguments than the text.
        return _restored, (type(self), self.args, self.__dict__)


def _restored(
    kind: type[GrantexError], args: tuple[Any, ...], fields: dict[str, Any]
) -> GrantexError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(fields)
    return error


class ConfigurationError(GrantexError):
    """The client was set up wrongly, or a call was given what cannot work."""


class ConnectionError(GrantexError):
    """The connection could not be made, or broke."""


class TimeoutError(GrantexError):
    """Nothing came in time."""


class ProtocolError(GrantexError):
    """What came is not what this service sends: is the base URL right?"""


class StreamEndedError(GrantexError):
    """A 204 ended the stream: whoever answers wants no reconnection."""

    status = 204

    def __init__(self) -> None:
        super().__init__(
            "the stream was ended with 204 and must not be opened again; "
            "whatever answers there (a proxy?) says that it has no more"
        )


class InvalidTokenError(GrantexError):
    """A token that must not be accepted, and why."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the token is not valid: {reason}")


@dataclass(frozen=True)
class Refusal:
    """What an answer that was no success said."""

    status: int
    code: Optional[str]
    message: str
    request_id: Optional[str]
    retry_after: Optional[float]
    oldest_event_id: Optional[str]


class ApiError(GrantexError):
    """An answer that was no success. Its subclasses say by status what can be done about it.

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
    """What is wrong and what to do about it, in the service's own words."""
    request_id: Optional[str]
    """Names the answer in the service's log."""
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
    """402: the budget does not hold the amount; nothing was taken."""


class ForbiddenError(ApiError):
    """403: this caller may not."""


class NotFoundError(ApiError):
    """404: there is no such thing, or it belongs to somebody else."""


class ConflictError(ApiError):
    """409: it stands against what is there."""


class GoneError(ApiError):
    """410: it was there and is over; for a stream: the cursor is of no use."""


class RateLimitedError(ApiError):
    """429: wait, as `retry_after` says."""


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
    410: "events may be missing: start again with `since`, or without a cursor, and read the state itself",
}


def api_error(refusal: Refusal, *, of_stream: bool = False) -> ApiError:
    """The error for an answer's status."""
    kind = _BY_STATUS.get(refusal.status, ServerError if refusal.status >= 500 else ApiError)
    return kind(refusal, _STREAM_HINTS.get(refusal.status) if of_stream else None)


def may_pass(error: ApiError) -> bool:
    """Whether the same request may get another answer later; a 409 unless the service called it
    final.
    """
    if error.status == 409:
        return error.code not in ("CONFLICT", "GRANT_INACTIVE")
    # A damaged event stays damaged.
    return error.status in (408, 429) or (error.status >= 500 and error.code != "EVENT_DAMAGED")


def did_nothing(error: ApiError) -> bool:
    """Whether the answer says that nothing was done."""
    return error.status == 429 or (error.status == 503 and error.code == "UNAVAILABLE")
