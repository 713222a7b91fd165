"""The SDKs as their users get them, against the real service: the documents' programs, and nothing
lost.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import packages
import pytest
from conftest import PATIENCE, Service, until
from cutter import Cutter
from test_browser import CHROMIUM, Site

EVENTS = 10_000
CUTS = 5


class Program:
    """A running program and what it has printed."""

    def __init__(self, command: list[str], folder: Path, base: str, key: str, output: Path) -> None:
        self.output = output
        self.errors = output.with_suffix(".errors")
        environment = {
            **os.environ,
            "GRANTEX_BASE_URL": base,
            "GRANTEX_API_KEY": key,
            "PYTHONUNBUFFERED": "1",
        }
        with output.open("wb") as sink, self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdout=sink,
                stderr=errors,
                start_new_session=True,
            )

    def wait_for(self, *texts: str) -> str:
        """What was printed, once it holds these texts in this order."""

        def look() -> str | None:
            printed = self.output.read_text() + self.errors.read_text()
            place = 0
            for text in texts:
                if (place := printed.find(text, place)) < 0:
                    return None
                place += len(text)
            return printed

        return until(f"{texts} in {self.output.read_text()!r} {self.errors.read_text()!r}", look)

    def ended(self, within: float = PATIENCE) -> int:
        return self.process.wait(within)

    def stop(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@pytest.fixture
def run(service: Service, tmp_path: Path) -> Iterator[Callable[..., Program]]:
    programs: list[Program] = []

    def begin(*command: object, folder: Path = tmp_path, base: str = service.base) -> Program:
        output = tmp_path / f"output-{len(programs)}"
        programs.append(Program([str(part) for part in command], folder, base, service.key, output))
        return programs[-1]

    yield begin
    for program in programs:
        program.stop()


DOCUMENTS = {
    "typescript overview": ["node", "typescript/overview.js"],
    "typescript stream": ["node", "typescript/stream.js"],
    "typescript subscribe": ["node", "typescript/subscribed.js"],
    "python stream": ["python/venv/bin/python", "python/stream.py"],
    "python subscribe": ["python/venv/bin/python", "python/subscribed.py"],
    "go stream": ["go/bin/stream"],
    "go subscribe": ["go/bin/subscribe"],
}
# What each prints of a grant whose budget is used up, in this order.
PRINTED = {
    "typescript overview": [
        "grant.created",
        "{grant}",
        "token.issued",
        "budget.threshold",
        "percentage: 50",
    ],
    "typescript stream": [
        "grant.created",
        "evt_",
        "Z",
        "{grant}",
        "token.issued",
        "budget.exhausted",
        "{grant}",
    ],
    "typescript subscribe": [
        "New grant: {grant}",
        "Token issued for grant: {grant}",
        "Budget at 50% for grant: {grant}",
        "Budget at 80% for grant: {grant}",
        "Budget exhausted for grant: {grant}",
        "Grant revoked: {grant}",
    ],
    "python stream": [
        "Type: grant.created",
        "ID: evt_",
        "Timestamp: 2",
        "Data: {{",
        "{grant}",
        "budget.exhausted",
    ],
    "python subscribe": [
        "New grant: {grant}",
        "Budget at 50%",
        "Budget at 80%",
        "Budget exhausted for {grant}",
        "Grant revoked: {grant}",
    ],
    "go stream": [
        "Type: grant.created",
        "ID: evt_",
        "Timestamp: 2",
        "Data: map[",
        "{grant}",
        "budget.threshold",
    ],
    "go subscribe": [
        "New grant: {grant}",
        "Budget at 50% for grant {grant}",
        "Budget at 80% for grant {grant}",
        "Budget exhausted for grant {grant}",
        "Grant revoked: {grant}",
    ],
}


def spend(service: Service) -> str:
    """A grant that uses up its budget."""
    grant = service.grant()
    service.post("/v1/budget/allocate", {"grantId": grant, "initialBudget": 1000})
    service.post("/v1/budget/debit", {"grantId": grant, "amount": 1000})
    return grant


def with_key(service: Service, program: Path) -> Path:
    """The document's program with this service's key in the place of the document's."""
    text = program.read_text().replace("gx_live_document_key", service.key)
    copy = program.with_name(f"{service.port}-{program.name}")
    copy.write_text(text)
    return copy


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document(
    name: str, service: Service, projects: Path, run: Callable[..., Program]
) -> None:
    command, *rest = DOCUMENTS[name]
    arguments = [
        with_key(service, projects / part) if part.endswith(".py") else part for part in rest
    ]
    program = run(projects / command if "/" in command else command, *arguments, folder=projects)
    until("it is connected", lambda: service.open_streams("sse") or None)
    grant = spend(service)
    service.revoke(grant)
    program.wait_for(*(text.format(grant=grant) for text in PRINTED[name]))
    if name in ("typescript stream", "python stream"):
        # They leave the loop at budget.exhausted.
        assert program.ended() == 0, program.errors.read_text()
        until("its stream is closed", lambda: service.open_streams("sse") == 0 or None)


@pytest.mark.parametrize("name", ["typescript/subscribe.js", "python/subscribe.py"])
def test_unsubscribing_ends_the_document_at_once(
    name: str, service: Service, projects: Path, run: Callable[..., Program]
) -> None:
    if name.endswith(".py"):
        program = run(projects / "python/venv/bin/python", with_key(service, projects / name))
    else:
        program = run("node", projects / name)
    assert program.ended() == 0, program.errors.read_text()
    assert program.errors.read_text() == ""


def is_revoked(service: Service, grant: str) -> bool | None:
    revoked = {"grantId": grant, "revokedBy": "developer"}
    return any(one["data"] == revoked for one in service.log()) or None


@pytest.mark.parametrize("language", ["typescript", "python"])
def test_the_budget_monitor_revokes(
    language: str, service: Service, projects: Path, run: Callable[..., Program]
) -> None:
    if language == "python":
        program = run(
            projects / "python/venv/bin/python", with_key(service, projects / "python/monitor.py")
        )
        texts = [
            "Budget alert: 50% used for grant {}",
            "Budget alert: 80%",
            "Budget exhausted for grant {}",
        ]
    else:
        program = run("node", projects / "typescript/alerts.js")
        texts = ["Budget alert: 50% used for {}", "Budget alert: 80%", "Budget exhausted for {}"]
    until("it is connected", lambda: service.open_streams("sse") or None)
    for _ in range(2):
        grant = spend(service)
        program.wait_for(*(text.format(grant) for text in texts))
        until("the grant is revoked", partial(is_revoked, service, grant))
    if language == "typescript":
        program.process.send_signal(signal.SIGINT)
        assert program.ended() == 0


def whole_log(service: Service) -> list[dict[str, Any]]:
    """The log by its pages."""
    events: list[dict[str, Any]] = []
    query: dict[str, str] = {"limit": "1000"}
    while True:
        headers = {"Authorization": f"Bearer {service.key}"}
        page = (
            httpx.get(f"{service.base}/v1/events", params=query, headers=headers)
            .raise_for_status()
            .json()
        )
        events += page["events"]
        if page["nextCursor"] is None:
            return events
        query["after"] = page["nextCursor"]


def printed(program: Program) -> list[dict[str, Any]]:
    return [json.loads(line) for line in program.output.read_text().splitlines()]


def test_a_service_that_is_killed_and_started_again_in_mid_stream(
    service: Service, projects: Path, run: Callable[..., Program]
) -> None:
    total = 240
    programs = {
        name: run(*command, total) for name, command in packages.followers(projects).items()
    }
    until("all are connected", lambda: service.open_streams("sse") == len(programs) or None)
    for _ in range(3):
        for _ in range(total // 8):
            service.grant()
        service.kill()
        service.start()
    for _ in range(total // 8):
        service.grant()
    for name, program in programs.items():
        assert program.ended() == 0, f"{name}: {program.errors.read_text()}"
        assert printed(program) == whole_log(service), name
        assert "reconnecting" in program.errors.read_text(), name


def test_ten_thousand_events_with_five_cuts_are_the_log(
    service: Service, projects: Path, run: Callable[..., Program]
) -> None:
    chance = random.Random(4)
    cutters: list[Cutter] = []
    programs: dict[str, Program] = {}
    for name, command in packages.followers(projects).items():
        cutters.append(
            Cutter(service.port, [chance.randrange(1_000, 300_000) for _ in range(CUTS)])
        )
        programs[name] = run(*command, EVENTS, base=cutters[-1].base)
    make_events(service)
    for name, program in programs.items():
        assert program.ended() == 0, f"{name}: {program.errors.read_text()}"
    log = whole_log(service)[:EVENTS]
    for name, program in programs.items():
        assert printed(program) == log, name
    for cutter in cutters:
        assert cutter.cuts == CUTS
        cutter.close()


def make_events(service: Service) -> None:
    """A root grant, thousands below it (two events each), and one revocation of them all."""
    ask = {"agentId": service.agent, "principalId": "user-123", "scopes": ["calendar:read"]}
    code = service.post("/v1/authorize", ask)["code"]
    root = service.post("/v1/token", {"agentId": service.agent, "code": code})
    delegate = {
        "parentGrantToken": root["grantToken"],
        "subAgentId": service.agent,
        "scopes": ["calendar:read"],
    }
    headers = {"Authorization": f"Bearer {service.key}"}
    started = time.monotonic()
    with (
        httpx.Client(base_url=service.base, headers=headers) as client,
        ThreadPoolExecutor(4) as pool,
    ):
        made = pool.map(
            lambda _: client.post("/v1/grants/delegate", json=delegate), range(EVENTS // 3)
        )
        assert all(answer.is_success for answer in made)
    service.revoke(root["grantId"])
    print(f"{EVENTS} events in {time.monotonic() - started:.1f} s")


SDK_PAGE = """<!doctype html><script type="module">
import { Grantex } from '/sdk/index.js';
const report = (what) => fetch('/report', { method: 'POST', body: JSON.stringify(what) });
const grantex = new Grantex({ baseUrl: %s, apiKey: %s });
const onReconnect = () => report({ state: 'error' });
for await (const event of grantex.events.stream({ since: '1970-01-01T00:00:00Z', onReconnect })) {
  await report({ id: event.id, event });
}
</script>"""


def test_the_typescript_sdk_streams_in_a_browser(
    start: Callable[..., Service], projects: Path, tmp_path: Path
) -> None:
    site = Site()
    site.scripts = projects / "typescript" / "node_modules" / "@grantex" / "sdk" / "dist"
    service = start("--cors-origins", site.origin)
    service.grant()
    site.page = (SDK_PAGE % (json.dumps(service.base), json.dumps(service.key))).encode()
    browser = subprocess.Popen([*CHROMIUM, f"--user-data-dir={tmp_path / 'profile'}", site.origin])
    try:
        until("the browser has two events", partial(site.has_events, 2))
        service.kill()
        until("the browser has seen the outage", partial(site.has_seen_outages, 1))
        service.start()
        service.grant()
        until("the browser has four events", partial(site.has_events, 4))
    finally:
        browser.kill()
        browser.wait()
    assert [report["id"] for report in site.events()] == [event["id"] for event in service.log()]
