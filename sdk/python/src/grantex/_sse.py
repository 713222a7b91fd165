"""An incremental decoder of server-sent events."""

from __future__ import annotations

from typing import NamedTuple, Optional, Union

_BOM = b"\xef\xbb\xbf"
LONGEST_RETRY = 86_400_000
"""A longer `retry:` counts as this: a day in milliseconds."""


class Message(NamedTuple):
    """A block with data."""

    event: str
    data: bytes
    id: Optional[str]
    """The reader's cursor from here on, if the block says so."""


class Cursor(NamedTuple):
    """A block with an id and no data: the reader's cursor is now this."""

    id: str


class Retry(NamedTuple):
    """The server asks for this delay before a reconnection."""

    milliseconds: int


class Comment(NamedTuple):
    """A comment line, which only shows that the connection works."""


Item = Union[Message, Cursor, Retry, Comment]


class TooLong(Exception):
    """The stream has a line or a message that is longer than the decoder's limit."""


class Decoder:
    """A decoder of bytes that may be cut anywhere.

    By the WHATWG standard: one leading byte order mark is dropped; lines end in CRLF, LF or CR; one
    space after the colon is dropped; an `id` with a NUL is ignored; `retry` is digits only; an
    unfinished last block is never dispatched. The data of a message stays bytes.
    """

    def __init__(self, limit: int) -> None:
        """Refuses lines and messages of more than `limit` bytes."""
        self._limit = limit
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._after_cr = False
        self._at_start = True
        self._event = ""
        self._data: Optional[bytes] = None
        self._id: Optional[str] = None

    def feed(self, chunk: bytes, items: list[Item]) -> None:
        """Appends to `items` what `chunk` completed. Raises `TooLong`; what came before counts."""
        if self._after_cr and chunk:
            self._after_cr = False
            if chunk.startswith(b"\n"):
                chunk = chunk[1:]
        if b"\r" in chunk:
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            # The service's own blocks: their lines need not be taken apart.
            if not (self._pending or self._at_start or len(line) >= self._limit):
                if not line:
                    self._dispatch(items)
                    continue
                if self._data is None and line.startswith(b"data: "):
                    self._data = line[6:]
                    continue
            if self._pending:
                self._keep(line)
                line = b"".join(self._pending)
                self._pending.clear()
                self._pending_bytes = 0
            elif len(line) > self._limit:
                raise self._too_long()
            self._read(line, items)
        if rest:
            self._keep(rest)

    def _keep(self, part: bytes) -> None:
        self._pending_bytes += len(part)
        if self._pending_bytes > self._limit:
            raise self._too_long()
        self._pending.append(part)

    def _too_long(self) -> TooLong:
        return TooLong(f"a server-sent event is longer than {self._limit} bytes")

    def _read(self, line: bytes, items: list[Item]) -> None:
        if self._at_start:
            self._at_start = False
            if line.startswith(_BOM):
                line = line[len(_BOM) :]
        if not line:
            self._dispatch(items)
            return
        field, colon, value = line.partition(b":")
        if colon and not field:
            items.append(Comment())
            return
        if value.startswith(b" "):
            value = value[1:]
        if field == b"data":
            if len(self._data or b"") + len(value) >= self._limit:
                raise self._too_long()
            self._data = value if self._data is None else self._data + b"\n" + value
        elif field == b"id":
            if b"\0" not in value:
                self._id = value.decode("utf-8", "replace")
        elif field == b"event":
            self._event = value.decode("utf-8", "replace")
        elif field == b"retry" and value.isdigit():
            # More digits than a day has are not read at all: very long ones are an error.
            items.append(
                Retry(min(int(value), LONGEST_RETRY) if len(value) < 16 else LONGEST_RETRY)
            )

    def _dispatch(self, items: list[Item]) -> None:
        if self._data is not None:
            items.append(Message(self._event, self._data, self._id))
        elif self._id is not None:
            items.append(Cursor(self._id))
        self._event, self._data, self._id = "", None, None
