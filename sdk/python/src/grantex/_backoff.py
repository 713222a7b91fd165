"""The wait before the next try."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Mapping
from typing import Optional


def delay(attempt: int, base: float, longest: float, random: float) -> float:
    """Exponential with full jitter, in seconds.

    A random part of `base`, doubled for each failed attempt before, at most `longest`. So many clients
    that lost one service do not all return at the same moment.
    """
    return min(base * 2.0 ** min(attempt, 31), longest) * random


def retry_after(headers: Mapping[str, str]) -> Optional[float]:
    """The wait of `Retry-After`, which has seconds or a date, in seconds."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError, IndexError):
        return None
