"""`format = "ocsf"`: every event of every type is valid by the schema's own rules, in each version
that we name.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("GRANTEX_BINARY", ROOT / "target" / "debug" / "grantex"))
ULID = "01JNXJ5QH2M8Z4T6V7W9X0Y1ZA"
GRANT = {"grantId": f"grnt_{ULID}"}
CREATED = {
    "agentId": f"ag_{ULID}",
    "principalId": "user-1",
    "scopes": ["calendar:read", "mail:send"],
}
EVENTS: list[tuple[str, dict[str, Any]]] = [
    ("grant.created", {**GRANT, **CREATED}),
    ("token.issued", {**GRANT, "tokenId": f"tok_{ULID}", "method": "exchange"}),
    ("token.issued", {**GRANT, "tokenId": f"tok_{ULID}", "method": "refresh"}),
    ("budget.threshold", {**GRANT, "percentage": 50, "remaining": 0.5, "initial": 1}),
    ("budget.exhausted", {**GRANT, "initial": 1}),
    ("grant.revoked", {**GRANT, "revokedBy": "developer"}),
    ("grant.revoked", {**GRANT, "revokedBy": "principal"}),
    ("grant.revoked", {**GRANT, "revokedBy": "system"}),
    # Of later versions: a value, a type, and one about no grant.
    ("grant.revoked", {**GRANT, "revokedBy": "committee"}),
    ("grant.painted", {**GRANT, "colour": "blue"}),
    ("key.made", {}),
]


@pytest.fixture
def base() -> Iterator[str]:
    """A service whose log holds one event of each kind."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            is_stream = self.path.startswith("/v1/events/stream")
            self.send_header(
                "content-type", "text/event-stream" if is_stream else "application/json"
            )
            self.end_headers()
            if not is_stream:
                me = {"developerId": f"dev_{ULID}", "name": "n", "email": None, "mode": "live"}
                self.wfile.write(
                    json.dumps({**me, "createdAt": "2026-03-01T12:00:00.000Z"}).encode()
                )
                return
            for number, (kind, data) in enumerate(EVENTS, 1):
                event = {
                    "id": f"evt_{number:026}",
                    "type": kind,
                    "createdAt": "2026-03-01T12:00:00.250Z",
                }
                line = json.dumps({**event, "data": data}, separators=(",", ":"))
                self.wfile.write(f"id: {event['id']}\ndata: {line}\n\n".encode())
            self.wfile.flush()
            self.connection.recv(1)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_every_event_is_valid(base: str, tmp_path: Path) -> None:
    config = tmp_path / "forward.toml"
    config.write_text(
        f'url = "{base}"\napi_key = "k"\nstate_dir = "{tmp_path}/state"\nsince = "2026-01-01T00:00:00Z"\n'
        '[[destination]]\nname = "out"\ntype = "file"\npath = "-"\nformat = "ocsf"\n'
    )
    command = [str(BINARY), "forward", "--config", str(config)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as forward:
        assert forward.stdout is not None
        lines = [json.loads(next(forward.stdout)) for _ in EVENTS]
        forward.terminate()
    kinds = [
        (line["metadata"]["event_code"], line["class_uid"], line["activity_id"]) for line in lines
    ]
    assert kinds[:6] == [
        ("grant.created", 3005, 1),
        ("token.issued", 3004, 1),
        ("token.issued", 3004, 1),
        ("budget.threshold", 3004, 3),
        ("budget.exhausted", 3004, 3),
        ("grant.revoked", 3004, 4),
    ]
    for version in ("1.5.0", "1.8.0"):
        schemas = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=version))
        for line in lines:
            schema = schemas.get_class_schema(schemas.lookup_class_name_from_uid(line["class_uid"]))
            problems = [
                error.message for error in jsonschema_rs.validator_for(schema).iter_errors(line)
            ]
            assert not problems, (version, line["metadata"]["event_code"], problems)
