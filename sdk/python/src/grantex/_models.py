"""The answers of the API."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Callable, Generic, Literal, Optional, TypeVar, Union

from ._errors import ProtocolError

M = TypeVar("M", bound="Model")
T = TypeVar("T")
Mode = Literal["live", "sandbox"]
Strings = list[str]
"""For classes with a method called `list`."""
Time = Union[str, datetime]
"""A time in a request: ISO 8601, or a datetime with a time zone."""
AmountInput = Union[Decimal, int, float, str]
"""An amount in a request; exact as a `Decimal` or a string such as `"12.50"`; at most four
decimals.
"""


_Field = tuple[str, str, bool, Optional[Callable[[Any], Any]]]
_FIELDS: dict[type, list[_Field]] = {}


def _fields(model: Any) -> list[_Field]:
    """Each field's name, its name in JSON, whether it is required, and what reads it."""

    def camel(name: str) -> str:
        return re.sub(r"_([a-z])", lambda match: match[1].upper(), name)

    if model not in _FIELDS:
        _FIELDS[model] = [
            (
                one.name,
                one.metadata.get("wire", camel(one.name)),
                one.default is dataclasses.MISSING,
                one.metadata.get("read"),
            )
            for one in dataclasses.fields(model)
        ]
    return _FIELDS[model]


@dataclass(frozen=True)
class Model:
    """An answer; its fields are the API's, in snake case. Unknown fields are ignored."""

    @classmethod
    def from_json(cls: type[M], body: Any) -> M:
        """The answer from its JSON."""
        if not isinstance(body, Mapping):
            raise ProtocolError(f"the answer is not a {cls.__name__}: is the base URL right?")
        values: dict[str, Any] = {}
        for name, wire, is_required, read in _fields(cls):
            value = body.get(wire)
            if value is None:
                if is_required and wire not in body:
                    raise ProtocolError(f"the answer has no {wire}: is the base URL right?")
            elif read is not None:
                value = read(value)
            values[name] = value
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """The answer as the API writes it, without missing fields."""
        body: dict[str, Any] = {}
        for name, wire, is_required, _ in _fields(type(self)):
            value = getattr(self, name)
            if value is not None or is_required:
                body[wire] = value.to_json() if isinstance(value, Model) else value
        return body


_EXACT = {"read": Decimal}


def amount_text(amount: AmountInput) -> str:
    """The amount as the API reads it; a float as its shortest text."""
    number = Decimal(repr(amount)) if isinstance(amount, float) else Decimal(amount)
    if not number.is_finite():
        raise ValueError(f"an amount is a finite number, not {amount}")
    return format(number, "f")


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page of a list."""

    items: list[T]
    """The items of the page."""
    next_cursor: Optional[str]
    """Where the next page starts (`after`); `None` on the last page."""
    total: Optional[int] = None
    """The number of all items, where the service counts them."""


def page_of(body: Any, name: str, read: Callable[[Any], T]) -> Page[T]:
    """A page from its JSON, whose items stand under `name`."""
    items = body.get(name) if isinstance(body, Mapping) else None
    if not isinstance(items, list):
        raise ProtocolError(f"the answer has no {name}: is the base URL right?")
    return Page([read(item) for item in items], body.get("nextCursor"), body.get("total"))


@dataclass(frozen=True)
class Developer(Model):
    """A developer: the tenant that everything belongs to."""

    developer_id: str
    name: str
    email: Optional[str]
    mode: Mode
    created_at: str


@dataclass(frozen=True)
class SignupResponse(Model):
    """A new developer with the first API key, which is shown only once."""

    developer_id: str
    api_key: str = field(repr=False)
    name: str
    email: Optional[str]
    mode: Mode
    created_at: str


@dataclass(frozen=True)
class RequestedBudget:
    """A budget that is requested together with the access; in `USD` unless given."""

    initial_budget: AmountInput
    currency: Optional[str] = None

    def to_json(self) -> dict[str, Any]:
        """The JSON for a request."""
        body = {"initialBudget": amount_text(self.initial_budget)}
        return body if self.currency is None else {**body, "currency": self.currency}


@dataclass(frozen=True)
class NewScopeName:
    """A name to give to a scope: what it allows, in a few words that follow "it may"."""

    scope: str
    name: str
    description: Optional[str] = None

    def to_json(self) -> dict[str, Any]:
        """The JSON for a request."""
        body = {"scope": self.scope, "name": self.name}
        return body if self.description is None else {**body, "description": self.description}


@dataclass(frozen=True)
class ScopeName(Model):
    """A scope with the name that principals read."""

    scope: str
    name: str
    description: str
    updated_at: str


Names = list[ScopeName]
"""For classes with a method called `list`."""


@dataclass(frozen=True)
class ApiKey(Model):
    """An API key without its secret; `prefix` is the first characters of the secret."""

    key_id: str
    name: str
    prefix: str
    mode: Mode
    created_at: str
    revoked_at: Optional[str]


@dataclass(frozen=True)
class CreatedKey(Model):
    """A new API key; its secret is shown only once."""

    key_id: str
    name: str
    api_key: str = field(repr=False)
    mode: Mode
    created_at: str


@dataclass(frozen=True)
class RotatedKey(Model):
    """The key that replaces the one that made the call."""

    api_key: str = field(repr=False)
    rotated_at: str


@dataclass(frozen=True)
class Agent(Model):
    """An agent. `scopes` are those that it usually asks for: a description, not a limit."""

    agent_id: str
    did: str
    developer_id: str
    name: str
    description: str
    scopes: list[str]
    status: Literal["active", "suspended"]
    created_at: str
    updated_at: str


@dataclass(frozen=True)
class AuthorizeResponse(Model):
    """An authorization request.

    Anyone with the `consent_url` can decide: send it only to the principal. In a sandbox the request
    is approved at once, and `code` can be exchanged.
    """

    auth_request_id: str
    consent_url: str
    expires_at: str
    sandbox: Optional[bool] = None
    code: Optional[str] = field(default=None, repr=False)


@dataclass(frozen=True)
class Approval(Model):
    """The answer to an approval."""

    code: str = field(repr=False)
    redirect_uri: Optional[str] = None
    state: Optional[str] = None


@dataclass(frozen=True)
class Denial(Model):
    """The answer to a denial."""

    redirect_uri: Optional[str] = None
    state: Optional[str] = None


@dataclass(frozen=True)
class TokenResponse(Model):
    """A grant token (a signed JWT) with its refresh token, which can be used once."""

    grant_token: str = field(repr=False)
    expires_at: str
    scopes: list[str]
    refresh_token: str = field(repr=False)
    grant_id: str


@dataclass(frozen=True)
class TokenVerification(Model):
    """Whether the service considers a token valid now; the other fields are set only if it does."""

    valid: bool
    grant_id: Optional[str] = None
    scopes: Optional[list[str]] = None
    principal: Optional[str] = None
    agent: Optional[str] = None
    expires_at: Optional[str] = None
    aud: Optional[str] = None
    """The token's audience, if one was requested. Any other audience must refuse the token."""


@dataclass(frozen=True)
class Claims(Model):
    """The claims of a grant token, by their names in the token.

    `sub` is the principal, `agt` the agent's DID, `dev` the developer, `scp` the scopes, `grnt` the
    grant; `bdg` is the amount that remained of the budget at a refresh. `client_id`, `scope`, `grant`
    (`urn:grantex:grant` in the token) and `act` repeat other claims under the names of RFC 9068;
    tokens of older grants may lack them.
    """

    iss: str
    sub: str
    agt: str
    dev: str
    scp: list[str]
    grnt: str
    jti: str
    iat: int
    exp: int
    aud: Optional[str] = None
    parent_agt: Optional[str] = None
    parent_grnt: Optional[str] = None
    delegation_depth: Optional[int] = None
    bdg: Optional[float] = None
    client_id: Optional[str] = field(default=None, metadata={"wire": "client_id"})
    scope: Optional[str] = None
    grant: Optional[dict[str, Any]] = field(default=None, metadata={"wire": "urn:grantex:grant"})
    act: Optional[dict[str, Any]] = None


InactiveReason = Literal[
    "revoked", "expired", "not_found", "wrong_developer", "wrong_audience", "agent_suspended"
]
"""Why a token or its grant is not in force; `agent_suspended` may be temporary."""


@dataclass(frozen=True)
class GrantVerification(Model):
    """Whether a token's grant is in force: if so with its claims, otherwise with the reason."""

    active: bool
    claims: Optional[Claims] = field(default=None, metadata={"read": Claims.from_json})
    reason: Optional[InactiveReason] = None


GrantStatus = Literal["active", "revoked", "expired"]


@dataclass(frozen=True)
class Grant(Model):
    """A grant; `delegation_depth` counts the delegations between it and the principal's consent."""

    grant_id: str
    agent_id: str
    principal_id: str
    developer_id: str
    scopes: list[str]
    status: GrantStatus
    issued_at: str
    expires_at: str
    delegation_depth: int
    revoked_at: Optional[str] = None
    parent_grant_id: Optional[str] = None


@dataclass(frozen=True)
class Budget(Model):
    """A grant's budget; its amounts are exact."""

    id: str
    grant_id: str
    developer_id: str
    initial_budget: Decimal = field(metadata=_EXACT)
    remaining_budget: Decimal = field(metadata=_EXACT)
    currency: str
    created_at: str
    updated_at: str


@dataclass(frozen=True)
class DebitResponse(Model):
    """A completed debit."""

    remaining: Decimal = field(metadata=_EXACT)
    transaction_id: str
    grant_id: str


@dataclass(frozen=True)
class Transaction(Model):
    """One debit."""

    id: str
    grant_id: str
    allocation_id: str
    amount: Decimal = field(metadata=_EXACT)
    description: Optional[str]
    metadata: Optional[dict[str, Any]]
    created_at: str


@dataclass(frozen=True)
class Ticket(Model):
    """A ticket that opens streams in a browser, as their `ticket` parameter."""

    ticket: str = field(repr=False)
    expires_at: str


@dataclass(frozen=True)
class CreatedPrincipalSession(Model):
    """A new session in which a principal sees and revokes their own grants, by token or on a page.

    Anyone who has either has the session.
    """

    session_id: str
    session_token: str = field(repr=False)
    dashboard_url: str = field(repr=False)
    expires_at: str


@dataclass(frozen=True)
class PrincipalSession(Model):
    """A principal's open session, without its token. It ends with the API key that opened it."""

    session_id: str
    principal_id: str
    key_id: str
    created_at: str
    expires_at: str


@dataclass(frozen=True)
class Actor(Model):
    """Who made a change: an API key, a principal, the operator's user; no `id` for the service."""

    kind: Literal["api_key", "principal", "operator", "system"]
    id: Optional[str]


@dataclass(frozen=True)
class AuditEntry(Model):
    """One change outside the event log."""

    id: str
    created_at: str
    actor: Actor = field(metadata={"read": Actor.from_json})
    action: str
    """What was done: `key.created`, `key.rotated`, `key.revoked`, `session.created`,
    `session.ended`, `scope.named`, `scope.name_removed`, `developer.suspended`,
    `developer.resumed`. More may come.
    """
    target: str
    """The id of what was changed, or the scope."""
    details: dict[str, str]
    """Further facts, by name."""
