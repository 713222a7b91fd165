"""Calls that are done when they return."""

from __future__ import annotations

from typing import Callable


class Pending:
    """Nothing is ever pending."""

    def start(self, work: Callable[[], None]) -> None:
        """Does `work` now."""
        work()

    def wait(self) -> None:
        """Returns at once: nothing is pending."""
