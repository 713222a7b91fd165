"""`grantex forward` as a process, and receivers that it delivers to."""

from __future__ import annotations

import gzip
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from conftest import BINARY, HERE, Service, until

RECEIVERS = BINARY.parent / "grantex-receivers"
SERVE = HERE.parent / "receivers" / "serve.py"
Options = dict[str, Any]


class Child:
    """A process that prints its addresses as one line of JSON and ends with its standard input."""

    def __init__(self, *command: str | Path) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.addresses: dict[str, Any] = json.loads(self.process.stdout.readline())

    def command(self, command: str) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(command, file=self.process.stdin, flush=True)
        assert self.process.stdout.readline() == "{}\n", command

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def serve(*arguments: str) -> Child:
    return Child(sys.executable, SERVE, *arguments)


class Receiver:
    """A destination's options, and the ids of the events that have arrived there."""

    def __init__(
        self, options: Options, received: Callable[[], list[str]], *, exactly_once: bool = False
    ) -> None:
        self.options = options
        self.received = received
        self.exactly_once = exactly_once


class Strict:
    """The strict receivers: Datadog, Splunk, webhooks, insertAll."""

    def __init__(self) -> None:
        self.child = Child(RECEIVERS)

    def receiver(self, name: str) -> Receiver:
        url = self.child.addresses[name]["url"]
        options: dict[str, Options] = {
            "datadog": {"type": "datadog", "url": url, "api_key": "dd-key"},
            "splunk": {"type": "splunk", "hec_url": url, "hec_token": "hec-token", "ack": True},
            "splunk_without_ack": {"type": "splunk", "hec_url": url, "hec_token": "hec-token"},
            "webhook": {
                "type": "webhook",
                "url": f"{url}/hook",
                "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            },
            "insert_all": {
                "type": "bigquery",
                "method": "insert_all",
                "project_id": "tests",
                "dataset_id": "events",
                "table_id": "rows",
                "endpoint": url,
                "create_table": True,
            },
        }
        return Receiver(options[name], lambda: self.received(name))

    def received(self, name: str) -> list[str]:
        ids: list[str] = httpx.get(f"{self.child.addresses[name]['control']}/received").json()
        return ids

    def fail(self, name: str, faults: list[Any]) -> None:
        httpx.post(
            f"{self.child.addresses[name]['control']}/faults", json=faults
        ).raise_for_status()

    def repair(self, name: str) -> None:
        httpx.delete(f"{self.child.addresses[name]['control']}/faults").raise_for_status()

    def rotate(self, name: str, credential: str) -> None:
        httpx.post(
            f"{self.child.addresses[name]['control']}/credential", content=credential
        ).raise_for_status()


def file(path: Path) -> Receiver:
    def received() -> list[str]:
        text = path.read_text() if path.exists() else ""
        whole = text[: text.rfind("\n") + 1]
        return [json.loads(line)["id"] for line in whole.splitlines()]

    return Receiver({"type": "file", "path": str(path)}, received, exactly_once=True)


def bucket(server: Child, name: str) -> Receiver:
    server.command(f"bucket {name}")
    root = Path(server.addresses["data"]) / name

    def received() -> list[str]:
        lines = [gzip.decompress(path.read_bytes()) for path in sorted(root.rglob("*.ndjson.gz"))]
        return [json.loads(line)["id"] for line in b"".join(lines).splitlines()]

    keys = {
        key: server.addresses[key] for key in ("endpoint", "access_key_id", "secret_access_key")
    }
    options = {"type": "s3", "bucket": name, "prefix": "audit", "region": "us-east-1", **keys}
    return Receiver(options, received, exactly_once=True)


def table(server: Child, name: str) -> Receiver:
    base = f"{server.addresses['endpoint']}/bigquery/v2/projects/tests"
    dataset = {"datasetReference": {"projectId": "tests", "datasetId": "events"}}
    httpx.post(f"{base}/datasets", json=dataset)

    def received() -> list[str]:
        query = f"SELECT event_id FROM `tests.events.{name}` ORDER BY event_id"
        body = {"query": query, "useLegacySql": False, "maxResults": 100_000}
        answer = httpx.post(f"{base}/queries", json=body, timeout=60)
        if answer.status_code != httpx.codes.OK:
            return []
        return [row["f"][0]["v"] for row in answer.json().get("rows", [])]

    options = {
        "type": "bigquery",
        "project_id": "tests",
        "dataset_id": "events",
        "table_id": name,
        "endpoint": server.addresses["endpoint"],
        "storage_endpoint": server.addresses["storage_endpoint"],
        "create_table": True,
    }
    return Receiver(options, received, exactly_once=True)


def topic(server: Child, name: str, **options: Any) -> Receiver:
    """A topic of one partition, read with Confluent's own client."""
    from confluent_kafka import Consumer, TopicPartition  # type: ignore[import-untyped]

    server.command(f"topic {name} 1")
    brokers = server.addresses["brokers"]

    def received() -> list[str]:
        settings = {
            "bootstrap.servers": brokers,
            "group.id": "reader",
            "isolation.level": "read_committed",
        }
        consumer = Consumer({**settings, "enable.auto.commit": False, "enable.partition.eof": True})
        consumer.assign([TopicPartition(name, 0, 0)])
        ids = []
        while True:
            message = consumer.poll(10)
            if message is None or message.error():
                break
            headers = dict(message.headers() or [])
            ids.append(headers["event-id"].decode())
        consumer.close()
        return ids

    all_options = {"type": "kafka", "brokers": brokers, "topic": name, **options}
    return Receiver(all_options, received, exactly_once="transactional_id" in options)


class Forwarder:
    """`grantex forward` with a configuration file of its own."""

    def __init__(
        self, folder: Path, service: Service, destinations: dict[str, Options], **top: Any
    ) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.config = folder / "forward.toml"
        self.log = folder / "forward.log"
        self.top = {
            "url": service.base,
            "api_key": service.key,
            "state_dir": str(folder / "state"),
            "since": "2026-01-01T00:00:00Z",
            **top,
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.write(destinations)

    def write(self, destinations: dict[str, Options]) -> None:
        # A JSON text, number, boolean or list of texts is a TOML one.
        lines = [f"{key} = {json.dumps(value)}" for key, value in self.top.items()]
        for name, options in destinations.items():
            lines += ["[[destination]]", f"name = {json.dumps(name)}"]
            quick = {"retry_base_ms": 20, "retry_cap_ms": 400, "flush_interval_ms": 100}
            lines += [f"{key} = {json.dumps(value)}" for key, value in (quick | options).items()]
        self.config.write_text("\n".join(lines) + "\n")

    def start(self) -> None:
        with self.log.open("ab") as log:
            command = [str(BINARY), "forward", "--config", str(self.config), "--log-format", "json"]
            self.process = subprocess.Popen(command, stderr=log, stdin=subprocess.DEVNULL)

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        assert self.process is not None
        self.process.wait()

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        assert self.process is not None
        return self.process.wait(timeout=60)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(BINARY), "forward", *arguments, "--config", str(self.config)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120)

    def status(self) -> dict[str, Any]:
        done = self.run("status", "--json")
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        return {row["destination"]: row for row in rows}

    def letters(self) -> list[dict[str, Any]]:
        done = self.run("dead-letters", "list", "--json")
        return [json.loads(line) for line in done.stdout.splitlines()]


def all_arrived(receiver: Receiver, expected: list[str]) -> Callable[[], bool | None]:
    return lambda: set(receiver.received()) >= set(expected) or None


def verify(receiver: Receiver, expected: list[str], *, ordered: bool = True) -> None:
    """Nothing lost; in order, but for what was sent again; nothing doubled where that is promised."""
    until("everything arrives", all_arrived(receiver, expected))
    received = receiver.received()
    firsts = list(dict.fromkeys(received))
    if ordered:
        assert firsts == expected
    assert sorted(firsts) == sorted(expected)
    if receiver.exactly_once:
        assert len(received) == len(expected)
