"""Calls that were started and need not be awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Callable

from ._runtime import Started


class Pending:
    """Keeps them until they have ended."""

    def __init__(self) -> None:
        self._started: set[Started[None]] = set()

    def start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> Started[None]:
        """Starts `work` now."""
        started = Started(work())
        self._started.add(started)
        started.task.add_done_callback(lambda _: self._started.discard(started))
        return started

    async def wait(self) -> None:
        """Waits for all of them; failures are reported elsewhere."""
        loop = asyncio.get_running_loop()
        while own := [started.task for started in self._started if started.task.get_loop() is loop]:
            await asyncio.wait(own)
