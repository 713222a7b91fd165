"""Waiting in threads."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, Callable, Generic, Optional, Protocol, TypeVar

import httpx

from .._errors import GrantexError
from .._event import GrantexEvent
from .._models import Page

T = TypeVar("T")
KeyFunction = Callable[[], str]
Handler = Callable[[GrantexEvent], None]
Lock = threading.Lock
_log = logging.getLogger("grantex")


class PerLoop(Generic[T]):
    """A value that is created when it is first used; named as in the asynchronous client."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: Optional[T] = None
        self._lock = threading.Lock()

    def get(self) -> T:
        """The value, created on the first call."""
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made

    def take(self) -> Optional[T]:
        """Removes and returns the value, if there is one."""
        with self._lock:
            made, self._made = self._made, None
            return made


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
        """Sets the connection to end."""
        with self._lock:
            self._response = response
            if self.is_set:
                self._shut()

    def sleep(self, seconds: float) -> None:
        """Waits; returns early when the stream is ended."""
        self._event.wait(min(seconds, threading.TIMEOUT_MAX))

    def set(self) -> None:
        """Ends it."""
        self._event.set()
        with self._lock:
            self._shut()

    def _shut(self) -> None:
        stream = (
            self._response.extensions.get("network_stream") if self._response is not None else None
        )
        found = stream.get_extra_info("socket") if stream is not None else None
        if isinstance(found, socket.socket):
            # Its owner has closed it, which has woken a reader.
            with contextlib.suppress(OSError):
                found.shutdown(socket.SHUT_RDWR)


def next_chunk(chunks: Iterator[bytes]) -> Optional[bytes]:
    """The next event; `None` at the end."""
    return next(chunks, None)


class Over(Exception):
    """The stream has ended in order."""


class Reader(Protocol):
    """A reader of a stream, step by step."""

    def pop(self) -> Optional[GrantexEvent]:
        """The next event that was read; `None` if another step is needed. Raises the error at the end."""

    def fill(self) -> None:
        """One step."""

    def close(self) -> None:
        """Closes the connection."""


class EventStream(Iterator[GrantexEvent]):
    """The events of a stream; `close`, from any thread, ends it and its connection at once.

    Waiting for the next event may be given up, by the time limit of `next` or by an exception such as
    `KeyboardInterrupt`, and taken up again: nothing is lost, and nothing comes twice.
    """

    def __init__(self, reader: Reader, cancel: Cancel) -> None:
        self._reader = reader
        self._cancel = cancel
        self._turn = threading.Lock()
        # Set when a step that runs in its own thread is done: it outlives a wait that is given up.
        self._step: Optional[threading.Event] = None

    def __next__(self) -> GrantexEvent:
        event = self.next()
        assert event is not None, "without a time limit there is always one"
        return event

    def next(self, timeout: Optional[float] = None) -> Optional[GrantexEvent]:
        """The next event; `None` if none comes within `timeout` seconds, and the stream goes on.

        Raises `StopIteration` where the stream has ended.

        >>> event = stream.next(timeout=1.0)
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        if not self._turn.acquire(timeout=-1 if timeout is None else max(timeout, 0.0)):
            return None
        try:
            while True:
                event = self._pop()
                if event is not None:
                    return event
                if deadline is None and self._step is None:
                    self._reader.fill()
                    continue
                if not self._begun().wait(
                    None if deadline is None else max(deadline - time.monotonic(), 0.0)
                ):
                    return None
                self._step = None
        finally:
            self._turn.release()

    def _pop(self) -> Optional[GrantexEvent]:
        if self._cancel.is_set:
            raise StopIteration
        try:
            return self._reader.pop()
        except Over:
            raise StopIteration from None

    def _begun(self) -> threading.Event:
        """The running step, or a new one."""
        if self._step is None:
            done, reader = threading.Event(), self._reader

            def run() -> None:
                try:
                    reader.fill()
                finally:
                    done.set()

            self._step = done
            threading.Thread(target=run, name="grantex-stream", daemon=True).start()
        return self._step

    def __enter__(self) -> EventStream:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """Ends the stream."""
        self._cancel.set()
        # A thread that is reading is woken from its socket and closes the connection itself.
        if self._turn.acquire(blocking=False):
            try:
                if self._step is None or self._step.is_set():
                    self._reader.close()
            finally:
                self._turn.release()

    def __del__(self) -> None:
        if hasattr(self, "_turn"):
            self.close()


def as_stream(reader: Reader, cancel: Cancel) -> EventStream:
    """The events that a reader reads."""
    return EventStream(reader, cancel)


def subscribe(
    events: EventStream, handler: Handler, on_error: Optional[Callable[[Exception], None]]
) -> Callable[[], None]:
    """Calls `handler` for each event in a daemon thread; returns the function that ends it."""

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
    """A list that is requested when it is used: `page()` gives one page, `for` every item."""

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
