"""What the environment says of proxies and certificates, and errors that leave the process."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

import grantex
from grantex import SyncGrantex
from grantex._errors import Refusal, api_error
from grantex._event import to_event
from grantex._http import _is_excepted
from grantex._redact import redacted, redacted_url


@pytest.fixture
def base() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'{"developerId":"d","name":"n","email":null,"mode":"live","createdAt":"t"}'
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.mark.parametrize(
    "environment",
    [
        {"NO_PROXY": "localhost,127.0.0.1,::1,[::1]"},
        {"NO_PROXY": "fe80::/10,not/a/range,,:,127.0.0.0/8", "ALL_PROXY": "socks5://127.0.0.1:1"},
        {"NO_PROXY": "*", "HTTP_PROXY": "no proxy at all"},
        {"SSL_CERT_FILE": "/no/such.pem", "SSL_CERT_DIR": "/no/such"},
        {"HTTPS_PROXY": "socks5://alice:hush@127.0.0.1:1"},
    ],
)
def test_what_does_not_concern_the_service_is_no_matter(
    environment: dict[str, str], base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with SyncGrantex("k", base_url=base) as client:
        assert client.me().name == "n"


@pytest.mark.parametrize(
    ("environment", "base", "said"),
    [
        ({"ALL_PROXY": "socks5://alice:hush@127.0.0.1:1"}, "http://127.0.0.1:2", "NO_PROXY"),
        ({"HTTP_PROXY": "gopher://alice:hush@127.0.0.1:1"}, "http://127.0.0.1:2", "NO_PROXY"),
        ({"SSL_CERT_FILE": "/no/such.pem"}, "https://127.0.0.1:2", "SSL_CERT_FILE='/no/such.pem'"),
    ],
)
def test_what_does_is_said_at_the_first_call(
    environment: dict[str, str], base: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    client = SyncGrantex("k", base_url=base)
    for call in (client.me, lambda: next(client.events.stream())):
        with pytest.raises(grantex.ConfigurationError, match=said) as caught:
            call()
        assert "hush" not in str(caught.value)


def test_exceptions_from_the_proxy() -> None:
    for host, entries in [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "x, 127.0.0.1:80"),
        ("127.0.0.1", "127.0.0.0/8"),
        ("::1", "[::1]"),
        ("::1", "[::1]:80"),
        ("fe80::1", "fe80::/10"),
        ("api.example.com", "example.com"),
        ("api.example.com", ".example.com"),
        ("api.example.com", "*.example.com"),
        ("api.example.com", "API.example.com:80"),
    ]:
        assert _is_excepted(host, 80, entries), (host, entries)
    for host, entries in [
        ("127.0.0.1", ""),
        ("127.0.0.1", "127.0.0.1:81"),
        ("127.0.0.1", "10.0.0.0/8,fe80::/10"),
        ("api.example.com", "ample.com"),
        ("api.example.com", "www.api.example.com"),
    ]:
        assert not _is_excepted(host, 80, entries), (host, entries)


def test_texts_are_shown_without_the_secrets_of_urls() -> None:
    for text, shown in [
        ("https://user:p@ss/w?rd@host/a", "https://***@host/a"),
        ("https://host/hook/a@b?token=x", "https://host/hook/a@b?***"),
        ('proxy "http://u:p)w@h:1" failed', 'proxy "http://***@h:1" failed'),
        ("http://127.0.0.1:8080/a", "http://127.0.0.1:8080/a"),
        ("no URL, but a@b?c", "no URL, but a@b?c"),
    ]:
        assert redacted(text) == shown
    assert redacted_url("user:pass@host:1/a?b") == "***@host:1/a?***"


def every_error() -> list[grantex.GrantexError]:
    refusals = [
        Refusal(status, "CODE", "why", "req_1", 2.0, "evt_1") for status in (*range(400, 430), 503)
    ]
    plain = (
        grantex.ConfigurationError,
        grantex.ConnectionError,
        grantex.TimeoutError,
        grantex.ProtocolError,
    )
    return [
        *(api_error(refusal, of_stream=True) for refusal in refusals),
        *(kind("a text") for kind in plain),
        grantex.StreamEndedError(),
        grantex.InvalidTokenError("expired"),
    ]


@pytest.mark.parametrize("error", every_error(), ids=lambda error: type(error).__name__)
def test_errors_can_be_copied_and_pickled(error: grantex.GrantexError) -> None:
    copies = [copy.copy(error), copy.deepcopy(error)]
    copies += [
        pickle.loads(pickle.dumps(error, protocol))
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    ]
    for other in copies:
        assert type(other) is type(error)
        assert (str(other), vars(other)) == (str(error), vars(error))


def test_events_can_be_pickled_and_compare_by_what_they_say() -> None:
    envelope = {"id": "evt_1", "type": "new", "createdAt": "t", "data": {"n": 2**64 + 1}}
    event = to_event(envelope, "the text")
    other = pickle.loads(pickle.dumps(event))
    assert (other, other.json) == (event, "the text")
    assert event == to_event(envelope)
    assert "the text" not in repr(event)
