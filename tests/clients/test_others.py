"""Third-party clients, used as docs/clients.md describes: one for each language and kind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from conftest import HERE, Service, until

OTHERS = HERE / "others"


def commands(folder: Path) -> dict[str, Sequence[str | Path]]:
    """How each is run; those in Go are built below `folder`."""
    subprocess.run(["go", "build", "-o", folder, "./..."], cwd=OTHERS / "go", check=True)
    return {
        "Node, SSE": ["node", OTHERS / "eventsource.mjs"],
        "Node, WebSocket": ["node", OTHERS / "ws.mjs"],
        "Python, SSE": [sys.executable, OTHERS / "httpx_sse_reader.py"],
        "Python, WebSocket": [sys.executable, OTHERS / "websockets_reader.py"],
        "Go, SSE": [folder / "r3labs"],
        "Go, WebSocket": [folder / "gorilla"],
    }


@contextmanager
def running(service: Service, folder: Path) -> Iterator[dict[str, Path]]:
    """Where each of them prints the ids of its events."""
    environment = {**os.environ, "GRANTEX_BASE_URL": service.base, "GRANTEX_API_KEY": service.key}
    outputs: dict[str, Path] = {}
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for name, command in commands(folder).items():
            outputs[name] = folder / name
            with outputs[name].open("wb") as sink:
                processes.append(subprocess.Popen(command, env=environment, stdout=sink))
        yield outputs
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_they_read_on_over_a_kill_and_a_restart(service: Service, tmp_path: Path) -> None:
    service.grant()
    with running(service, tmp_path) as outputs:

        def all_have_the_log() -> None:
            log = [event["id"] for event in service.log()]

            def look() -> bool | None:
                return (
                    all(
                        len(output.read_text().splitlines()) >= len(log)
                        for output in outputs.values()
                    )
                    or None
                )

            until(
                f"{len(log)} events in {[output.read_text() for output in outputs.values()]}", look
            )
            for name, output in outputs.items():
                assert output.read_text().splitlines() == log, name

        all_have_the_log()
        service.kill()
        service.start()
        service.revoke(service.grant())
        all_have_the_log()
        started = time.monotonic()
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait() == 0
        # Its drain time, and some for a busy machine.
        assert time.monotonic() - started < 7
        service.start()
        service.grant()
        all_have_the_log()
