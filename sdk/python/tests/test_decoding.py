"""`sse.json` and `backoff.json`: what needs no server."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from conftest import vectors

from grantex._backoff import delay
from grantex._sse import Cursor, Decoder, Item, Message, Retry, TooLong


def decode(chunks: Iterable[bytes], limit: int) -> tuple[list[Any], bool]:
    """What a decoder makes of the chunks, and whether it met its limit."""
    decoder = Decoder(limit)
    items: list[Item] = []
    too_long = False
    try:
        for chunk in chunks:
            decoder.feed(chunk, items)
    except TooLong:
        too_long = True
    plain: list[Any] = []
    for item in items:
        if isinstance(item, Message):
            if item.id is not None:
                plain.append({"cursor": item.id})
            plain.append({"message": {"event": item.event, "data": item.data.decode()}})
        elif isinstance(item, Cursor):
            plain.append({"cursor": item.id})
        elif isinstance(item, Retry):
            plain.append({"retry": item.milliseconds})
        else:
            plain.append("comment")
    return plain, too_long


@pytest.mark.parametrize("case", vectors("sse.json"), ids=lambda case: case["name"])
def test_every_stream_reads_the_same_wherever_it_is_cut(case: dict[str, Any]) -> None:
    repeat = "x" * case.get("repeat", 0)

    def fill(text: str) -> str:
        return text.replace("{x}", repeat) if repeat else text

    stream = fill(case["stream"]).encode()
    items = case["items"]
    for item in items:
        if "message" in item:
            item["message"]["data"] = fill(item["message"]["data"])
    wanted = (items, case.get("tooLong", False))
    limit = case.get("limit", 1 << 20)
    assert decode([stream], limit) == wanted, "whole"
    assert decode((stream[place : place + 1] for place in range(len(stream))), limit) == wanted, (
        "byte by byte"
    )
    step = len(stream) // 16 if case.get("sampled") else 1
    for cut in range(0, len(stream) + 1, step):
        assert decode([stream[:cut], stream[cut:]], limit) == wanted, f"cut at {cut}"


@pytest.mark.parametrize("case", vectors("backoff.json"), ids=lambda case: case["name"])
def test_delays_are_exponential_with_full_jitter(case: dict[str, Any]) -> None:
    got = delay(case["attempt"], case["baseMs"], case["maxMs"], case["random"])
    assert got == case["delayMs"]
