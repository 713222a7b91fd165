"""How long to wait before the next try."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Mapping
from typing import Optional


def delay(attempt: int, base: float, longest: float, random: float) -> float:
    """Exponential with full jitter, in seconds.

    A random part of `base` doubled once for each failed attempt before, never beyond `longest`: many
    clients that lost one service do not come back at once.
    """
    return min(base * 2.0 ** min(attempt, 31), longest) * random


def retry_after(headers: Mapping[str, str]) -> Optional[float]:
    """What `Retry-After` asks for, in seconds; it holds seconds, or a date."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError, IndexError):
        return None
