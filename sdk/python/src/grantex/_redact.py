"""Texts without the secrets of the URLs in them."""

from __future__ import annotations

import re

_HIDDEN = "***"
"""Replaces a secret."""


def redacted(text: str) -> str:
    """A text without user, password and query of every URL in it.

    Everything between `://` and the last `@` of the same word counts as a secret, so that one with a
    `/` or an `@` is hidden too.
    """
    return re.sub(r"(?<=://)[^\s\"<>]+", lambda found: _redact(found[0]), text)


def redacted_url(url: str) -> str:
    """One URL without its secrets, also if it has no scheme or is not a URL."""
    scheme, mark, rest = url.partition("://")
    return scheme + mark + _redact(rest) if mark else _redact(url)


def _redact(url: str) -> str:
    before, mark, after = url.rpartition("@")
    # An `@` in the path or the query, after the host, does not end credentials.
    if mark and not re.match(r"(\[[^\]/?]*\]|[^:/?]+)[/?]", before):
        url = f"{_HIDDEN}@{after}"
    return re.sub(r"\?.+", f"?{_HIDDEN}", url, flags=re.DOTALL)
