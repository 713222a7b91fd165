"""The longer programs of the SDKs' READMEs, run as they stand, stopped, killed and started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from conftest import PATIENCE, Service, until
from test_sdks import is_revoked, spend

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def program(service: Service, tmp_path: Path) -> Iterator[Start]:
    """Starts a program in an empty folder, where it keeps its files; what it prints is in `output`."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(*command: Path) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "GRANTEX_BASE_URL": service.base,
            "GRANTEX_API_KEY": service.key,
        }
        with (tmp_path / "output").open("ab") as output:
            processes.append(
                subprocess.Popen(
                    [str(part) for part in command],
                    cwd=tmp_path,
                    env={**environment, "PYTHONUNBUFFERED": "1"},
                    stdout=output,
                    stderr=output,
                )
            )
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


def test_the_go_worker_stops_cleanly_and_goes_on_after_a_torn_line(
    service: Service, projects: Path, program: Start, tmp_path: Path
) -> None:
    kept = tmp_path / "events.ndjson"

    def has_all() -> bool | None:
        text = kept.read_text()
        is_whole = text.endswith("\n") and text.count("\n") == len(service.log())
        return is_whole or None

    for _ in range(3):
        for _ in range(50):
            service.grant()
        # What a kill in the middle of a write leaves.
        with kept.open("a") as file:
            file.write('{"id":"evt_01JN')
        worker = program(projects / "go" / "bin" / "worker")
        until("it has written every event", has_all)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(PATIENCE) == 0, (tmp_path / "output").read_text()
    assert [json.loads(line) for line in kept.read_text().splitlines()] == service.log()


def test_the_python_monitor_goes_on_where_it_was_killed(
    service: Service, projects: Path, program: Start, tmp_path: Path
) -> None:
    command = (
        projects / "python" / "venv" / "bin" / "python",
        projects / "python" / "monitor_with_cursor.py",
    )

    def is_kept(last: str) -> bool | None:
        return (tmp_path / "cursor").read_text() == last or None

    def has_said(text: str) -> bool | None:
        return text in (tmp_path / "output").read_text() or None

    monitor = program(*command)
    until("it is connected", lambda: service.open_streams("sse") or None)
    for _ in range(3):
        grant = spend(service)
        until("the grant is revoked", partial(is_revoked, service, grant))
        last = service.log()[-1]["id"]
        until("its place is kept", partial(is_kept, last))
        monitor.kill()
        monitor.wait()
        missed = spend(service)
        monitor = program(*command)
        until("what it missed is revoked", partial(is_revoked, service, missed))
        for one in (grant, missed):
            until("it says so", partial(has_said, f"revoked {one}"))
        # One debit took all of each budget.
        assert "alert:" not in (tmp_path / "output").read_text()
