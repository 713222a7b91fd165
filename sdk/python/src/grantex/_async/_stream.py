"""The reading end of a stream."""

from __future__ import annotations

import random
import re
from collections.abc import AsyncGenerator
from typing import Optional

import httpx

from .._backoff import delay
from .._errors import (
    GrantexError,
    ProtocolError,
    StreamEndedError,
    TimeoutError,
    api_error,
    may_pass,
)
from .._event import GrantexEvent, Reconnect, StreamOptions, parse_event
from .._request import Call, connection_error, refusal, types_text
from .._sse import Comment, Decoder, Item, Message, Retry, TooLong
from ._runtime import Cancel
from ._transport import AsyncTransport

_MAX_RETRY_AFTER = 600.0
"""The longest `Retry-After` that is waited for: beyond it the next try tells whether it still holds."""
_EVENT_ID = re.compile(r"evt_[0-7][0-9A-HJKMNP-TV-Z]{25}")


class _Broken(Exception):
    """The connection is of no more use; the stream may be."""

    def __init__(self, reason: Optional[GrantexError] = None, asked: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.asked = asked


class AsyncReader:
    """Its place in the log, and what it does about broken connections."""

    def __init__(self, transport: AsyncTransport, options: StreamOptions, cancel: Cancel) -> None:
        self._transport = transport
        self._options = options
        self._cancel = cancel
        # For `Last-Event-ID`.
        self._cursor = options.last_event_id
        # The last event that was handed on: nothing up to it is handed on again.
        self._last = options.last_event_id
        self._base_delay = options.reconnect_delay
        self._failures = 0
        # The key was renewed, and has not been accepted since.
        self._renewed = False

    async def events(self) -> AsyncGenerator[GrantexEvent, None]:
        """The events; raises where going on makes no sense."""
        while not (self._cancel.is_set or self._transport.http.is_closed):
            connection = self._connection()
            try:
                async for events in connection:
                    for event in events:
                        yield event
                        if self._cancel.is_set:
                            return
                broken = _Broken()
            except _Broken as error:
                broken = error
            finally:
                await connection.aclose()
            if self._cancel.is_set or self._transport.http.is_closed:
                return
            if not self._options.reconnect:
                if broken.reason is not None:
                    raise broken.reason
                return
            wait = delay(self._failures, self._base_delay, self._options.max_reconnect_delay, random.random())
            wait = max(wait, min(broken.asked, _MAX_RETRY_AFTER))
            self._failures += 1
            if self._options.on_reconnect is not None:
                self._options.on_reconnect(Reconnect(self._failures, wait, broken.reason, self._cursor))
            await self._cancel.sleep(wait)

    async def _connection(self) -> AsyncGenerator[list[GrantexEvent], None]:
        """One connection, the events of one read at a time.

        It ends when the service ends it, and raises `_Broken` when it breaks.
        """
        response = await self._open()
        try:
            self._cancel.watch(response)
            decoder = Decoder(self._options.max_event_bytes)
            async for chunk in response.aiter_bytes():
                items: list[Item] = []
                events: list[GrantexEvent] = []
                failure: Optional[GrantexError] = None
                try:
                    decoder.feed(chunk, items)
                except TooLong as error:
                    failure = ProtocolError(str(error))
                if items:
                    self._failures = 0
                try:
                    for item in items:
                        event = self._take(item)
                        if event is not None:
                            events.append(event)
                except ProtocolError as error:
                    failure = error
                # What came before a failure is handed on before it.
                yield events
                if failure is not None:
                    raise failure
        except httpx.TimeoutException:
            raise self._silent() from None
        except (httpx.RequestError, httpx.StreamError, OSError) as error:
            raise _Broken(connection_error(self._transport.settings.base_url, error)) from error
        finally:
            self._cancel.watch(None)
            await response.aclose()

    def _take(self, item: Item) -> Optional[GrantexEvent]:
        # An empty id would make it forget where it was.
        if not isinstance(item, (Retry, Comment)) and item.id:
            self._cursor = item.id
        if isinstance(item, Message):
            event = parse_event(item.data)
            # Ids of one form increase strictly within a log; of others only equality says something.
            last, self._last = self._last, event.id
            if last is not None and event.id <= last and (event.id == last or _are_event_ids(event.id, last)):
                self._last = last
                return None
            return event
        if isinstance(item, Retry):
            self._base_delay = item.milliseconds / 1000
        return None

    async def _open(self) -> httpx.Response:
        key = await self._transport.key()
        options = self._options
        query = {
            "types": types_text(options.event_types),
            "since": None if self._cursor else options.since,
            "agentId": options.agent_id,
            "principalId": options.principal_id,
            "grantId": options.grant_id,
        }
        call = Call("GET", "/v1/events/stream", query)
        # A compressed stream would come late.
        headers = {**call.headers(key), "accept": "text/event-stream", "accept-encoding": "identity"}
        if self._cursor:
            headers["last-event-id"] = self._cursor
        http = self._transport.http
        url = call.url(self._transport.settings.base_url)
        request = http.build_request("GET", url, headers=headers, timeout=options.silence_timeout)
        try:
            response = await http.send(request, stream=True)
        except httpx.TimeoutException:
            raise self._silent() from None
        except (httpx.RequestError, httpx.InvalidURL) as error:
            raise _Broken(connection_error(self._transport.settings.base_url, error)) from error
        if response.status_code == 200 and _is_event_stream(response):
            self._renewed = False
            if options.on_open is not None:
                options.on_open()
            return response
        try:
            await self._refused(response, key)
        finally:
            await response.aclose()
        return await self._open()

    async def _refused(self, response: httpx.Response, key: str) -> None:
        """Raises what the answer means; returns where a fresh key may help."""
        if response.status_code == 204:
            raise StreamEndedError
        if response.status_code == 200:
            kind, base = response.headers.get("content-type", ""), self._transport.settings.base_url
            raise ProtocolError(f"{base} answers with {kind!r}, no event stream: is the base URL right?")
        try:
            await response.aread()
        except httpx.RequestError as error:
            raise _Broken(connection_error(self._transport.settings.base_url, error)) from error
        refused = api_error(refusal(response), of_stream=True)
        if refused.status == 401 and not self._renewed and self._transport.renew(key):
            self._renewed = True
            return
        if may_pass(refused):
            raise _Broken(refused, refused.retry_after or 0.0)
        raise refused

    def _silent(self) -> _Broken:
        return _Broken(
            TimeoutError(f"nothing came from the service within {self._options.silence_timeout} s")
        )


def _is_event_stream(response: httpx.Response) -> bool:
    kind: str = response.headers.get("content-type", "")
    return kind.lower().startswith("text/event-stream")


def _are_event_ids(*ids: str) -> bool:
    return all(_EVENT_ID.fullmatch(one) for one in ids)
