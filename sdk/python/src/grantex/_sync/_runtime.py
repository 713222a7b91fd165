"""What waiting is made of in threads."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Generator, Iterator
from typing import Any, Callable, Generic, Optional, TypeVar

import httpx

from .._errors import GrantexError
from .._event import GrantexEvent
from .._models import Page

T = TypeVar("T")
KeyFunction = Callable[[], str]
Handler = Callable[[GrantexEvent], None]
Lock = threading.Lock
_log = logging.getLogger("grantex")


def ask(function: KeyFunction) -> str:
    """The key from a function."""
    return function()


def sleep(seconds: float) -> None:
    """Waits."""
    time.sleep(seconds)


class Cancel:
    """Ends a stream from another thread: wakes it from its sleep, and from its socket."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._response: Optional[httpx.Response] = None

    @property
    def is_set(self) -> bool:
        """Whether it was ended."""
        return self._event.is_set()

    def watch(self, response: Optional[httpx.Response]) -> None:
        """Says which connection is to be ended."""
        with self._lock:
            self._response = response
            if self.is_set:
                self._shut()

    def sleep(self, seconds: float) -> None:
        """Waits, until it is ended."""
        self._event.wait(min(seconds, threading.TIMEOUT_MAX))

    def set(self) -> None:
        """Ends it."""
        self._event.set()
        with self._lock:
            self._shut()

    def _shut(self) -> None:
        stream = self._response.extensions.get("network_stream") if self._response is not None else None
        found = stream.get_extra_info("socket") if stream is not None else None
        if isinstance(found, socket.socket):
            # Closed by its owner; whoever reads from it wakes now.
            with contextlib.suppress(OSError):
                found.shutdown(socket.SHUT_RDWR)


class EventStream(Iterator[GrantexEvent]):
    """The events of a stream; `close`, from any thread, ends it and its connection at once."""

    def __init__(self, events: Generator[GrantexEvent, None, None], cancel: Cancel) -> None:
        self._events = events
        self._cancel = cancel

    def __next__(self) -> GrantexEvent:
        return next(self._events)

    def __enter__(self) -> EventStream:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """Ends the stream."""
        self._cancel.set()
        # Another thread that is reading closes it itself.
        with contextlib.suppress(ValueError):
            self._events.close()

    def __del__(self) -> None:
        self.close()


def as_stream(events: Generator[GrantexEvent, None, None], cancel: Cancel) -> EventStream:
    """The generator with a way to end it from outside."""
    return EventStream(events, cancel)


def subscribe(
    events: EventStream, handler: Handler, on_error: Optional[Callable[[Exception], None]]
) -> Callable[[], None]:
    """Calls `handler` for each event in a thread that does not keep the process; returns what ends it."""

    def tell(error: Exception) -> None:
        if on_error is not None:
            on_error(error)
        elif isinstance(error, GrantexError):
            _log.error("a subscription ended: %s", error)
        else:
            _log.error("an event handler failed", exc_info=error)

    def run() -> None:
        try:
            for event in events:
                try:
                    handler(event)
                except Exception as error:
                    tell(error)
        except Exception as error:
            tell(error)

    threading.Thread(target=run, name="grantex-subscription", daemon=True).start()
    return events.close


class SyncList(Generic[T]):
    """A list that is asked for when it is used: `page()` is one page, iterated it is every item."""

    def __init__(self, after: Optional[str], fetch: Callable[[Optional[str]], Page[T]]) -> None:
        self._after = after
        self._fetch = fetch

    def page(self) -> Page[T]:
        """One page."""
        return self._fetch(self._after)

    def __iter__(self) -> Iterator[T]:
        after = self._after
        while True:
            page = self._fetch(after)
            yield from page.items
            if page.next_cursor is None:
                return
            after = page.next_cursor
