"""The service as a process, and a small client that makes things happen in it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import httpx
import packages
import pytest

HERE = Path(__file__).parent
BINARY = Path(os.environ.get("GRANTEX_BINARY", HERE.parent.parent / "target" / "debug" / "grantex"))
# Longer than anything takes that works.
PATIENCE = 60.0

T = TypeVar("T")


def until(what: str, look: Callable[[], T | None]) -> T:
    """What `look` finds, once it finds something."""
    deadline = time.monotonic() + PATIENCE
    while True:
        if (found := look()) is not None:
            return found
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


class Service:
    """`grantex serve` on a free port; it can be killed and started again in the same place."""

    def __init__(self, data_dir: Path, *options: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.base = f"http://127.0.0.1:{self.port}"
        self.data_dir = data_dir
        self.options = options
        self.start()
        made = (
            httpx.post(f"{self.base}/v1/signup", json={"name": "Test", "mode": "sandbox"})
            .raise_for_status()
            .json()
        )
        self.key: str = made["apiKey"]
        self.agent: str = self.post("/v1/agents", {"name": "Agent"})["agentId"]

    def start(self) -> None:
        listen = f"127.0.0.1:{self.port}"
        command = [str(BINARY), "serve", "--listen", listen, "--data-dir", str(self.data_dir)]
        self.process = subprocess.Popen(
            [*command, "--log", "warn", "--metrics", "true", *self.options]
        )

        def ready() -> bool | None:
            assert self.process.poll() is None, "the service ended"
            try:
                return httpx.get(f"{self.base}/readyz").is_success or None
            except httpx.TransportError:
                return None

        until("the service is ready", ready)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.key}"}
        answer = httpx.post(f"{self.base}{path}", json=body, headers=headers).raise_for_status()
        result: dict[str, Any] = answer.json()
        return result

    def grant(self) -> str:
        """A new grant; two events, `grant.created` and `token.issued`."""
        ask = {"agentId": self.agent, "principalId": "user-123", "scopes": ["calendar:read"]}
        code = self.post("/v1/authorize", ask)["code"]
        grant: str = self.post("/v1/token", {"agentId": self.agent, "code": code})["grantId"]
        return grant

    def revoke(self, grant: str) -> None:
        headers = {"Authorization": f"Bearer {self.key}"}
        httpx.delete(f"{self.base}/v1/grants/{grant}", headers=headers).raise_for_status()

    def log(self) -> list[dict[str, Any]]:
        headers = {"Authorization": f"Bearer {self.key}"}
        page = (
            httpx.get(f"{self.base}/v1/events?limit=1000", headers=headers)
            .raise_for_status()
            .json()
        )
        assert page["nextCursor"] is None
        events: list[dict[str, Any]] = page["events"]
        return events

    def open_streams(self, transport: str) -> int:
        marker = f'grantex_streams_open{{transport="{transport}"}} '
        for line in httpx.get(f"{self.base}/metrics").text.splitlines():
            if line.startswith(marker):
                return int(line.removeprefix(marker))
        return 0


@pytest.fixture(scope="session")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty project for each language, with its SDK's package and the documents' programs."""
    # The documents write the key into the Python programs.
    os.environ["GRANTEX_DOCUMENT_KEY"] = "gx_live_document_key"
    folder = tmp_path_factory.mktemp("projects")
    makers = [packages.typescript, packages.python, packages.go, packages.rust]
    for maker in makers:
        (folder / maker.__name__).mkdir()
    with ThreadPoolExecutor(len(makers)) as pool:
        list(pool.map(lambda maker: maker(folder / maker.__name__), makers))
    return folder


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    services: list[Service] = []

    def begin(*options: str) -> Service:
        services.append(Service(tmp_path / f"data-{len(services)}", *options))
        return services[-1]

    yield begin
    for service in services:
        service.kill()


@pytest.fixture
def service(start: Callable[..., Service]) -> Service:
    return start()
