"""Events and their payloads."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Callable, Literal, Optional, TypedDict, Union

from ._errors import GrantexError, ProtocolError


class GrantCreatedData(TypedDict):
    """The payload of `grant.created`."""

    grantId: str
    agentId: str
    principalId: str
    scopes: list[str]


class GrantRevokedData(TypedDict):
    """The payload of `grant.revoked`."""

    grantId: str
    revokedBy: Literal["developer", "principal", "system"]


class TokenIssuedData(TypedDict):
    """The payload of `token.issued`."""

    grantId: str
    tokenId: str
    method: Literal["exchange", "refresh"]


class BudgetThresholdData(TypedDict):
    """The payload of `budget.threshold`."""

    grantId: str
    percentage: Literal[50, 80]
    remaining: float
    initial: float


class BudgetExhaustedData(TypedDict):
    """The payload of `budget.exhausted`."""

    grantId: str
    initial: float


@dataclass
class _Event:
    # Each has also `json`: its envelope as the service sent it, in which every number has all of
    # its digits.
    id: str
    """Unique; increases strictly within the log. The key to de-duplicate by, and the cursor to resume
    from.
    """


@dataclass
class GrantCreatedEvent(_Event):
    """A grant was created: a consent was completed, or a grant delegated."""

    type: Literal["grant.created"]
    timestamp: str
    data: GrantCreatedData
    json: str = field(default="", repr=False, compare=False)


@dataclass
class GrantRevokedEvent(_Event):
    """A grant was revoked, by itself or in a cascade."""

    type: Literal["grant.revoked"]
    timestamp: str
    data: GrantRevokedData
    json: str = field(default="", repr=False, compare=False)


@dataclass
class TokenIssuedEvent(_Event):
    """A grant token was issued."""

    type: Literal["token.issued"]
    timestamp: str
    data: TokenIssuedData
    json: str = field(default="", repr=False, compare=False)


@dataclass
class BudgetThresholdEvent(_Event):
    """The use of a budget crossed 50 % or 80 %."""

    type: Literal["budget.threshold"]
    timestamp: str
    data: BudgetThresholdData
    json: str = field(default="", repr=False, compare=False)


@dataclass
class BudgetExhaustedEvent(_Event):
    """A budget is used up."""

    type: Literal["budget.exhausted"]
    timestamp: str
    data: BudgetExhaustedData
    json: str = field(default="", repr=False, compare=False)


@dataclass
class UnknownEvent(_Event):
    """An event of a type that this version does not know."""

    type: str
    timestamp: str
    data: dict[str, Any]
    json: str = field(default="", repr=False, compare=False)


GrantexEvent = Union[
    GrantCreatedEvent,
    GrantRevokedEvent,
    TokenIssuedEvent,
    BudgetThresholdEvent,
    BudgetExhaustedEvent,
    UnknownEvent,
]
"""An event: `id`, `type`, `timestamp`, `data`, and `json`, its envelope as the service sent it.

`isinstance(event, BudgetExhaustedEvent)` narrows `data` in every type checker. pyright narrows by a
comparison of `type` too; mypy does not, because an `UnknownEvent` may have any type."""

_CLASSES: dict[str, Any] = {
    "grant.created": GrantCreatedEvent,
    "grant.revoked": GrantRevokedEvent,
    "token.issued": TokenIssuedEvent,
    "budget.threshold": BudgetThresholdEvent,
    "budget.exhausted": BudgetExhaustedEvent,
}


# `json.loads` without its options, and without a guess of the encoding.
_decode = json.JSONDecoder().decode


def parse_event(text: bytes) -> GrantexEvent:
    """An event from its envelope's JSON."""
    read = text.decode("utf-8", "replace")
    try:
        envelope = _decode(read)
    except ValueError:
        raise ProtocolError("an event is not JSON: is the base URL right?") from None
    return to_event(envelope, read)


def to_event(envelope: Any, text: str = "") -> GrantexEvent:
    """An event from its parsed envelope, and from the envelope's JSON."""
    try:
        kind = envelope["type"]
        event = _CLASSES.get(kind, UnknownEvent)(
            envelope["id"], kind, envelope["createdAt"], envelope["data"], text
        )
    except (TypeError, KeyError):
        raise ProtocolError(
            "an event has no id, type, createdAt or data: is the base URL right?"
        ) from None
    if not isinstance(event.id, str):
        raise ProtocolError("an event's id is not a string: is the base URL right?")
    found: GrantexEvent = event
    return found


_scan = json.JSONDecoder().raw_decode
_SPACE = re.compile(r"[ \t\n\r]*")


def _after_space(text: str, at: int) -> int:
    return _SPACE.match(text, at).end()  # type: ignore[union-attr]


def _place_of(text: str, name: str) -> int:
    """Where the value of a name in an object begins; -1 where there is none. `text` is JSON."""
    at = _after_space(text, _after_space(text, 0) + 1)
    while text.startswith('"', at):
        key, at = _scan(text, at)
        at = _after_space(text, _after_space(text, at) + 1)
        if key == name:
            return at
        _, at = _scan(text, at)
        at = _after_space(text, at)
        at = _after_space(text, at + 1) if text.startswith(",", at) else at
    return -1


def text_of(text: str, name: str) -> str:
    """The JSON of the value of a name in an object; `text` is JSON that has it."""
    at = _place_of(text, name)
    return text[at : _scan(text, at)[1]]


def texts_of(text: str, name: str) -> list[str]:
    """The JSON of each item of a list in an object; `text` is JSON."""
    found: list[str] = []
    at = _place_of(text, name)
    if not text.startswith("[", max(at, 0)):
        return found
    at = _after_space(text, at + 1)
    while not text.startswith("]", at):
        _, end = _scan(text, at)
        found.append(text[at:end])
        at = _after_space(text, end)
        at = _after_space(text, at + 1) if text.startswith(",", at) else at
    return found


@dataclass(frozen=True)
class PlacedEvent:
    """An event with its position."""

    position: int
    """Its position in the log: 1, 2, 3, … without gaps."""
    event: GrantexEvent


def placed(body: Any, text: str) -> PlacedEvent:
    """An event with its position, from the answer's JSON, parsed and as text."""
    try:
        position, event = body["position"], to_event(body["event"])
    except (TypeError, KeyError):
        raise ProtocolError(
            "the answer has no position or no event: is the base URL right?"
        ) from None
    event.json = text_of(text, "event")
    return PlacedEvent(position, event)


@dataclass(frozen=True)
class Reconnect:
    """A stream has lost its connection and will reconnect."""

    attempt: int
    """The number of this attempt since the last working connection, from 1."""
    delay: float
    """The wait before it, in seconds."""
    reason: Optional[GrantexError]
    """What ended the connection; `None` when the service ended it in order."""
    last_event_id: Optional[str]
    """The event after which it resumes."""


@dataclass(frozen=True)
class StreamOptions:
    """Which events to stream, and how; the keyword arguments of `events.stream` and `events.subscribe`."""

    event_types: Optional[list[str]] = None
    since: Optional[str] = None
    last_event_id: Optional[str] = None
    agent_id: Optional[str] = None
    principal_id: Optional[str] = None
    grant_id: Optional[str] = None
    reconnect: bool = True
    reconnect_delay: float = 1.0
    max_reconnect_delay: float = 30.0
    silence_timeout: float = 15.0
    max_event_bytes: int = 4 << 20
    on_open: Optional[Callable[[], None]] = None
    on_reconnect: Optional[Callable[[Reconnect], None]] = None
