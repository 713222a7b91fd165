"""`grantex forward` from a real service to every destination, through kills, faults and changes."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import forwarder
import httpx
import pytest
from conftest import BINARY, HERE, Service, until
from cutter import Cutter
from forwarder import Child, Forwarder, Receiver, Strict, all_arrived, serve, verify

KILLS = 20


@pytest.fixture
def strict() -> Iterator[Strict]:
    strict = Strict()
    yield strict
    strict.child.close()


@pytest.fixture(scope="module")
def s3() -> Iterator[Child]:
    child = serve("s3")
    yield child
    child.close()


@pytest.fixture(scope="module")
def bigquery() -> Iterator[Child]:
    child = serve("bigquery")
    yield child
    child.close()


@pytest.fixture(scope="module")
def kafka() -> Iterator[Child]:
    child = serve("kafka")
    yield child
    child.close()


@pytest.fixture
def forward(tmp_path: Path, service: Service) -> Iterator[Callable[..., Forwarder]]:
    made: list[Forwarder] = []

    def begin(destinations: dict[str, dict[str, Any]], **top: Any) -> Forwarder:
        made.append(Forwarder(tmp_path / f"forward-{len(made)}", service, destinations, **top))
        return made[-1]

    yield begin
    for one in made:
        if one.process is not None and one.process.poll() is None:
            one.kill()


Make = Callable[[pytest.FixtureRequest, Path], Receiver]


def strictly(name: str) -> Make:
    def make(request: pytest.FixtureRequest, _: Path) -> Receiver:
        strict: Strict = request.getfixturevalue("strict")
        return strict.receiver(name)

    return make


RECEIVERS: dict[str, Make] = {
    "file": lambda _, folder: forwarder.file(folder / "events.ndjson"),
    "webhook": strictly("webhook"),
    "datadog": strictly("datadog"),
    "splunk": strictly("splunk"),
    "insert_all": strictly("insert_all"),
    "s3": lambda request, _: forwarder.bucket(request.getfixturevalue("s3"), "killed"),
    "bigquery": lambda request, _: forwarder.table(request.getfixturevalue("bigquery"), "killed"),
    "kafka": lambda request, _: forwarder.topic(request.getfixturevalue("kafka"), "killed"),
    "kafka_transactional": lambda request, _: forwarder.topic(
        request.getfixturevalue("kafka"), "killed-transactional", transactional_id="forwarder"
    ),
}


class Traffic:
    """Grants, steadily, until told otherwise."""

    def __init__(self, service: Service, pause: float) -> None:
        self.service = service
        self.pause = pause
        self.ends = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        while not self.ends.wait(self.pause):
            self.service.grant()

    def end(self) -> list[str]:
        """Ends it; the ids of all events there are."""
        self.ends.set()
        self.thread.join()
        return log_ids(self.service)


def log_ids(service: Service) -> list[str]:
    ids: list[str] = []
    after = ""
    while True:
        headers = {"Authorization": f"Bearer {service.key}"}
        page = (
            httpx.get(f"{service.base}/v1/events?limit=1000{after}", headers=headers)
            .raise_for_status()
            .json()
        )
        ids += [event["id"] for event in page["events"]]
        if page["nextCursor"] is None:
            return ids
        after = f"&after={page['nextCursor']}"


@pytest.mark.parametrize("kind", RECEIVERS)
def test_killed_at_any_moment_it_loses_nothing(
    kind: str,
    request: pytest.FixtureRequest,
    service: Service,
    forward: Callable[..., Forwarder],
    tmp_path: Path,
) -> None:
    receiver = RECEIVERS[kind](request, tmp_path)
    daemon = forward({kind: {**receiver.options, "batch_size": 5, "flush_interval_ms": 20}})
    chance = random.Random(kind)
    traffic = Traffic(service, 0.02)
    for _ in range(KILLS):
        daemon.start()
        # From before the first connection to some batches later; Kafka needs a second to begin.
        time.sleep(chance.uniform(0.02, 1.2 if kind.startswith("kafka") else 0.4))
        daemon.kill()
    daemon.start()
    expected = traffic.end()
    until("it has caught up", lambda: daemon.status()[kind]["behind"] == 0 or None)
    verify(receiver, expected, ordered=kind not in ("bigquery", "insert_all"))
    assert daemon.stop() == 0


@pytest.mark.parametrize("kind", ["datadog", "splunk", "webhook", "insert_all"])
def test_a_receiver_may_fail_in_every_way(
    kind: str, strict: Strict, service: Service, forward: Callable[..., Forwarder]
) -> None:
    receiver = strict.receiver(kind)
    faults: list[Any] = [
        {"status": 500},
        {"throttle": 1},
        "reset",
        {"taken_but_status": 503},
        "taken_but_reset",
        {"hang": 700},
        {"status": 403},
        {"status": 502},
    ]
    strict.fail(kind, faults)
    daemon = forward({kind: {**receiver.options, "batch_size": 5, "timeout_ms": 500}})
    daemon.start()
    for _ in range(20):
        service.grant()
    verify(receiver, log_ids(service), ordered=kind != "insert_all")
    assert daemon.stop() == 0
    status = daemon.status()[kind]
    assert status["state"] == "stopped" and status["behind"] == 0 and status["deadLetters"] == 0
    assert status["retries"] >= len(faults) - 1


@pytest.mark.parametrize("kind", ["s3", "bigquery"])
def test_connections_may_be_reset(
    kind: str, request: pytest.FixtureRequest, service: Service, forward: Callable[..., Forwarder]
) -> None:
    child: Child = request.getfixturevalue(kind)
    receiver = forwarder.bucket(child, "reset") if kind == "s3" else forwarder.table(child, "reset")
    key = "endpoint" if kind == "s3" else "storage_endpoint"
    port = int(receiver.options[key].rsplit(":", 1)[1])
    proxy = Cutter(port, [1, 120, 1, 200, 60, 1])
    daemon = forward({kind: {**receiver.options, key: proxy.base, "batch_size": 5}})
    daemon.start()
    for _ in range(20):
        service.grant()
    until("it has caught up", lambda: daemon.status()[kind]["behind"] == 0 or None)
    verify(receiver, log_ids(service), ordered=False)
    assert proxy.cuts > 0
    assert daemon.stop() == 0
    proxy.close()


@pytest.mark.parametrize("kind", ["datadog", "splunk", "webhook", "insert_all"])
def test_a_poison_event_is_a_dead_letter_and_no_more(
    kind: str, strict: Strict, service: Service, forward: Callable[..., Forwarder]
) -> None:
    receiver = strict.receiver(kind)
    service.grant()
    ask = {"agentId": service.agent, "principalId": "POISON", "scopes": ["calendar:read"]}
    code = service.post("/v1/authorize", ask)["code"]
    service.post("/v1/token", {"agentId": service.agent, "code": code})
    for _ in range(5):
        service.grant()
    poison = [
        event["id"] for event in service.log() if event["data"].get("principalId") == "POISON"
    ]
    expected = [id for id in log_ids(service) if id not in poison]
    daemon = forward({kind: {**receiver.options, "batch_size": 20}})
    daemon.start()
    verify(receiver, expected, ordered=kind != "insert_all")
    until("it is told", lambda: daemon.letters() or None)
    letters = daemon.letters()
    assert [letter["eventId"] for letter in letters] == poison
    number = str(letters[0]["number"])
    shown = daemon.run("dead-letters", "show", number).stdout
    assert "POISON" in shown and letters[0]["reason"] in shown
    retried = daemon.run("dead-letters", "retry", number)
    assert "0 delivered, 1 refused again" in retried.stdout, retried
    assert retried.returncode == 1 and "was refused again" in retried.stderr, retried
    assert daemon.letters()[0]["tries"] == 2
    assert daemon.run("dead-letters", "retry", "999").returncode == 1
    assert "1 dropped" in daemon.run("dead-letters", "drop", number).stdout
    assert daemon.letters() == []
    assert daemon.status()[kind]["behind"] == 0
    assert daemon.stop() == 0


def test_an_outage_costs_no_memory_and_no_other_destination(
    strict: Strict, service: Service, forward: Callable[..., Forwarder], tmp_path: Path
) -> None:
    """An hour of outage, as far as the forwarder can tell: thousands of failed tries and of events
    to catch up.
    """
    well = forwarder.file(tmp_path / "well.ndjson")
    down = strict.receiver("webhook")
    strict.fail("webhook", [{"status": 503}] * 50_000)
    daemon = forward(
        {"well": well.options, "down": {**down.options, "retry_base_ms": 1, "retry_cap_ms": 2}}
    )
    daemon.start()
    for _ in range(100):
        service.grant()
    until("the one gets all", all_arrived(well, log_ids(service)))
    assert down.received() == []
    until("it was tried a lot", lambda: daemon.status()["down"]["retries"] > 500 or None)
    assert daemon.process is not None
    memory = Path(f"/proc/{daemon.process.pid}/status").read_text()
    resident = re.search(r"VmRSS:\s+(\d+) kB", memory)
    assert resident is not None and int(resident[1]) < 120_000
    strict.repair("webhook")
    verify(down, log_ids(service))
    assert daemon.stop() == 0


def test_credentials_are_rotated_while_it_runs(
    strict: Strict, service: Service, forward: Callable[..., Forwarder], tmp_path: Path
) -> None:
    receiver = strict.receiver("datadog")
    secret = tmp_path / "dd-key"
    secret.write_text("dd-key\n")
    options = {**receiver.options, "api_key": f"${{file:{secret}}}"}
    audit = forwarder.file(tmp_path / "audit.ndjson")
    daemon = forward({"datadog": options, "audit": audit.options})
    daemon.start()
    service.grant()
    until("events arrive", all_arrived(receiver, log_ids(service)))
    strict.rotate("datadog", "dd-key-2")
    service.grant()
    until("it is refused", lambda: daemon.status()["datadog"]["retries"] > 0 or None)
    assert "403" in daemon.status()["datadog"]["lastError"]
    secret.write_text("dd-key-2\n")
    daemon.signal(signal.SIGHUP)
    verify(receiver, log_ids(service))

    # The service's own key: a new one, and the old one revoked.
    headers = {"Authorization": f"Bearer {service.key}"}
    keys = httpx.get(f"{service.base}/v1/keys", headers=headers).raise_for_status().json()
    old = next(key["keyId"] for key in keys["keys"])
    service.key = service.post("/v1/keys", {"name": "new"})["apiKey"]
    headers = {"Authorization": f"Bearer {service.key}"}
    httpx.delete(f"{service.base}/v1/keys/{old}", headers=headers).raise_for_status()
    daemon.top["api_key"] = service.key
    daemon.write({"datadog": options, "audit": audit.options})
    daemon.signal(signal.SIGHUP)
    service.grant()
    verify(receiver, log_ids(service))
    verify(audit, log_ids(service))
    assert daemon.stop() == 0
    assert "dd-key" not in daemon.log.read_text() and service.key not in daemon.log.read_text()


def test_the_service_may_die(
    service: Service, forward: Callable[..., Forwarder], tmp_path: Path
) -> None:
    receiver = forwarder.file(tmp_path / "events.ndjson")
    daemon = forward({"audit": receiver.options})
    daemon.start()
    for _ in range(3):
        service.grant()
        service.kill()
        service.start()
        service.grant()
    verify(receiver, log_ids(service))
    assert daemon.stop() == 0


def test_a_full_disk_loses_nothing(
    service: Service, forward: Callable[..., Forwarder], tmp_path: Path
) -> None:
    """A limit on file sizes fails a write as a full disk does."""
    receiver = forwarder.file(tmp_path / "events.ndjson")
    daemon = forward({"audit": {**receiver.options, "batch_size": 50}})
    for _ in range(150):
        service.grant()
    limited = ["prlimit", "--fsize=60000", str(BINARY), "forward", "--config", str(daemon.config)]
    with daemon.log.open("ab") as log:
        daemon.process = subprocess.Popen(limited, stderr=log, stdin=subprocess.DEVNULL)
    until("it fails", lambda: "is the disk full?" in daemon.log.read_text() or None)
    assert daemon.process.poll() is None
    daemon.kill()
    daemon.start()
    verify(receiver, log_ids(service))
    assert daemon.stop() == 0


def test_check_tells_what_is_wrong_and_how_to_mend_it(
    strict: Strict, service: Service, forward: Callable[..., Forwarder], tmp_path: Path
) -> None:
    splunk = strict.receiver("splunk").options
    daemon = forward({"audit": forwarder.file(tmp_path / "a.ndjson").options, "siem": splunk})
    done = daemon.run("check")
    assert done.returncode == 0, done
    assert "hec-token" not in done.stdout
    daemon.write(
        {
            "siem": {**splunk, "hec_token": "wrong"},
            "nowhere": {"type": "file", "path": "/nowhere/a"},
        }
    )
    done = daemon.run("check", "--json")
    rows = {row["name"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 1 and "2 checks failed" in done.stderr
    assert rows["service"]["ok"] and not rows["siem"]["ok"]
    assert "is hec_token right?" in rows["siem"]["message"]
    assert "/nowhere/a" in rows["nowhere"]["message"]
    daemon.write({"siem": {**splunk, "hec_tokn": "x"}})
    mistake = daemon.run("check").stderr
    assert (
        "forward.toml, line " in mistake and ": hec_tokn: " in mistake and "`hec_token`" in mistake
    )


def test_health_metrics_and_a_second_forwarder(
    service: Service, forward: Callable[..., Forwarder], tmp_path: Path
) -> None:
    receiver = forwarder.file(tmp_path / "events.ndjson")
    daemon = forward({"audit": receiver.options}, listen="127.0.0.1:0")
    daemon.start()
    service.grant()
    verify(receiver, log_ids(service))

    def address() -> str | None:
        found = re.search(r'"address":"(127\.0\.0\.1:\d+)"', daemon.log.read_text())
        return found[1] if found else None

    base = f"http://{until('it listens', address)}"
    assert httpx.get(f"{base}/healthz").text == "ok\n"
    assert httpx.get(f"{base}/readyz").json()["ready"] is True
    assert (
        'grantex_forward_events_delivered_total{destination="audit"} 2'
        in httpx.get(f"{base}/metrics").text
    )
    second = daemon.run()
    assert second.returncode == 1 and "in use by another forwarder" in second.stderr
    assert daemon.stop() == 0


def test_a_refused_key_ends_it_with_words(
    service: Service, forward: Callable[..., Forwarder], tmp_path: Path
) -> None:
    receiver = forwarder.file(tmp_path / "events.ndjson")
    daemon = forward({"audit": receiver.options}, api_key="gx_test_" + "x" * 43)
    done = daemon.run()
    assert done.returncode == 1 and "the service refuses the API key" in done.stderr


def test_standard_output(service: Service, forward: Callable[..., Forwarder]) -> None:
    daemon = forward({"out": {"type": "file", "path": "-"}})
    for _ in range(3):
        service.grant()
    command = [str(BINARY), "forward", "--config", str(daemon.config)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(6)]
    process.terminate()
    assert [json.loads(line) for line in lines] == service.log() and process.wait(timeout=60) == 0


def test_a_lost_position_is_told_and_can_be_passed_over(
    start: Callable[..., Service], tmp_path: Path
) -> None:
    service = start("--retention-count", "10")
    for _ in range(3):
        service.grant()
    receiver = forwarder.file(tmp_path / "events.ndjson")
    daemon = Forwarder(tmp_path / "forward", service, {"audit": receiver.options})
    daemon.start()
    before = log_ids(service)
    verify(receiver, before)
    assert daemon.stop() == 0
    for _ in range(20):
        service.grant()
    # Logs are trimmed when the service starts, and then every minute.
    service.kill()
    service.start()
    until("the log is trimmed", lambda: len(log_ids(service)) <= 10 or None)

    stopped = daemon.run("--log-format", "json")
    assert (
        stopped.returncode == 1
        and "events were deleted before they could be delivered" in stopped.stderr
    )
    assert daemon.status()["audit"]["state"] == "failed"
    daemon.write({"audit": {**receiver.options, "on_lost_position": "continue"}})
    daemon.start()
    verify(receiver, before + log_ids(service))
    assert daemon.stop() == 0
    status = daemon.status()["audit"]
    assert status["gaps"] == 1 and status["behind"] == 0


def test_the_readme_example(service: Service, tmp_path: Path) -> None:
    """The configuration and the command that the README shows, as they stand there."""
    readme = (HERE.parent.parent / "README.md").read_text()
    found = re.search(r"cat > forward\.toml <<'EOF'\n(.*?)EOF\n", readme, re.S)
    assert found is not None
    (tmp_path / "forward.toml").write_text(found[1])
    environment = {**os.environ, "GRANTEX_BASE_URL": service.base, "GRANTEX_API_KEY": service.key}
    service.grant()
    process = subprocess.Popen(
        [str(BINARY), "forward"], cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL
    )
    receiver = forwarder.file(tmp_path / "audit.ndjson")
    until("events arrive", all_arrived(receiver, log_ids(service)))
    process.terminate()
    assert process.wait(timeout=60) == 0
