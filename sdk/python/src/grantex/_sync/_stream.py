# Made by scripts/make_sync.py from _async/_stream.py: change that.

"""Reading a stream."""

from __future__ import annotations

import random
import re
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
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
from ._runtime import Cancel, Over, next_chunk
from ._transport import SyncTransport

_MAX_RETRY_AFTER = 600.0
"""The longest `Retry-After` that is waited for: after it the next attempt shows whether it still
applies.
"""
_EVENT_ID = re.compile(r"evt_[0-7][0-9A-HJKMNP-TV-Z]{25}")


class _Broken(Exception):
    """The connection has ended, and the stream may reconnect."""

    def __init__(self, reason: Optional[GrantexError] = None, asked: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.asked = asked


@dataclass
class _Connection:
    """An open stream."""

    response: httpx.Response
    chunks: Iterator[bytes]
    decoder: Decoder


class SyncReader:
    """Reads a stream: keeps its cursor, and replaces broken connections."""

    def __init__(self, transport: SyncTransport, options: StreamOptions, cancel: Cancel) -> None:
        self._transport = transport
        self._options = options
        self._cancel = cancel
        # For `Last-Event-ID`. It may come from a file, with the end of its line.
        self._cursor = options.last_event_id and options.last_event_id.strip()
        # The last event that was delivered: nothing up to it is delivered again.
        self._last = self._cursor
        self._base_delay = options.reconnect_delay
        self._failures = 0
        # The key was renewed, and has not been accepted since.
        self._renewed = False
        self._connection: Optional[_Connection] = None
        # When to connect again.
        self._resume_at: Optional[float] = None
        # What was read and not delivered yet: never more than one read from the socket.
        self._events: deque[GrantexEvent] = deque()
        # Raised once the events before it are delivered.
        self._is_over = False
        self._failure: Optional[Exception] = None

    def pop(self) -> Optional[GrantexEvent]:
        """The next event that was read; `None` if another step is needed. Raises the error that ended
        the stream.
        """
        if self._events:
            return self._events.popleft()
        if self._is_over:
            failure, self._failure = self._failure, None
            raise failure or Over
        return None

    def fill(self) -> None:
        """One step: connects, reads once, or waits to reconnect. `pop` gives its result.

        It may be cancelled at any point; the next one resumes after the last event that was read.
        """
        try:
            if self._cancel.is_set or self._transport.is_closed:
                raise Over
            if self._resume_at is not None:
                self._cancel.sleep(max(self._resume_at - time.monotonic(), 0.0))
                self._resume_at = None
            elif self._connection is None:
                self._connection = self._open()
                self._cancel.watch(self._connection.response)
            else:
                self._read(self._connection)
        except BaseException as error:
            self._drop()
            if not isinstance(error, Exception):
                raise
            self._ended(error)

    def _ended(self, error: Exception) -> None:
        """Decides what an error means: a reconnection or the end."""
        is_ended = self._cancel.is_set or self._transport.is_closed
        if isinstance(error, _Broken) and self._options.reconnect and not is_ended:
            wait = delay(
                self._failures, self._base_delay, self._options.max_reconnect_delay, random.random()
            )
            wait = max(wait, min(error.asked, _MAX_RETRY_AFTER))
            self._failures += 1
            self._resume_at = time.monotonic() + wait
            try:
                if self._options.on_reconnect is not None:
                    self._options.on_reconnect(
                        Reconnect(self._failures, wait, error.reason, self._cursor)
                    )
                return
            except Exception as raised:
                error = raised
        self._is_over = True
        if not is_ended and not isinstance(error, Over):
            self._failure = error.reason if isinstance(error, _Broken) else error

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        self._cancel.watch(None)
        if connection is not None:
            connection.response.close()

    def close(self) -> None:
        """Ends the stream and closes its connection."""
        self._is_over = True
        self._events.clear()
        self._drop()

    def _read(self, connection: _Connection) -> None:
        try:
            chunk = next_chunk(connection.chunks)
        except httpx.TimeoutException:
            raise self._silent() from None
        except (httpx.RequestError, httpx.StreamError, OSError) as error:
            raise _Broken(connection_error(self._transport.settings.base_url, error)) from error
        if chunk is None:
            raise _Broken
        items: list[Item] = []
        try:
            connection.decoder.feed(chunk, items)
        except TooLong as error:
            raise ProtocolError(str(error)) from None
        finally:
            # Events before a failure are delivered before it.
            if items:
                self._failures = 0
            for item in items:
                self._take(item)

    def _take(self, item: Item) -> None:
        # An empty id would reset the cursor.
        if not isinstance(item, (Retry, Comment)) and item.id:
            self._cursor = item.id
        if isinstance(item, Message):
            event = parse_event(item.data)
            # Ids of this form increase strictly within a log; others can only be compared for
            # equality.
            last = self._last
            if (
                last is not None
                and event.id <= last
                and (event.id == last or _are_event_ids(event.id, last))
            ):
                return
            self._last = event.id
            self._events.append(event)
        if isinstance(item, Retry):
            self._base_delay = item.milliseconds / 1000

    def _open(self) -> _Connection:
        key = self._transport.key()
        options = self._options
        query = {
            "types": types_text(options.event_types),
            "since": None if self._cursor else options.since,
            "agentId": options.agent_id,
            "principalId": options.principal_id,
            "grantId": options.grant_id,
        }
        call = Call("GET", "/v1/events/stream", query)
        # A compressed stream would be delayed.
        headers = {
            **call.headers(key),
            "accept": "text/event-stream",
            "accept-encoding": "identity",
        }
        if self._cursor:
            headers["last-event-id"] = self._cursor
        http = self._transport.http
        url = call.url(self._transport.settings.base_url)
        request = http.build_request("GET", url, headers=headers, timeout=options.silence_timeout)
        try:
            response = http.send(request, stream=True)
        except httpx.TimeoutException:
            raise self._silent() from None
        except (httpx.RequestError, httpx.InvalidURL) as error:
            raise _Broken(connection_error(self._transport.settings.base_url, error)) from error
        if response.status_code == 200 and _is_event_stream(response):
            self._renewed = False
            if options.on_open is not None:
                options.on_open()
            return _Connection(response, response.iter_bytes(), Decoder(options.max_event_bytes))
        try:
            self._refused(response, key)
        finally:
            response.close()
        return self._open()

    def _refused(self, response: httpx.Response, key: str) -> None:
        """Raises the error of an answer that is not a stream; returns where a fresh key may help."""
        if response.status_code == 204:
            raise StreamEndedError
        if response.status_code == 200:
            kind, base = response.headers.get("content-type", ""), self._transport.settings.base_url
            raise ProtocolError(
                f"{base} answers with {kind!r}, which is not an event stream: is the base URL right?"
            )
        try:
            response.read()
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
            TimeoutError(f"the service sent nothing for {self._options.silence_timeout} s")
        )


def _is_event_stream(response: httpx.Response) -> bool:
    kind: str = response.headers.get("content-type", "")
    return kind.lower().startswith("text/event-stream")


def _are_event_ids(*ids: str) -> bool:
    return all(_EVENT_ID.fullmatch(one) for one in ids)
