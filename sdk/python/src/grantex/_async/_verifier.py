"""Verifying grant tokens offline."""

from __future__ import annotations

import math
import time
from types import TracebackType
from typing import Optional

import jwt

from .._claims import KEYS_MAX_AGE, UNKNOWN_KEY_PAUSE, check, key_id, usable_keys
from .._errors import ConfigurationError, InvalidTokenError
from .._models import Claims, Developer
from .._request import Call, check_base_url
from ._runtime import Lock
from ._transport import AsyncTransport, Settings


class AsyncVerifier:
    """The check itself; it asks for the developer's id, with an API key, where none is given."""

    def __init__(
        self, transport: AsyncTransport, developer_id: Optional[str], issuer: Optional[str]
    ) -> None:
        self._transport = transport
        self._developer_id = developer_id
        self._issuer = issuer
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched = -math.inf
        self._fetched_for_unknown = -math.inf
        self._lock = Lock()

    async def verify(self, token: str, audience: Optional[str]) -> Claims:
        """The claims of a valid token; raises `InvalidTokenError`."""
        key = await self._key(key_id(token))
        claims = check(token, key, audience, self._issuer)
        if self._developer_id is None:
            me = Developer.from_json(await self._transport.json(Call("GET", "/v1/me")))
            self._developer_id = me.developer_id
        if claims.dev != self._developer_id:
            raise InvalidTokenError("it belongs to another developer")
        return claims

    async def _key(self, kid: str) -> jwt.PyJWK:
        async with self._lock:
            now = time.monotonic()
            if now - self._fetched > KEYS_MAX_AGE:
                await self._fetch()
            elif kid not in self._keys and now - self._fetched_for_unknown > UNKNOWN_KEY_PAUSE:
                self._fetched_for_unknown = now
                await self._fetch()
            if kid not in self._keys:
                raise InvalidTokenError(f"the service has no key {kid!r}")
            return self._keys[kid]

    async def _fetch(self) -> None:
        call = Call("GET", "/.well-known/jwks.json", is_public=True)
        self._keys = usable_keys(await self._transport.json(call))
        self._fetched = time.monotonic()


class TokenVerifier:
    """Checks grant tokens by the service's public keys, and needs no API key.

    It is for a server that accepts tokens and does nothing else; it does not ask the service about
    each. `client.tokens.verify_offline` is the same check.

    Checked: signature (RS256), type, expiry, developer, audience, and the issuer if one is given.
    Not seen before the token expires: a revoked grant or token, a suspended agent or developer.
    Where these must count at once, ask the service (`client.tokens.verify`) or follow
    `grant.revoked`; both need an API key.

    >>> verifier = TokenVerifier(base_url="https://auth.example.com", developer_id="dev_...")
    >>> claims = await verifier.verify(token, audience="https://api.example")
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
        self._transport = AsyncTransport(settings, None)
        self._verifier = AsyncVerifier(self._transport, developer_id, issuer)

    async def verify(self, token: str, *, audience: Optional[str] = None) -> Claims:
        """The claims of a valid token.

        Raises `InvalidTokenError` for any other token, and another error where the service's keys
        cannot be fetched. A token that names an audience is valid for that audience only. The
        public keys are fetched every hour, and when a token names a new one.
        """
        return await self._verifier.verify(token, audience)

    async def close(self) -> None:
        """Closes the connections; leaving `async with` does it too."""
        await self._transport.aclose()

    async def __aenter__(self) -> TokenVerifier:
        return self

    async def __aexit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        await self.close()
