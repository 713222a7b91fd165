"""The mock as a process of its own, and the runners of both clients."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[3]
MOCK = Path(os.environ.get("GRANTEX_MOCK", ROOT / "target" / "debug" / "grantex-mock"))


def vectors(name: str) -> list[dict[str, Any]]:
    """A file's cases."""
    cases: list[dict[str, Any]] = json.loads((ROOT / "vectors" / name).read_text())["cases"]
    return cases


class Mock:
    """It ends with its standard input."""

    def __init__(self) -> None:
        command = [str(MOCK), str(ROOT / "vectors")]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.base = self.process.stdout.readline().strip()
        self.http = httpx.Client(
            base_url=self.base, timeout=60, limits=httpx.Limits(max_connections=None)
        )

    def json(self, path: str, body: Optional[dict[str, Any]] = None) -> Any:
        return (
            (self.http.post(path, json=body) if body else self.http.get(path))
            .raise_for_status()
            .json()
        )

    def stop(self) -> None:
        self.http.close()
        self.process.communicate()


@pytest.fixture(scope="session")
def mock() -> Iterator[Mock]:
    mock = Mock()
    yield mock
    mock.stop()
