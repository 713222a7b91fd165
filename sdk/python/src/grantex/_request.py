"""The parts of a call that both clients share."""

from __future__ import annotations

import json
import os
import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Optional, Union
from urllib.parse import quote, urlsplit

import httpx

from ._backoff import retry_after
from ._errors import ConfigurationError, ConnectionError, Refusal
from ._redact import redacted, redacted_url
from ._version import VERSION

DEFAULT_BASE_URL = "https://api.grantex.dev"
"""The public service's base URL; `base_url` or `GRANTEX_BASE_URL` set another one."""
USER_AGENT = f"grantex-python/{VERSION}"
CODE_PREFIX = "gxc_"
"""The prefix of every authorization code."""
MAX_RETRY_DELAY = 8.0
"""The longest delay between two tries of a call, in seconds."""
MAX_RETRY_AFTER = 60.0
"""A longer `Retry-After` is reported to the caller, not waited for."""


@dataclass
class Call:
    """One call."""

    method: str
    path: str
    query: dict[str, Any] = field(default_factory=dict)
    body: Optional[dict[str, Any]] = None
    is_public: bool = False
    """It needs no key, and sends none."""
    unsafe: bool = False
    """Done twice it would do two things: tried again only where the service says that it did
    nothing.
    """
    idempotency_key: Optional[str] = None

    def url(self, base_url: str) -> str:
        """The URL, with the parameters that have a value."""
        pairs = [
            f"{name}={quote(str(value), safe='')}"
            for name, value in self.query.items()
            if value is not None
        ]
        return f"{base_url}{self.path}{'?' if pairs else ''}{'&'.join(pairs)}"

    def content(self) -> Optional[bytes]:
        """The body's JSON, without the fields that have no value."""
        if self.body is None:
            return None
        given = {name: value for name, value in self.body.items() if value is not None}
        return json.dumps(given, ensure_ascii=False, allow_nan=False).encode()

    def headers(self, key: Optional[str]) -> dict[str, str]:
        """The headers."""
        headers = {"user-agent": USER_AGENT, "accept": "application/json"}
        if key is not None:
            headers["authorization"] = f"Bearer {key}"
        if self.body is not None:
            headers["content-type"] = "application/json"
        if self.idempotency_key is not None:
            headers["idempotency-key"] = self.idempotency_key
        return headers


def creating(path: str, body: dict[str, Any], idempotency_key: Optional[str]) -> Call:
    """A call that creates or spends: its idempotency key makes it safe to repeat."""
    return Call("POST", path, body=body, idempotency_key=idempotency_key or secrets.token_hex(16))


def segment(text: str) -> str:
    """Text as one segment of a path, whatever characters it has."""
    return quote(text, safe="")


def check_types(event_types: Optional[list[str]]) -> None:
    """Raises `TypeError` for a single string, which is a sequence of its characters."""
    if isinstance(event_types, str):
        raise TypeError(f"event_types is a string: give a list, such as [{event_types!r}]")


def types_text(event_types: Optional[list[str]]) -> Optional[str]:
    """The `types` parameter; none for all types."""
    check_types(event_types)
    return ",".join(event_types) if event_types else None


def time_text(since: Union[str, datetime, None]) -> Optional[str]:
    """A time as the service reads it."""
    if since is None or isinstance(since, str):
        return since
    if not isinstance(since, datetime):
        # In an untyped program it may be a `timedelta` or a `date`.
        raise TypeError(
            f"{since!r} is not a time: give an ISO 8601 string or a datetime with a time zone, "
            "such as datetime.now(timezone.utc) - timedelta(hours=1)"
        )
    if since.utcoffset() is None:
        raise ValueError(
            f"{since!r} has no time zone: give one with it, such as datetime.now(timezone.utc)"
        )
    return since.isoformat()


def check_code(code: str) -> str:
    """The authorization code; raises `ConfigurationError` if it cannot be one."""
    # In an untyped program it may be the `None` of a request that waits for its principal.
    if not str(code).startswith(CODE_PREFIX):
        raise ConfigurationError(
            f"the authorization code does not begin with {CODE_PREFIX}: give the `code` of the redirect, "
            "or in a sandbox that of the request"
        )
    return code


def check_key(key: str) -> str:
    """The API key; raises `ConfigurationError` if it cannot be one."""
    if not re.fullmatch(r"[!-~]+", key):
        raise ConfigurationError(
            "the API key is empty or contains a character that no API key has: copy it again"
        )
    return key


def check_base_url(base_url: Optional[str]) -> str:
    """The base URL: the given one, the environment's or the public service's."""
    url = base_url or os.environ.get("GRANTEX_BASE_URL") or DEFAULT_BASE_URL
    shown = f"the base URL {redacted_url(url)!r}"
    if not re.match(r"https?://[^/]", url, re.IGNORECASE):
        raise ConfigurationError(f"{shown} is not an http or https URL")
    try:
        parts = urlsplit(url)
        has_credentials = "@" in parts.netloc
    except ValueError:
        raise ConfigurationError(f"{shown} is not an http or https URL") from None
    if has_credentials:
        raise ConfigurationError(
            f"{shown} contains a user name or a password, which the service does not accept: remove it, "
            "and give the API key as api_key or in GRANTEX_API_KEY"
        )
    if "?" in url or "#" in url:
        raise ConfigurationError(
            f"{shown} contains a query or a fragment: give only the scheme, the host and a path"
        )
    return url.rstrip("/")


def refusal(response: httpx.Response) -> Refusal:
    """The fields of an error answer."""
    try:
        body = response.json()
    except ValueError:
        body = None
    said = body if isinstance(body, dict) else {}

    def text(name: str) -> Optional[str]:
        value = said.get(name)
        return value if isinstance(value, str) else None

    status = response.status_code
    default = f"the service answered {status} without a message"
    if status < 500:
        default += ": is the base URL right?"
    if status < 400:
        default = (
            f"the service answered with the redirect {status}, which is not followed: "
            "is the base URL right?"
        )
    return Refusal(
        status=status,
        code=text("code"),
        message=text("message") or default,
        request_id=text("requestId") or response.headers.get("x-request-id"),
        retry_after=retry_after(response.headers),
        oldest_event_id=text("oldestEventId"),
    )


def connection_error(base_url: str, error: Exception) -> ConnectionError:
    """A failure below HTTP, in one sentence."""
    reason = redacted(str(error)) or type(error).__name__
    return ConnectionError(
        f"the connection to {base_url} failed: {reason}; is the service running, and is the base URL right?"
    )
