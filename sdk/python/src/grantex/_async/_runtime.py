"""What waiting is made of under asyncio."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Coroutine, Generator
from typing import Any, Callable, Generic, Optional, TypeVar, Union

import httpx

from .._errors import GrantexError
from .._event import GrantexEvent
from .._models import Page

T = TypeVar("T")
KeyFunction = Callable[[], Union[str, Awaitable[str]]]
Handler = Callable[[GrantexEvent], Optional[Awaitable[None]]]
_log = logging.getLogger("grantex")


class Lock:
    """A lock that is bound to a loop only when it is used: clients may be made before there is one."""

    def __init__(self) -> None:
        self._lock: Optional[asyncio.Lock] = None

    async def __aenter__(self) -> None:
        self._lock = self._lock or asyncio.Lock()
        await self._lock.acquire()

    async def __aexit__(self, *_: Any) -> None:
        if self._lock is not None:
            self._lock.release()


async def ask(function: KeyFunction) -> str:
    """The key from a function, plain or asynchronous."""
    answer = function()
    return await answer if inspect.isawaitable(answer) else answer


async def sleep(seconds: float) -> None:
    """Waits."""
    await asyncio.sleep(seconds)


class Started(Awaitable[T]):
    """Something that has begun: it goes on whether awaited or not.

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
    """Ends a stream from outside; under asyncio the task that reads it is cancelled instead."""

    is_set = False

    def watch(self, response: Optional[httpx.Response]) -> None:
        """Nothing: a cancelled task closes its connection itself."""

    async def sleep(self, seconds: float) -> None:
        """Waits."""
        await asyncio.sleep(seconds)


def as_stream(events: AsyncGenerator[GrantexEvent, None], _: Cancel) -> AsyncGenerator[GrantexEvent, None]:
    """The generator itself: the loop closes it when it is left."""
    return events


def subscribe(
    events: AsyncGenerator[GrantexEvent, None],
    handler: Handler,
    on_error: Optional[Callable[[Exception], None]],
) -> Callable[[], None]:
    """Calls `handler` for each event in a task; returns what ends it."""

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


# The loop itself holds tasks weakly.
_running: set[asyncio.Future[None]] = set()


class AsyncList(Generic[T]):
    """A list that is asked for when it is used: awaited it is one page, iterated it is every item."""

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
