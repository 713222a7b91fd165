"""Waiting under asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Coroutine, Generator
from typing import Any, Callable, Generic, Optional, Protocol, TypeVar, Union
from weakref import WeakKeyDictionary

import httpx

from .._errors import ConfigurationError, GrantexError
from .._event import GrantexEvent
from .._models import Page

T = TypeVar("T")
KeyFunction = Callable[[], Union[str, Awaitable[str]]]
Handler = Callable[[GrantexEvent], Optional[Awaitable[None]]]
_log = logging.getLogger("grantex")


class PerLoop(Generic[T]):
    """A value for each event loop that uses a client: connections and locks belong to a loop."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: WeakKeyDictionary[asyncio.AbstractEventLoop, T] = WeakKeyDictionary()

    def get(self) -> T:
        """The value of the running loop, created on the first call."""
        loop = asyncio.get_running_loop()
        found = self._made.get(loop)
        if found is None:
            found = self._made[loop] = self._make()
        return found

    def take(self) -> Optional[T]:
        """Removes and returns the value of the running loop, if there is one."""
        return self._made.pop(asyncio.get_running_loop(), None)


class Lock:
    """A lock that is bound to a loop when it is used: clients may be created before there is a loop."""

    def __init__(self) -> None:
        self._locks = PerLoop(asyncio.Lock)

    async def __aenter__(self) -> None:
        await self._locks.get().acquire()

    async def __aexit__(self, *_: Any) -> None:
        self._locks.get().release()


async def ask(function: KeyFunction) -> str:
    """The key from a function, plain or asynchronous."""
    answer = function()
    return await answer if inspect.isawaitable(answer) else answer


async def sleep(seconds: float) -> None:
    """Waits."""
    await asyncio.sleep(seconds)


class Started(Awaitable[T]):
    """A call that has started, and continues whether it is awaited or not.

    A failure that nobody awaits is logged.
    """

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self._is_awaited = False
        self.task = asyncio.ensure_future(work)
        self.task.add_done_callback(self._ended)

    def __await__(self) -> Generator[Any, None, T]:
        self._is_awaited = True
        return self.task.__await__()

    def _ended(self, task: asyncio.Future[T]) -> None:
        if not task.cancelled() and (error := task.exception()) and not self._is_awaited:
            _log.error("a call that nobody awaited failed: %s", error)


class Cancel:
    """The end of a stream."""

    is_set = False

    def watch(self, response: Optional[httpx.Response]) -> None:
        """Nothing: a cancelled task closes its connection itself."""

    async def sleep(self, seconds: float) -> None:
        """Waits."""
        await asyncio.sleep(seconds)


async def next_chunk(chunks: AsyncIterator[bytes]) -> Optional[bytes]:
    """The next event; `None` at the end."""
    async for chunk in chunks:
        return chunk
    return None


class Over(Exception):
    """The stream has ended in order."""


class Reader(Protocol):
    """A reader of a stream, step by step."""

    def pop(self) -> Optional[GrantexEvent]:
        """The next event that was read; `None` if another step is needed. Raises the error that ended
        the stream.
        """

    async def fill(self) -> None:
        """One step."""

    async def aclose(self) -> None:
        """Closes the connection."""

    def forget(self) -> None:
        """Forgets the connection: its event loop has ended."""


class AsyncEventStream(AsyncIterator[GrantexEvent]):
    """The events of a stream.

    Waiting for the next event may be given up at any time, by a time limit or by cancelling the
    task that waits, and taken up again, by another task too: nothing is lost, and nothing comes
    twice.
    """

    def __init__(self, reader: Reader, cancel: Cancel) -> None:
        self._reader = reader
        self._cancel = cancel
        # A step is a task of its own, so that it outlives a wait that is given up.
        self._step: Optional[asyncio.Task[None]] = None
        self._loop: Optional[asyncio.AbstractEventLoop] = None

    def __aiter__(self) -> AsyncEventStream:
        return self

    async def __anext__(self) -> GrantexEvent:
        event = await self.next()
        assert event is not None, "without a time limit there is always one"
        return event

    async def next(self, timeout: Optional[float] = None) -> Optional[GrantexEvent]:
        """The next event; `None` if none comes within `timeout` seconds, and the stream goes on.

        Raises `StopAsyncIteration` where the stream has ended.

        >>> event = await stream.next(timeout=1.0)
        """
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        while True:
            event = self._pop()
            if event is not None:
                return event
            left = None if deadline is None else deadline - loop.time()
            if left is not None and left <= 0 and self._step is not None and not self._step.done():
                return None
            # Unlike `await`, this does not cancel the step when the wait is cancelled.
            await asyncio.wait(
                [self._begun(loop)], timeout=None if left is None else max(left, 0.0)
            )

    def _pop(self) -> Optional[GrantexEvent]:
        if self._cancel.is_set:
            raise StopAsyncIteration
        try:
            return self._reader.pop()
        except Over:
            raise StopAsyncIteration from None

    def _begun(self, loop: asyncio.AbstractEventLoop) -> asyncio.Task[None]:
        """The running step, or a new one."""
        if self._loop is not loop:
            if (
                self._step is not None
                and not self._step.done()
                and self._loop
                and self._loop.is_running()
            ):
                raise ConfigurationError(
                    "another event loop is reading this stream: open a stream for each loop"
                )
            if self._loop is not None:
                self._reader.forget()
            self._loop, self._step = loop, None
        if self._step is None or self._step.done():
            self._step = loop.create_task(self._reader.fill())
        return self._step

    async def aclose(self) -> None:
        """Ends the stream and closes its connection at once, also while another task waits for an
        event.
        """
        self._cancel.is_set = True
        if self._loop is not asyncio.get_running_loop():
            self._reader.forget()
            return
        if self._step is not None and not self._step.done():
            self._step.cancel()
            await asyncio.wait([self._step])
        await self._reader.aclose()

    async def __aenter__(self) -> AsyncEventStream:
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.aclose()

    def __del__(self) -> None:
        # The loop was left, for example by `break`: it closes the connection.
        loop = getattr(self, "_loop", None)
        if loop is None or self._cancel.is_set or loop.is_closed():
            return
        step, reader = self._step, self._reader

        def close() -> None:
            if step is not None and not step.done():
                step.cancel()
            else:
                closing = loop.create_task(reader.aclose())
                _running.add(closing)
                closing.add_done_callback(_running.discard)

        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(close)


def as_stream(reader: Reader, cancel: Cancel) -> AsyncEventStream:
    """The events that a reader reads."""
    return AsyncEventStream(reader, cancel)


def subscribe(
    events: AsyncEventStream,
    handler: Handler,
    on_error: Optional[Callable[[Exception], None]],
) -> Callable[[], None]:
    """Calls `handler` for each event in a task; returns the function that ends it."""

    def tell(error: Exception) -> None:
        if on_error is not None:
            on_error(error)
        elif isinstance(error, GrantexError):
            _log.error("a subscription ended: %s", error)
        else:
            _log.error("an event handler failed", exc_info=error)

    async def run() -> None:
        try:
            async for event in events:
                try:
                    answer = handler(event)
                    if inspect.isawaitable(answer):
                        await answer
                except Exception as error:
                    tell(error)
        except Exception as error:
            tell(error)
        finally:
            await events.aclose()

    task = asyncio.ensure_future(run())
    _running.add(task)
    task.add_done_callback(_running.discard)

    def unsubscribe() -> None:
        task.cancel()

    return unsubscribe


# The loop has only weak references to tasks.
_running: set[asyncio.Future[None]] = set()


class AsyncList(Generic[T]):
    """A list that is requested when it is used: `await` gives one page, `async for` every item."""

    def __init__(
        self, after: Optional[str], fetch: Callable[[Optional[str]], Coroutine[Any, Any, Page[T]]]
    ) -> None:
        self._after = after
        self._fetch = fetch

    async def page(self) -> Page[T]:
        """One page."""
        return await self._fetch(self._after)

    def __await__(self) -> Generator[Any, None, Page[T]]:
        return self.page().__await__()

    async def __aiter__(self) -> AsyncIterator[T]:
        after = self._after
        while True:
            page = await self._fetch(after)
            for item in page.items:
                yield item
            if page.next_cursor is None:
                return
            after = page.next_cursor
