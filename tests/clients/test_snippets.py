"""The documentation's snippets, run as they stand but for the base URL."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import HERE, Service, until


class Program:
    """A running snippet and what it has printed."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self.process = process
        self.output = output

    def wait_for(self, *texts: str) -> str:
        """What was printed, once it holds these texts in this order."""

        def look() -> str | None:
            assert self.process.poll() is None, f"it ended: {self.output.read_text()}"
            printed = self.output.read_text()
            place = 0
            for text in texts:
                if (place := printed.find(text, place)) < 0:
                    return None
                place += len(text)
            return printed

        return until(f"{texts} in {self.output.read_text()!r}", look)


@pytest.fixture
def run(service: Service, tmp_path: Path) -> Iterator[Callable[..., Program]]:
    programs: list[Program] = []

    def begin(name: str, transport: str, prelude: str = "") -> Program:
        text = (HERE / "snippets" / "wire" / name).read_text()
        host = service.base.removeprefix("http://")
        text = text.replace("https://api.grantex.dev", service.base).replace(
            "wss://api.grantex.dev", f"ws://{host}"
        )
        # Beside the node modules, where imports find them.
        script = HERE / f".running-{service.port}-{name}"
        script.write_text(prelude + text)
        command = {
            ".sh": ["bash", str(script)],
            ".ts": [str(HERE / "node_modules" / ".bin" / "tsx"), str(script)],
            ".py": [sys.executable, "-u", str(script)],
        }[script.suffix]
        output = tmp_path / "output"
        environment = {**os.environ, "GRANTEX_API_KEY": service.key}
        with output.open("wb") as sink:
            process = subprocess.Popen(
                command,
                env=environment,
                stdout=sink,
                stderr=subprocess.STDOUT,
                cwd=HERE,
                start_new_session=True,
            )
        programs.append(Program(process, output))
        until("it is connected", lambda: service.open_streams(transport) or None)
        script.unlink()
        return programs[-1]

    yield begin
    for program in programs:
        # The whole group: a shell's curl outlives the shell.
        os.killpg(program.process.pid, 9)
        program.process.wait()


def test_curl(service: Service, run: Callable[..., Program]) -> None:
    program = run("stream.sh", "sse")
    grant = service.grant()
    program.wait_for(
        "id: evt_",
        'data: {"id":"evt_',
        '"type":"grant.created"',
        grant,
        '"type":"token.issued"',
        grant,
    )


def test_curl_with_a_filter(service: Service, run: Callable[..., Program]) -> None:
    program = run("filtered.sh", "sse")
    grant = service.grant()
    service.revoke(grant)
    printed = program.wait_for("grant.created", "grant.revoked", '"revokedBy":"developer"')
    assert "token.issued" not in printed


def test_fetch(service: Service, run: Callable[..., Program]) -> None:
    program = run("stream.ts", "sse")
    for _ in range(20):
        service.grant()
    grant = service.grant()
    printed = program.wait_for(grant, "token.issued", grant)
    assert printed.count("grant.created") == printed.count("token.issued") == 21


def test_httpx_also_when_nothing_happens(service: Service, run: Callable[..., Program]) -> None:
    program = run("stream.py", "sse")
    # Its client gives up after 5 s without a byte: outlive that, with nothing to tell.
    time.sleep(6)
    grant = service.grant()
    program.wait_for("grant.created", grant, "token.issued", "'method': 'exchange'")


def test_ws(service: Service, run: Callable[..., Program]) -> None:
    program = run("websocket.ts", "ws", "import WebSocket from 'ws';\n")
    grant = service.grant()
    program.wait_for("grant.created", grant, "token.issued")


def test_websockets(service: Service, run: Callable[..., Program]) -> None:
    program = run("websocket.py", "ws")
    grant = service.grant()
    program.wait_for("grant.created", grant, "token.issued")
