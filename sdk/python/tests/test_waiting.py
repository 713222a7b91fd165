"""Waits for an event that are given up, and ends that come while one is waited for."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from grantex import ConfigurationError, Grantex, SyncGrantex

# Longer than anything takes that works.
PATIENCE = 60.0


class Source:
    """A log that streams follow; `cut` ends a connection after each event."""

    def __init__(self) -> None:
        self.cut = False
        self.opened: list[Any] = []
        self.closed = threading.Event()
        self.is_over = False
        self.sent = 0
        source = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                last = self.headers.get("last-event-id")
                place = int(last.removeprefix("evt_")) if last else source.sent
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(f"retry: 1\nid: evt_{place}\n\n".encode())
                    source.opened.append(last)
                    while not source.is_over:
                        if source.sent == place:
                            self.wfile.write(b":\n")
                            time.sleep(0.005)
                            continue
                        place += 1
                        event = f'{{"id":"evt_{place}","type":"t","createdAt":"c","data":{{}}}}'
                        self.wfile.write(f"id: evt_{place}\ndata: {event}\n\n".encode())
                        if source.cut:
                            return
                source.closed.set()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.base = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def emit(self) -> None:
        self.sent += 1

    async def until_open(self) -> None:
        while not self.opened:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.fixture
def source() -> Iterator[Source]:
    source = Source()
    yield source
    source.is_over = True
    source.server.shutdown()


async def until_closed(source: Source) -> None:
    assert await asyncio.get_running_loop().run_in_executor(None, source.closed.wait, PATIENCE)


def test_a_task_that_is_cancelled_leaves_its_stream_to_another(source: Source) -> None:
    async def main() -> None:
        async with Grantex("k", base_url=source.base) as client:
            stream = client.events.stream()

            seen = []

            async def take(has_one: asyncio.Event) -> None:
                async for event in stream:
                    seen.append(event.id)
                    has_one.set()

            for number in (1, 2, 3):
                has_one = asyncio.Event()
                task = asyncio.create_task(take(has_one))
                await source.until_open()
                source.emit()
                await has_one.wait()
                task.cancel()
                await asyncio.wait([task])
                assert seen == [f"evt_{one}" for one in range(1, number + 1)]
            assert source.opened == [None]

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


@pytest.mark.parametrize("is_cut", [False, True], ids=["idle", "reconnecting"])
def test_time_limits_of_every_kind_lose_nothing(source: Source, is_cut: bool) -> None:
    source.cut = is_cut

    async def main() -> None:
        async with Grantex("k", base_url=source.base) as client:
            stream = client.events.stream()
            seen = []
            for number in range(1, 7):
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(stream.__anext__(), 0.03)
                assert await stream.next(timeout=0) is None
                assert await stream.next(timeout=0.01) is None
                source.emit()
                event = None
                while event is None:
                    event = await stream.next(timeout=0.005)
                seen.append(event.id)
                assert seen[-1] == f"evt_{number}"
            assert len(source.opened) == (6 if is_cut else 1)

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_the_synchronous_form_has_time_limits_too(source: Source) -> None:
    with SyncGrantex("k", base_url=source.base) as client, client.events.stream() as stream:
        for number in range(1, 4):
            assert stream.next(timeout=0.1) is None
            source.emit()
            event = stream.next(timeout=PATIENCE)
            assert event is not None and event.id == f"evt_{number}"
        source.emit()
        assert next(stream).id == "evt_4"
        assert source.opened == [None]


def test_an_interruption_of_the_synchronous_form_loses_nothing(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    import grantex._sync._stream as module

    with SyncGrantex("k", base_url=source.base) as client, client.events.stream() as stream:
        assert stream.next(timeout=0.1) is None
        source.emit()
        assert next(stream).id == "evt_1"
        original: Any = vars(module)["next_chunk"]

        def interrupted(_: Any) -> Any:
            monkeypatch.setattr(module, "next_chunk", original)
            raise KeyboardInterrupt

        monkeypatch.setattr(module, "next_chunk", interrupted)
        with pytest.raises(KeyboardInterrupt):
            next(stream)
        source.emit()
        assert next(stream).id == "evt_2"


def test_to_close_while_another_task_waits_ends_both_at_once(source: Source) -> None:
    async def main() -> None:
        async with Grantex("k", base_url=source.base) as client:
            stream = client.events.stream()
            waiting = asyncio.create_task(stream.next())
            await source.until_open()
            await stream.aclose()
            with pytest.raises(StopAsyncIteration):
                await waiting
            await until_closed(source)
            assert [event async for event in stream] == []

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_to_close_while_a_step_is_on_its_way_ends_it(source: Source) -> None:
    with SyncGrantex("k", base_url=source.base) as client:
        stream = client.events.stream()
        assert stream.next(timeout=0.05) is None
        stream.close()
        assert source.closed.wait(PATIENCE)
        assert list(stream) == []


@pytest.mark.parametrize("form", ["asynchronous", "synchronous"])
def test_a_process_whose_stream_was_left_ends(source: Source, form: str) -> None:
    programs = {
        "asynchronous": """
import asyncio, sys, grantex
async def main():
    stream = grantex.Grantex("k", base_url=sys.argv[1]).events.stream()
    assert await stream.next(timeout=0.2) is None
asyncio.run(main())
""",
        "synchronous": """
import sys, grantex
stream = grantex.SyncGrantex("k", base_url=sys.argv[1]).events.stream()
assert stream.next(timeout=0.2) is None
""",
    }
    command = [sys.executable, "-W", "error", "-c", programs[form], source.base]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert source.closed.wait(PATIENCE)


def test_a_client_and_a_stream_are_used_in_one_event_loop_after_the_other(source: Source) -> None:
    client = Grantex("k", base_url=source.base)
    stream = client.events.stream()

    async def take(turn: int) -> str:
        while len(source.opened) < turn:
            assert await stream.next(timeout=0.02) is None
        source.emit()
        return (await stream.__anext__()).id

    assert [asyncio.run(asyncio.wait_for(take(turn), PATIENCE)) for turn in (1, 2, 3)] == [
        "evt_1",
        "evt_2",
        "evt_3",
    ]


def test_a_stream_that_two_loops_read_at_a_time_says_so(source: Source) -> None:
    client = Grantex("k", base_url=source.base)
    stream = client.events.stream()

    async def main() -> None:
        waiting = asyncio.create_task(stream.next())
        await source.until_open()

        def elsewhere() -> None:
            with pytest.raises(ConfigurationError, match="another event loop"):
                asyncio.run(stream.next())

        await asyncio.get_running_loop().run_in_executor(None, elsewhere)
        source.emit()
        event = await waiting
        assert event is not None and event.id == "evt_1"
        await stream.aclose()
        await client.aclose()

    asyncio.run(asyncio.wait_for(main(), PATIENCE))
