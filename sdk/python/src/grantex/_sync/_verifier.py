# Made by scripts/make_sync.py from _async/_verifier.py: change that.

"""Verifying grant tokens offline."""

from __future__ import annotations

import math
import time
from types import TracebackType
from typing import Optional

import jwt

from .._claims import (
    FAILURE_SHARED,
    FETCH_PAUSE,
    KEYS_MAX_AGE,
    KEYS_MAX_AGE_IN_OUTAGE,
    check,
    key_id,
    usable_keys,
)
from .._errors import ConfigurationError, GrantexError, InvalidTokenError
from .._models import Claims, Developer
from .._request import Call, check_base_url
from ._runtime import Lock
from ._transport import Settings, SyncTransport


class SyncVerifier:
    """The check itself; it asks for the developer's id, with an API key, where none is given."""

    def __init__(
        self, transport: SyncTransport, developer_id: Optional[str], issuer: Optional[str]
    ) -> None:
        self._transport = transport
        self._developer_id = developer_id
        self._issuer = issuer
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched = -math.inf
        self._fetched_for_unknown = -math.inf
        self._failed = -math.inf
        self._failure: Optional[GrantexError] = None
        self._is_fetching = False
        self._lock = Lock()

    def verify(self, token: str, audience: Optional[str]) -> Claims:
        """The claims of a valid token; raises `InvalidTokenError`."""
        key = self._key(key_id(token))
        claims = check(token, key, audience, self._issuer)
        if self._developer_id is None:
            me = Developer.from_json(self._transport.json(Call("GET", "/v1/me")))
            self._developer_id = me.developer_id
        if claims.dev != self._developer_id:
            raise InvalidTokenError("it belongs to another developer")
        return claims

    def _key(self, kid: str) -> jwt.PyJWK:
        # A key that is known is found without waiting for a fetch, unless this is the first call
        # that finds it old.
        known, is_old = self._find(kid)
        if known is not None and (not is_old or self._is_fetching):
            return known
        with self._lock:
            known, is_old = self._find(kid)
            if known is not None and not is_old:
                return known
            if known is None:
                self._begin_fetch(kid)
            self._is_fetching = True
            try:
                self._fetch()
            except GrantexError as failure:
                self._failed, self._failure = time.monotonic(), failure
                if known is not None:
                    return known
                raise
            finally:
                self._is_fetching = False
            known, _ = self._find(kid)
        if known is None:
            raise _unknown(kid)
        return known

    def _find(self, kid: str) -> tuple[Optional[jwt.PyJWK], bool]:
        """The key if it can be used, and whether it should be fetched again."""
        now = time.monotonic()
        age = now - self._fetched
        if age > KEYS_MAX_AGE_IN_OUTAGE:
            return None, True
        return self._keys.get(kid), age > KEYS_MAX_AGE and now - self._failed > FETCH_PAUSE

    def _begin_fetch(self, kid: str) -> None:
        """Raises unless the keys may be fetched now for one that is not among them."""
        now = time.monotonic()
        if now - self._fetched > KEYS_MAX_AGE:
            if self._failure is not None and now - self._failed <= FAILURE_SHARED:
                raise self._failure
        elif now - self._fetched_for_unknown <= FETCH_PAUSE:
            raise self._failure or _unknown(kid)
        else:
            self._fetched_for_unknown = now

    def _fetch(self) -> None:
        call = Call("GET", "/.well-known/jwks.json", is_public=True)
        self._keys = usable_keys(self._transport.json(call))
        self._fetched = time.monotonic()
        self._failed, self._failure = -math.inf, None


def _unknown(kid: str) -> InvalidTokenError:
    return InvalidTokenError(f"the service has no key {kid!r}")


class SyncTokenVerifier:
    """Checks grant tokens by the service's public keys, and needs no API key.

    It is for a server that accepts tokens and does nothing else; it does not ask the service about
    each. `client.tokens.verify_offline` is the same check.

    Checked: signature (RS256), type, expiry, developer, audience, and the issuer if one is given.
    Not seen before the token expires: a revoked grant or token, a suspended agent or developer.
    Where these must count at once, ask the service (`client.tokens.verify`) or follow
    `grant.revoked`; both need an API key.

    >>> verifier = SyncTokenVerifier(base_url="https://auth.example.com", developer_id="dev_...")
    >>> claims = verifier.verify(token, audience="https://api.example")
    >>> print(claims.sub, claims.scp)

    Args:
        developer_id: the developer whose tokens are accepted. One key set signs the tokens of all
            developers, so a good signature alone does not say that a token is yours.
        base_url: the service's base URL; `GRANTEX_BASE_URL`, or `DEFAULT_BASE_URL`, unless given.
        issuer: the issuer that a token must have; any unless given.
        timeout: how long fetching the keys may wait for a byte, in seconds.
        max_retries: how often fetching the keys is retried.
        retry_delay: the delay before the first retry in seconds, doubled with each and with full
            jitter.
    """

    def __init__(
        self,
        *,
        developer_id: str,
        base_url: Optional[str] = None,
        issuer: Optional[str] = None,
        timeout: float = 30.0,
        max_retries: int = 2,
        retry_delay: float = 0.5,
    ) -> None:
        # In an untyped program it may be `None`: the check of the developer must not be left out.
        if not developer_id:
            raise ConfigurationError(
                "no developer_id: a verifier accepts the tokens of one developer, so give it that "
                "developer's id (`client.me()` shows yours)"
            )
        settings = Settings(check_base_url(base_url), timeout, max_retries, retry_delay)
        self._transport = SyncTransport(settings, None)
        self._verifier = SyncVerifier(self._transport, developer_id, issuer)

    def verify(self, token: str, *, audience: Optional[str] = None) -> Claims:
        """The claims of a valid token.

        Raises `InvalidTokenError` for any other token, and another error where the service's keys
        cannot be fetched. A token that names an audience is valid for that audience only. The
        public keys are fetched every hour, and when a token names a new one.
        """
        return self._verifier.verify(token, audience)

    def close(self) -> None:
        """Closes the connections; leaving `async with` does it too."""
        self._transport.close()

    def __enter__(self) -> SyncTokenVerifier:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()
