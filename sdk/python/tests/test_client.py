"""What the clients do besides the cases."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Coroutine, Iterator
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

import grantex
from grantex import Grantex, GrantexEvent, InvalidTokenError, SyncGrantex, SyncTokenVerifier
from grantex._models import amount_text
from grantex._request import time_text

# Longer than anything takes that works.
PATIENCE = 60.0


class Service:
    """Three events and an idle stream; a revoke that is slow, or not found."""

    def __init__(self) -> None:
        service = self
        self.revoked: list[str] = []
        self.stream_closed = threading.Event()
        self.may_revoke = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.end_headers()
                # A closed connection reads as its end, or fails where it held unread events.
                with contextlib.suppress(OSError):
                    for number in range(3):
                        event = f'{{"id":"evt_{number}","type":"t","createdAt":"c","data":{{}}}}'
                        self.wfile.write(f"id: evt_{number}\ndata: {event}\n\n".encode())
                    self.connection.recv(1)
                service.stream_closed.set()

            def do_DELETE(self) -> None:
                service.may_revoke.wait()
                grant = self.path.rpartition("/")[2]
                service.revoked.append(grant)
                self.send_response(404 if grant == "unknown" else 204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


async def closed(service: Service) -> None:
    assert await asyncio.get_running_loop().run_in_executor(
        None, service.stream_closed.wait, PATIENCE
    )


def in_time(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, PATIENCE))


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.may_revoke.set()
    service.server.shutdown()


@pytest.mark.parametrize("client", [Grantex, SyncGrantex])
def test_a_missing_or_impossible_key_and_a_wrong_base_url_are_said_at_once(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GRANTEX_API_KEY", raising=False)
    with pytest.raises(grantex.ConfigurationError, match="GRANTEX_API_KEY"):
        client()
    for key in ("", "gx_test_a\nb"):
        with pytest.raises(grantex.ConfigurationError, match="copy it again"):
            client(api_key=key)
    with pytest.raises(grantex.ConfigurationError, match="base URL"):
        client(api_key="k", base_url="127.0.0.1:8080")


def test_nothing_that_is_printed_holds_a_secret() -> None:
    client = SyncGrantex(api_key="gx_test_secret", base_url="http://127.0.0.1:1", max_retries=0)
    with pytest.raises(grantex.ConnectionError, match="is the service running") as caught:
        client.me()
    token = grantex.TokenResponse("jwt-secret", "t", [], "gxr_secret", "g")
    assert "secret" not in f"{client!r} {caught.value!r} {token!r}"


def test_a_revoke_starts_at_once_and_closing_waits_for_it(service: Service) -> None:
    async def main() -> None:
        async with Grantex(api_key="k", base_url=service.base) as client:
            client.grants.revoke("grnt_1")
            await asyncio.get_running_loop().run_in_executor(None, service.may_revoke.set)
        assert service.revoked == ["grnt_1"]

    in_time(main())


def test_a_revoke_can_be_awaited(service: Service) -> None:
    service.may_revoke.set()

    async def main() -> None:
        async with Grantex(api_key="k", base_url=service.base) as client:
            await client.grants.revoke("grnt_1")
            with pytest.raises(grantex.NotFoundError):
                await client.grants.revoke("unknown")

    in_time(main())
    assert service.revoked == ["grnt_1", "unknown"]


def test_a_failed_revoke_that_nobody_awaits_is_logged(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    service.may_revoke.set()

    async def main() -> None:
        async with Grantex(api_key="k", base_url=service.base) as client:
            client.grants.revoke("unknown")

    with caplog.at_level(logging.ERROR, "grantex"):
        in_time(main())
    assert "nobody awaited" in caplog.text
    assert "404" in caplog.text


def test_a_subscription_takes_plain_and_asynchronous_handlers_and_ends_at_once(
    service: Service,
) -> None:
    async def main() -> None:
        async with Grantex(api_key="k", base_url=service.base) as client:
            for kind in ("plain", "asynchronous"):
                seen: list[str] = []
                done = asyncio.Event()

                def plain(
                    event: GrantexEvent, seen: list[str] = seen, done: asyncio.Event = done
                ) -> None:
                    seen.append(event.id)
                    if len(seen) == 3:
                        done.set()

                async def asynchronous(event: GrantexEvent) -> None:
                    plain(event)

                unsubscribe = client.events.subscribe(plain if kind == "plain" else asynchronous)
                await done.wait()
                assert seen == ["evt_0", "evt_1", "evt_2"]
                unsubscribe()
                await closed(service)
                service.stream_closed.clear()

    in_time(main())


def test_leaving_the_loop_closes_the_connection(service: Service) -> None:
    async def main() -> None:
        async with Grantex(api_key="k", base_url=service.base) as client:
            async for _ in client.events.stream():
                break
            await closed(service)

    in_time(main())


def test_leaving_the_loop_of_a_synchronous_stream_closes_the_connection(service: Service) -> None:
    with SyncGrantex(api_key="k", base_url=service.base) as client:
        for _ in client.events.stream():
            break
        assert service.stream_closed.wait(PATIENCE)


def test_what_a_handler_raises_is_told_and_the_subscription_goes_on(service: Service) -> None:
    async def main() -> None:
        async with Grantex(api_key="k", base_url=service.base) as client:
            reported: list[str] = []
            done = asyncio.Event()

            def handler(event: GrantexEvent) -> None:
                if event.id == "evt_2":
                    done.set()
                raise ValueError(event.id)

            client.events.subscribe(handler, on_error=lambda error: reported.append(str(error)))
            await done.wait()
            assert reported[:2] == ["evt_0", "evt_1"]

    in_time(main())


def test_a_synchronous_subscription_ends_from_any_thread(service: Service) -> None:
    with SyncGrantex(api_key="k", base_url=service.base) as client:
        seen: list[str] = []
        done = threading.Event()

        def handler(event: GrantexEvent) -> None:
            seen.append(event.id)
            if len(seen) == 3:
                done.set()

        unsubscribe = client.events.subscribe(handler)
        assert done.wait(PATIENCE)
        unsubscribe()
        assert service.stream_closed.wait(PATIENCE)


def test_closing_the_client_ends_its_subscriptions_without_a_word(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with Grantex(api_key="k", base_url=service.base) as client:
            done = asyncio.Event()
            client.events.subscribe(lambda _: done.set())
            await done.wait()
        await closed(service)

    in_time(main())
    with SyncGrantex(api_key="k", base_url=service.base) as client:
        service.stream_closed.clear()
        done = threading.Event()
        client.events.subscribe(lambda _: done.set())
        assert done.wait(PATIENCE)
    assert service.stream_closed.wait(PATIENCE)
    assert caplog.text == ""


def test_a_client_can_be_closed_without_a_with_block(service: Service) -> None:
    async def main() -> None:
        client = Grantex(api_key="k", base_url=service.base)
        client.grants.revoke("grnt_1")
        await asyncio.get_running_loop().run_in_executor(None, service.may_revoke.set)
        await client.close()
        with pytest.raises(grantex.ConfigurationError, match="closed"):
            await client.me()
        await client.aclose()

    in_time(main())
    assert service.revoked == ["grnt_1"]
    client = SyncGrantex(api_key="k", base_url=service.base)
    client.close()
    with pytest.raises(grantex.ConfigurationError, match="closed"):
        client.me()


@pytest.mark.parametrize("client", [Grantex, SyncGrantex])
def test_what_is_easily_swapped_is_named(client: Any) -> None:
    made = client(api_key="k")
    for method in (
        made.authorize,
        made.authorizations.create,
        made.tokens.exchange,
        made.tokens.refresh,
        made.grants.delegate,
    ):
        with pytest.raises(TypeError, match="positional"):
            method("one", "two", ["three"])


def test_amounts_are_sent_exactly() -> None:
    texts = [
        amount_text(amount)
        for amount in (100, 12.5, 0.1, "12.50", Decimal("99999999999.9999"), 1e-4)
    ]
    assert texts == ["100", "12.5", "0.1", "12.50", "99999999999.9999", "0.0001"]
    for amount in (float("nan"), float("inf"), "NaN"):
        with pytest.raises(ValueError, match="finite"):
            amount_text(amount)


@pytest.mark.parametrize("client", [Grantex(api_key="k"), SyncGrantex(api_key="k")])
def test_event_types_are_a_list_and_a_time_has_a_zone(client: Any) -> None:
    for call in (client.events.stream, client.events.list):
        with pytest.raises(TypeError, match=r"give a list, such as \['grant.revoked'\]"):
            call(event_types="grant.revoked")
        with pytest.raises(ValueError, match="has no time zone"):
            call(since=datetime(2026, 3, 1))
        for since in (timedelta(hours=1), date(2026, 3, 1)):
            with pytest.raises(TypeError, match="is not a time"):
                call(since=since)


def test_a_time_is_sent_with_its_zone() -> None:
    assert time_text("2026-03-01T12:00:00Z") == "2026-03-01T12:00:00Z"
    zone = timezone(timedelta(hours=1))
    assert time_text(datetime(2026, 3, 1, 12, tzinfo=zone)) == "2026-03-01T12:00:00+01:00"


@pytest.mark.parametrize(
    ("token", "said"),
    [(None, "it is None: pass the grant token"), ("Bearer a.b.c", "pass only what follows it")],
)
def test_what_is_no_token_is_refused_with_what_to_pass(token: Any, said: str) -> None:
    verifier = SyncTokenVerifier(base_url="http://127.0.0.1:1", developer_id="dev_x")
    with verifier, pytest.raises(InvalidTokenError, match=said):
        verifier.verify(token)
