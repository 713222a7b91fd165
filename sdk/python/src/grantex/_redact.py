"""Texts without the secrets of the URLs in them."""

from __future__ import annotations

import re

_HIDDEN = "***"
"""What stands for a secret."""


def redacted(text: str) -> str:
    """A text without user, password and query of every URL in it.

    Whatever stands between `://` and the last `@` of the same word is a secret, so that one with a `/` or an
    `@` in it does not show.
    """
    return re.sub(r"(?<=://)[^\s\"<>]+", lambda found: _redact(found[0]), text)


def redacted_url(url: str) -> str:
    """One URL without its secrets, also where it lacks its scheme or is no URL."""
    scheme, mark, rest = url.partition("://")
    return scheme + mark + _redact(rest) if mark else _redact(url)


def _redact(url: str) -> str:
    before, mark, after = url.rpartition("@")
    # An `@` of the path or the query, where the host came before, is none of credentials.
    if mark and not re.match(r"(\[[^\]/?]*\]|[^:/?]+)[/?]", before):
        url = f"{_HIDDEN}@{after}"
    return re.sub(r"\?.+", f"?{_HIDDEN}", url, flags=re.DOTALL)
