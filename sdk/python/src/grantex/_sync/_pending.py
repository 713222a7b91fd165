"""Calls that are done when they return."""

from __future__ import annotations


class Pending:
    """Nothing is ever pending."""

    def start(self, done: None) -> None:
        """It is done already."""

    def wait(self) -> None:
        """Nothing to wait for."""
