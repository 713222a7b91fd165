"""One call: the request, its retries, its answer."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Optional, Union

import httpx

from .._backoff import delay
from .._errors import (
    ApiError,
    ConfigurationError,
    ConnectionError,
    GrantexError,
    ProtocolError,
    TimeoutError,
    api_error,
    did_nothing,
    may_pass,
)
from .._http import made
from .._request import MAX_RETRY_AFTER, MAX_RETRY_DELAY, Call, check_key, connection_error, refusal
from ._runtime import KeyFunction, Lock, PerLoop, ask, sleep


@dataclass(frozen=True)
class Settings:
    """The settings of all calls."""

    base_url: str
    timeout: float
    max_retries: int
    retry_delay: float


class AsyncTransport:
    """Sends calls: API key, retries, time limits, errors."""

    def __init__(self, settings: Settings, api_key: Union[str, KeyFunction, None]) -> None:
        self.settings = settings
        self._api_key = check_key(api_key) if isinstance(api_key, str) else api_key
        self._asked: Optional[str] = None
        self._lock = Lock()
        self._clients = PerLoop(self._client)
        self.is_closed = False

    def _client(self) -> httpx.AsyncClient:
        settings = self.settings
        transport = made(httpx.AsyncHTTPTransport, settings.base_url)
        return httpx.AsyncClient(
            transport=transport, timeout=settings.timeout, follow_redirects=False, trust_env=False
        )

    @property
    def http(self) -> httpx.AsyncClient:
        """The connections; raises `ConfigurationError` for an invalid environment."""
        if self.is_closed:
            raise ConfigurationError("the client is closed: create another one")
        return self._clients.get()

    async def key(self) -> str:
        """The API key to use now."""
        if isinstance(self._api_key, str):
            return self._api_key
        if self._api_key is None:
            raise ConfigurationError(
                "no API key: set GRANTEX_API_KEY, or give the client one as api_key"
            )
        async with self._lock:
            if self._asked is None:
                self._asked = check_key(await ask(self._api_key))
            return self._asked

    def renew(self, refused: str) -> bool:
        """Forgets `refused`, so that the function is called again; `False` where there is none."""
        if self._api_key is None or isinstance(self._api_key, str):
            return False
        # Another call may have renewed it already.
        if self._asked == refused:
            self._asked = None
        return True

    async def json(self, call: Call) -> Any:
        """Sends a call, with retries where that is safe, and gives the answer's JSON."""
        return (await self.json_and_text(call))[0]

    async def json_and_text(self, call: Call) -> tuple[Any, str]:
        """The answer's JSON, parsed and as text."""
        response = await self.send(call)
        try:
            return response.json(), response.text
        except ValueError:
            where = f"{self.settings.base_url}{call.path}"
            raise ProtocolError(
                f"the answer of {where} is not JSON: is the base URL right?"
            ) from None

    async def done(self, call: Call) -> None:
        """Sends a call whose answer has no content."""
        try:
            await self.send(call)
        except _DoneBefore:
            return

    async def send(self, call: Call) -> httpx.Response:
        """Sends a call, with retries where that is safe."""
        attempt = 0
        renewed = False
        # Whether an earlier try may have taken effect although its answer was lost.
        in_doubt = False
        while True:
            key = None if call.is_public else await self.key()
            try:
                return await self._once(call, key)
            except ApiError as error:
                if error.status == 401 and key is not None and not renewed and self.renew(key):
                    renewed = True
                    continue
                if error.status == 404 and in_doubt and call.method == "DELETE":
                    raise _DoneBefore from None
                nothing, asked = did_nothing(error), error.retry_after or 0.0
                is_passing = (
                    may_pass(error) and (nothing or not call.unsafe) and asked <= MAX_RETRY_AFTER
                )
                if not is_passing or attempt >= self.settings.max_retries:
                    raise
                in_doubt = in_doubt or not nothing
            except (ConnectionError, TimeoutError):
                if call.unsafe or attempt >= self.settings.max_retries:
                    raise
                in_doubt, asked = True, 0.0
            await sleep(
                max(
                    delay(attempt, self.settings.retry_delay, MAX_RETRY_DELAY, random.random()),
                    asked,
                )
            )
            attempt += 1

    async def _once(self, call: Call, key: Optional[str]) -> httpx.Response:
        url = call.url(self.settings.base_url)
        try:
            response = await self.http.request(
                call.method, url, content=call.content(), headers=call.headers(key)
            )
        except httpx.TimeoutException:
            limit = self.settings.timeout
            raise TimeoutError(f"the service did not answer within {limit} s") from None
        except (httpx.RequestError, httpx.InvalidURL) as error:
            raise connection_error(self.settings.base_url, error) from error
        if not response.is_success:
            raise api_error(refusal(response))
        return response

    async def aclose(self) -> None:
        """Closes the connections."""
        self.is_closed = True
        client = self._clients.take()
        if client is not None:
            await client.aclose()


class _DoneBefore(GrantexError):
    """A DELETE whose earlier try took effect."""
