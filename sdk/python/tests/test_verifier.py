"""Keys of a service that cannot be reached."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from typing import Any, cast

import pytest

from grantex import GrantexError, InvalidTokenError, SyncTokenVerifier, TokenVerifier

HOUR = 3600.0
KEY = cast(Any, object())


def sync_verifier(base_url: str, timeout: float = 60.0) -> Any:
    verifier = SyncTokenVerifier(
        developer_id="dev_x", base_url=base_url, timeout=timeout, max_retries=0
    )
    return verifier._verifier


def test_an_outage_of_less_than_a_day_stops_no_verification() -> None:
    verifier = sync_verifier("http://127.0.0.1:1")
    verifier._keys = {"k": KEY}
    verifier._fetched = time.monotonic() - 2 * HOUR
    assert verifier._key("k") is KEY
    # The next ones do not even ask.
    verifier._fetch = None
    assert verifier._key("k") is KEY


def test_keys_that_are_a_day_old_are_not_used() -> None:
    verifier = sync_verifier("http://127.0.0.1:1")
    verifier._keys = {"k": KEY}
    verifier._fetched = time.monotonic() - 25 * HOUR
    with pytest.raises(GrantexError) as first:
        verifier._key("k")
    assert not isinstance(first.value, InvalidTokenError)
    # Those who waited for that fetch share its failure.
    verifier._fetch = None
    with pytest.raises(GrantexError) as second:
        verifier._key("k")
    assert second.value is first.value


@pytest.fixture
def silent() -> Any:
    """A service that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_made_up_key_name_delays_no_other_token(silent: str) -> None:
    verifier = sync_verifier(silent, timeout=5.0)
    verifier._keys = {"k": KEY}
    verifier._fetched = time.monotonic()
    failures: list[Exception] = []

    def ask() -> None:
        try:
            verifier._key("made-up")
        except GrantexError as error:
            failures.append(error)

    asking = [threading.Thread(target=ask) for _ in range(3)]
    for thread in asking:
        thread.start()
    while not verifier._is_fetching:
        time.sleep(0.001)
    assert verifier._key("k") is KEY
    assert not failures, "the fetch still waits"
    for thread in asking:
        thread.join()
    # One fetch for all of them.
    assert len({id(error) for error in failures}) == 1


def test_a_made_up_key_name_delays_no_other_token_of_the_loop(silent: str) -> None:
    async def main() -> None:
        async with TokenVerifier(
            developer_id="dev_x", base_url=silent, timeout=60.0, max_retries=0
        ) as client:
            verifier = cast(Any, client._verifier)
            verifier._keys = {"k": KEY}
            verifier._fetched = time.monotonic()
            asking = asyncio.create_task(verifier._key("made-up"))
            # The task runs until it waits for the service.
            await asyncio.sleep(0)
            assert verifier._is_fetching
            assert await verifier._key("k") is KEY
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            # A cancelled call is no failure of the service.
            assert verifier._failure is None

    asyncio.run(main())
