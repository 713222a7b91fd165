"""Verifying grant tokens offline."""

from __future__ import annotations

import math
import time
from typing import Optional

import jwt

from .._claims import KEYS_MAX_AGE, UNKNOWN_KEY_PAUSE, check, key_id, usable_keys
from .._errors import InvalidTokenError
from .._models import Claims, Developer
from .._request import Call
from ._runtime import Lock
from ._transport import AsyncTransport


class AsyncVerifier:
    """The service's public keys, and whose tokens count."""

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
        """The claims of a token that holds; raises `InvalidTokenError`."""
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
