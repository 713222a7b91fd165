"""The OpenAPI document against the running service: fuzzed with every check there is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from conftest import HERE, Service

# Streams never end, and a rotated key would end the test.
LEFT_OUT = ["/v1/events/stream", "/v1/events/ws", "/v1/keys/rotate"]
OF_PRINCIPALS = "^/v1/principal/"


def fuzz(service: Service, bearer: str, *options: str) -> None:
    command = [
        str(Path(sys.executable).parent / "st"), "--config-file", str(HERE / "schemathesis.toml"), "run",
        f"{service.base}/openapi.json", "--checks", "all", "--seed", "7", "--no-color",
        "-H", f"Authorization: Bearer {bearer}", *options,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, cwd=service.data_dir)
    assert done.returncode == 0, done.stdout[-8000:]


def test_every_operation(start: Callable[..., Service]) -> None:
    service = start("--rate-limit", "0")
    left_out = [option for path in LEFT_OUT for option in ("--exclude-path", path)]
    fuzz(
        service,
        service.key,
        "--max-examples",
        "60",
        "--exclude-path-regex",
        OF_PRINCIPALS,
        *left_out,
    )


def test_what_principals_call(start: Callable[..., Service]) -> None:
    service = start("--rate-limit", "0")
    service.grant()
    session = service.post("/v1/principal-sessions", {"principalId": "user-123"})["sessionToken"]
    fuzz(service, session, "--max-examples", "60", "--include-path-regex", OF_PRINCIPALS)
