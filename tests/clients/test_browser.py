"""A real browser's EventSource: opened with a stream ticket, cut off, resuming by itself."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from conftest import Service, until

CHROMIUM = [
    "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip

PAGE = """<!doctype html><script>
let reports = Promise.resolve();
const send = (what) => fetch('/report', { method: 'POST', body: JSON.stringify(what) });
const report = (what) => { reports = reports.then(() => send(what)); };
const source = new EventSource(%s);
source.onopen = () => report({ state: 'open' });
source.onerror = () => report({ state: 'error', readyState: source.readyState });
source.onmessage = (message) => report({ id: message.lastEventId, event: JSON.parse(message.data)
}); </script>"""


class Site:
    """A web site whose page opens the stream and reports what it gets."""

    def __init__(self) -> None:
        self.reports: list[dict[str, Any]] = []
        self.page = b""
        # Scripts below /sdk/.
        self.scripts = Path()
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                script = self.path.removeprefix("/sdk/")
                body = site.page if script == self.path else (site.scripts / script).read_bytes()
                self.send_response(200)
                self.send_header(
                    "Content-Type", "text/html" if script == self.path else "text/javascript"
                )
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                site.reports.append(json.loads(body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def events(self) -> list[dict[str, Any]]:
        return [report for report in self.reports if "event" in report]

    def has_events(self, count: int) -> bool | None:
        return len(self.events()) == count or None

    def has_seen_outages(self, count: int) -> bool | None:
        return self.states("error") >= count or None

    def states(self, state: str) -> int:
        return sum(report.get("state") == state for report in self.reports)


def test_event_source_resumes_after_the_service_was_killed(
    start: Callable[..., Service], tmp_path: Path
) -> None:
    site = Site()
    service = start("--cors-origins", site.origin)
    service.grant()
    ticket = service.post("/v1/events/tickets", {})["ticket"]
    url = f"{service.base}/v1/events/stream?ticket={ticket}&since=2020-01-01T00:00:00Z"
    site.page = (PAGE % json.dumps(url)).encode()
    browser = subprocess.Popen(
        [*CHROMIUM, f"--user-data-dir={tmp_path / 'profile'}", site.origin],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until("the history arrives", partial(site.has_events, 2))
        service.grant()
        until("it is followed live", partial(site.has_events, 4))
        for outage in range(1, 4):
            service.kill()
            until("the browser notices", partial(site.has_seen_outages, outage))
            service.start()
            # Events that happen while the browser is away.
            service.grant()
            until("it resumes by itself", partial(site.has_events, 4 + 2 * outage))
        got = site.events()
        assert [report["event"] for report in got] == service.log(), "each event once, in order"
        assert all(report["id"] == report["event"]["id"] for report in got)
        assert site.states("open") >= 4
    finally:
        browser.kill()
        browser.wait()
        site.server.shutdown()
