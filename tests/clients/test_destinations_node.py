"""`@grantex/destinations` as its users get it: packed, in an empty project, from a real service to
real receivers.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import forwarder
import packages
import pytest
from conftest import HERE, Service, until
from forwarder import Child, Receiver, Strict, serve, verify
from test_forward import Traffic, log_ids

KILLS = 10


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("empty-project")
    packages.destinations_node(folder)
    return folder


@pytest.fixture
def strict() -> Iterator[Strict]:
    strict = Strict()
    yield strict
    strict.child.close()


class Program:
    """A program for Node in the project; what it says goes to a file."""

    def __init__(self, project: Path, log: Path, *command: str | Path, **variables: str) -> None:
        self.command = [str(part) for part in command]
        self.project = project
        self.log = log
        self.variables = variables

    def start(self) -> None:
        with self.log.open("ab") as log:
            environment = {**os.environ, **self.variables}
            self.process = subprocess.Popen(
                self.command,
                cwd=self.project,
                env=environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


@pytest.fixture
def program(project: Path, tmp_path: Path) -> Iterator[Callable[..., Program]]:
    made: list[Program] = []

    def make(*command: str | Path, **variables: str) -> Program:
        made.append(Program(project, tmp_path / f"log-{len(made)}", *command, **variables))
        return made[-1]

    yield make
    for one in made:
        if one.process.poll() is None:
            one.kill()


NODES = {"this": "node", "the oldest": "node_modules/.bin/node"}


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("file", ["basic.js", "basic.cjs"])
def test_the_guides_program(
    node: str,
    file: str,
    project: Path,
    strict: Strict,
    service: Service,
    program: Callable[..., Program],
) -> None:
    datadog, splunk = (strict.receiver(name) for name in ("datadog", "splunk_without_ack"))
    source = (project / file).read_text()
    source = source.replace("https://api.grantex.dev", service.base)
    source = source.replace("https://splunk.example.com:8088", splunk.options["hec_url"])
    # Only Datadog's base is not in the guide's text.
    source, replaced = re.subn(
        r"(apiKey: process\.env\.DD_API_KEY)", rf"url: '{datadog.options['url']}', \1", source
    )
    assert replaced == 1
    running = project / f"running-{file}"
    running.write_text(source)
    keys = {"GRANTEX_API_KEY": service.key, "DD_API_KEY": "dd-key", "SPLUNK_HEC_TOKEN": "hec-token"}
    guide = program(NODES[node], running.name, **keys)
    guide.start()
    until("both are connected", lambda: service.open_streams("sse") == 2 or None)
    for _ in range(5):
        service.revoke(service.grant())
    # Its type is not among those that the program asks for.
    grant = service.grant()
    service.post("/v1/budget/allocate", {"grantId": grant, "initialBudget": 10})
    service.post("/v1/budget/debit", {"grantId": grant, "amount": 10})
    wanted = {"grant.created", "grant.revoked", "token.issued"}
    expected = [event["id"] for event in service.log() if event["type"] in wanted]
    assert len(expected) == 17 < len(service.log())
    # Stopping sends what still waits for its batch.
    assert guide.stop() == 0, guide.log.read_text()
    for receiver in (datadog, splunk):
        assert receiver.received() == expected
    warnings = guide.log.read_text().splitlines()
    assert len(warnings) == 1 and "no state folder" in warnings[0]
    assert {
        path.name for path in project.iterdir() if path.stat().st_mtime > running.stat().st_mtime
    } <= {running.name}


def test_the_guides_own_destination(
    project: Path, service: Service, program: Callable[..., Program], tmp_path: Path
) -> None:
    custom = program(
        "node", "custom.js", GRANTEX_API_KEY=service.key, GRANTEX_BASE_URL=service.base
    )
    custom.start()
    until("it is connected", lambda: service.open_streams("sse") or None)
    service.grant()
    until("it has them", lambda: "token.issued" in custom.log.read_text() or None)
    assert custom.stop() == 0
    assert custom.log.read_text().splitlines()[-2:] == ["flushed", "closed"]


def test_the_binary_may_come_with_its_platforms_package(project: Path, tmp_path: Path) -> None:
    installed = tmp_path / "node_modules" / "@grantex"
    shutil.copytree(
        project / "node_modules" / "@grantex" / "destinations", installed / "destinations"
    )
    binary = next((installed / "destinations").glob("*.node"))
    program = "new (require('@grantex/destinations').EventSource)({}).start().catch((e) => console.log(e.code, e.message))"

    def told() -> str:
        done = subprocess.run(
            ["node", "-e", program], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return done.stdout

    assert "invalid_config" in told()
    binary.unlink()
    assert re.match(
        r"no_binary there is no binary of @grantex/destinations for [a-z0-9-]+: none is installed",
        told(),
    )
    (package,) = (project / "platforms").iterdir()
    name = json.loads((package / "package.json").read_text())["name"]
    shutil.copytree(package, tmp_path / "node_modules" / name)
    assert "invalid_config" in told()
    binary.write_text("not a library")
    assert "invalid_config" in told()
    shutil.rmtree(tmp_path / "node_modules" / name)
    assert "no_binary" in told() and "file too short" in told()


def camel_case(options: dict[str, Any]) -> dict[str, Any]:
    return {
        re.sub(r"_(\w)", lambda match: match[1].upper(), key): value
        for key, value in options.items()
    }


CLASSES = {
    "datadog": "DatadogDestination",
    "splunk": "SplunkDestination",
    "s3": "S3Destination",
    "bigquery": "BigQueryDestination",
    "kafka": "KafkaDestination",
    "webhook": "WebhookDestination",
    "file": "FileDestination",
}


def node_program(
    make: Callable[..., Program], project: Path, service: Service, receiver: Receiver, state: Path
) -> Program:
    options = camel_case(receiver.options)
    kind = options.pop("type", None)
    destination = {"class": CLASSES[kind], "options": options} if kind else options
    source = {
        "url": service.base,
        "apiKey": service.key,
        "since": "2026-01-01T00:00:00Z",
        "stateDir": str(state),
    }
    delivery = {"batchSize": 5, "flushIntervalMs": 20, "retryBaseMs": 20, "retryCapMs": 400}
    all_options = {"source": source, "destination": destination, "delivery": delivery}
    (project / "program.cjs").write_text((HERE / "node_program.cjs").read_text())
    cursor = state.with_name("cursor")
    return make("node", "program.cjs", OPTIONS=json.dumps(all_options), CURSOR=str(cursor))


@pytest.fixture(scope="module", params=["s3", "bigquery", "kafka"])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[str, Child]]:
    child = serve(request.param)
    yield request.param, child
    child.close()


def test_to_real_servers(
    server: tuple[str, Child],
    project: Path,
    service: Service,
    program: Callable[..., Program],
    tmp_path: Path,
) -> None:
    name, child = server
    make = {"s3": forwarder.bucket, "bigquery": forwarder.table, "kafka": forwarder.topic}[name]
    receiver = make(child, "from-node" if name != "bigquery" else "from_node")
    running = node_program(program, project, service, receiver, tmp_path / "state")
    running.start()
    for _ in range(10):
        service.grant()
    if name == "bigquery":
        # The emulator stands still when it is asked while rows come in.
        cursor = tmp_path / "cursor"

        def has_caught_up() -> bool | None:
            assert running.process.poll() is None, running.log.read_text()
            return (cursor.exists() and cursor.read_text() == log_ids(service)[-1]) or None

        until("it has caught up", has_caught_up)
    verify(receiver, log_ids(service))
    assert running.stop() == 0, running.log.read_text()
    assert running.log.read_text() == ""


def lines(path: Path) -> Receiver:
    receiver = forwarder.file(path)
    return Receiver({"path": str(path)}, receiver.received)


@pytest.mark.parametrize("kind", ["lines", "file", "datadog", "webhook"])
def test_killed_at_any_moment_it_loses_nothing(
    kind: str,
    request: pytest.FixtureRequest,
    project: Path,
    service: Service,
    program: Callable[..., Program],
    tmp_path: Path,
) -> None:
    path = tmp_path / "events.ndjson"
    if kind in ("lines", "file"):
        receiver = lines(path) if kind == "lines" else forwarder.file(path)
    else:
        strict: Strict = request.getfixturevalue("strict")
        receiver = strict.receiver(kind)
    running = node_program(program, project, service, receiver, tmp_path / "state")
    chance = random.Random(kind)
    traffic = Traffic(service, 0.02)
    for _ in range(KILLS):
        running.start()
        # From before the library is loaded to some batches later.
        time.sleep(chance.uniform(0.05, 0.7))
        running.kill()
    running.start()
    verify(receiver, traffic.end())
    assert running.stop() == 0, running.log.read_text()
