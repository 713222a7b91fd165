"""The cases that go over HTTP, with both clients."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Optional, Union

import operations
import pytest
from conftest import Mock

import grantex
from grantex import Grantex, GrantexEvent, SyncGrantex, SyncTokenVerifier, TokenVerifier

# Longer than any case takes that works.
PATIENCE = 60.0
# Cases that run at the same time: most of them wait.
AT_ONCE = 16
UNSUPPORTED: dict[str, str] = json.loads((Path(__file__).parent / "unsupported.json").read_text())
KINDS: list[tuple[type[Exception], str]] = [
    (grantex.BadRequestError, "bad_request"),
    (grantex.UnauthorizedError, "unauthorized"),
    (grantex.InsufficientBudgetError, "insufficient_budget"),
    (grantex.ForbiddenError, "forbidden"),
    (grantex.NotFoundError, "not_found"),
    (grantex.ConflictError, "conflict"),
    (grantex.GoneError, "gone"),
    (grantex.RateLimitedError, "rate_limited"),
    (grantex.ServerError, "server"),
    (grantex.ApiError, "api"),
    (grantex.ConnectionError, "connection"),
    (grantex.TimeoutError, "timeout"),
    (grantex.ProtocolError, "protocol"),
    (grantex.StreamEndedError, "ended"),
    (grantex.InvalidTokenError, "invalid_token"),
    (grantex.ConfigurationError, "configuration"),
]
Case = dict[str, Any]
Play = tuple[Case, int]


def plays(mock: Mock) -> list[Play]:
    cases: list[Case] = mock.json("/cases")["cases"]
    names = {case["name"] for case in cases}
    assert set(UNSUPPORTED) <= names, "a case that is declared unsupported is no case"
    wanted = [case for case in cases if case["name"] not in UNSUPPORTED]
    return [(case, variant) for case in wanted for variant in range(case["variants"])]


def client_options(base: str, given: dict[str, Any]) -> dict[str, Any]:
    keys = iter(given.get("keys", []))
    options: dict[str, Any] = {"base_url": given.get("baseUrl", base), "retry_delay": 0.001}
    options["api_key"] = (lambda: next(keys)) if "keys" in given else "gx_test_vector"
    if "timeoutMs" in given:
        options["timeout"] = given["timeoutMs"] / 1000
    if "maxRetries" in given:
        options["max_retries"] = given["maxRetries"]
    for name, wire in (("developer_id", "developerId"), ("issuer", "issuer")):
        if given.get(wire):
            options[name] = given[wire]
    return options


def stream_options(case: Case, outcome: dict[str, Any]) -> dict[str, Any]:
    given = case["client"]
    options = {operations.snake(name): value for name, value in case["args"].items()}
    options["reconnect_delay"] = given.get("reconnectDelayMs", 1) / 1000
    for name, wire in (
        ("max_reconnect_delay", "reconnectDelayMaxMs"),
        ("silence_timeout", "silenceMs"),
    ):
        if wire in given:
            options[name] = given[wire] / 1000
    for name, wire in (("reconnect", "reconnect"), ("max_event_bytes", "maxEventBytes")):
        if wire in given:
            options[name] = given[wire]

    def count(_: grantex.Reconnect) -> None:
        outcome["reconnects"] += 1

    options["on_reconnect"] = count
    return options


def reported(error: BaseException) -> dict[str, Any]:
    kind = next((kind for type_, kind in KINDS if isinstance(error, type_)), "other")
    wait: Optional[float] = getattr(error, "retry_after", None)
    return {
        "kind": kind,
        "status": getattr(error, "status", None),
        "code": getattr(error, "code", None),
        "message": getattr(error, "message", None),
        "requestId": getattr(error, "request_id", None),
        "retryAfterMs": None if wait is None else wait * 1000,
        "oldestEventId": getattr(error, "oldest_event_id", None),
        "shown": repr(error),
    }


def differences(wanted: dict[str, Any], got: dict[str, Any]) -> list[str]:
    """Where the outcome is not what the case says. An error may tell more than the case asks for."""
    problems: list[str] = []
    for name, value in wanted.items():
        if name in ("error", "resultIncludes"):
            found = got.get("error" if name == "error" else "result") or {}
            shown = found.get("shown", "")
            for field, want in value.items():
                if field == "says":
                    problems += [
                        f"the error does not say {part}: {shown}"
                        for part in want
                        if part not in shown
                    ]
                elif field == "hides":
                    problems += [
                        f"the error shows {part}: {shown}" for part in want if part in shown
                    ]
                elif found.get(field) != want:
                    problems.append(f"the {name}'s {field} is {found.get(field)!r}, not {want!r}")
        elif got.get(name) != value:
            problems.append(f"{name} is {got.get(name)!r}, not {value!r}")
    if "error" not in wanted and "error" in got:
        problems.append(f"it failed: {got['error']['shown']}")
    return problems


def raws(result: Any) -> list[str]:
    """The JSON of a page's events, or of one, as it came."""
    if isinstance(result, grantex.PlacedEvent):
        return [result.event.json]
    return (
        [getattr(item, "json", "") for item in result.items]
        if isinstance(result, grantex.Page)
        else []
    )


def verifier_options(options: dict[str, Any]) -> dict[str, Any]:
    """A verifier's: without the key."""
    return {"developer_id": "", **{k: v for k, v in options.items() if k != "api_key"}}


async def run(case: Case, options: dict[str, Any]) -> dict[str, Any]:
    if case["call"] == "verifier.verify":
        audience = case["args"].get("audience")
        async with TokenVerifier(**verifier_options(options)) as verifier:
            tokens = case["args"]["tokens"]
            claims = [await verifier.verify(token, audience=audience) for token in tokens]
            return {"result": operations.plain(claims)}
    if case["call"] == "signup":
        del options["api_key"]
        return {"result": operations.plain(await Grantex.signup(**case["args"], **options))}
    async with Grantex(**options) as client:
        if case["call"] != "events.stream":
            result = await operations.call(client, case["call"], case["args"])
            return {"result": operations.plain(result), "raws": raws(result)}
        return await stream(client, case)


_ending: set[asyncio.Task[None]] = set()


def end(events: grantex.AsyncEventStream) -> None:
    _ending.add(asyncio.ensure_future(events.aclose()))


async def patiently(
    events: grantex.AsyncEventStream, consumer: dict[str, Any]
) -> AsyncIterator[GrantexEvent]:
    """The events; with a time limit each wait is one that is given up, in one of the ways there
    are.
    """
    limit = consumer["waitMs"] / 1000 if "waitMs" in consumer else None
    event: Optional[GrantexEvent]
    for turn in itertools.count():
        try:
            if turn % 2:
                event = await events.next(limit)
            else:
                event = await asyncio.wait_for(events.__anext__(), limit)
        except StopAsyncIteration:
            return
        except asyncio.TimeoutError:
            continue
        if event is not None:
            yield event


async def stream(client: Grantex, case: Case) -> dict[str, Any]:
    outcome: dict[str, Any] = {"events": [], "raws": [], "reconnects": 0}
    consumer = case["consumer"]
    events = client.events.stream(**stream_options(case, outcome))
    if "closeAfterMs" in consumer:
        asyncio.get_running_loop().call_later(consumer["closeAfterMs"] / 1000, end, events)

    async def consume() -> None:
        async for event in patiently(events, consumer):
            outcome["events"].append(operations.plain(event))
            outcome["raws"].append(event.json)
            if len(outcome["events"]) == 1 and "holdAfterFirstMs" in consumer:
                await asyncio.sleep(consumer["holdAfterFirstMs"] / 1000)
            if len(outcome["events"]) >= consumer.get("take", 1_000_000):
                return
        if "closeAfterMs" not in consumer:
            outcome["closed"] = True

    limit = consumer.get("abortAfterMs")
    try:
        await asyncio.wait_for(consume(), None if limit is None else limit / 1000)
    except asyncio.TimeoutError:
        assert limit is not None
    except grantex.GrantexError as error:
        outcome["error"] = reported(error)
    return outcome


def run_sync(case: Case, options: dict[str, Any]) -> dict[str, Any]:
    if case["call"] == "verifier.verify":
        audience = case["args"].get("audience")
        with SyncTokenVerifier(**verifier_options(options)) as verifier:
            tokens = case["args"]["tokens"]
            claims = [verifier.verify(token, audience=audience) for token in tokens]
            return {"result": operations.plain(claims)}
    if case["call"] == "signup":
        del options["api_key"]
        return {"result": operations.plain(SyncGrantex.signup(**case["args"], **options))}
    with SyncGrantex(**options) as client:
        if case["call"] != "events.stream":
            result = operations.call_sync(client, case["call"], case["args"])
            return {"result": operations.plain(result), "raws": raws(result)}
        return stream_sync(client, case)


def stream_sync(client: SyncGrantex, case: Case) -> dict[str, Any]:
    outcome: dict[str, Any] = {"events": [], "raws": [], "reconnects": 0}
    consumer = case["consumer"]
    limit = consumer["waitMs"] / 1000 if "waitMs" in consumer else None
    with client.events.stream(**stream_options(case, outcome)) as events:
        ends = consumer.get("abortAfterMs", consumer.get("closeAfterMs"))
        if ends is not None:
            threading.Timer(ends / 1000, events.close).start()
        try:
            while True:
                try:
                    event = events.next(limit)
                except StopIteration:
                    break
                if event is None:
                    continue
                outcome["events"].append(operations.plain(event))
                outcome["raws"].append(event.json)
                if len(outcome["events"]) == 1 and "holdAfterFirstMs" in consumer:
                    time.sleep(consumer["holdAfterFirstMs"] / 1000)
                if len(outcome["events"]) >= consumer.get("take", 1_000_000):
                    return outcome
            outcome["closed"] = True
        except grantex.GrantexError as error:
            outcome["error"] = reported(error)
    return outcome


Runner = Callable[[Case, dict[str, Any]], Union[dict[str, Any], Any]]


def play(mock: Mock, case: Case, variant: int, runner: Runner) -> list[str]:
    opened = mock.json("/sessions", {"case": case["name"], "variant": variant})
    options = client_options(opened["base"], case["client"])
    try:
        outcome = runner(case, options)
    except Exception as error:
        outcome = {"error": reported(error)}
    problems = differences(case["outcome"], outcome)
    problems += mock.json(f"/sessions/{opened['session']}")["problems"]
    return [f"{case['name']} #{variant}: {problem}" for problem in problems]


def run_in_a_loop(case: Case, options: dict[str, Any]) -> dict[str, Any]:
    async def in_time() -> dict[str, Any]:
        return await asyncio.wait_for(run(case, options), PATIENCE)

    return asyncio.run(in_time())


@pytest.mark.parametrize("runner", [run_in_a_loop, run_sync], ids=["asyncio", "threads"])
def test_every_case_holds(mock: Mock, runner: Runner) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = pool.map(lambda one: play(mock, one[0], one[1], runner), plays(mock))
        problems = [problem for problems in found for problem in problems]
    assert not problems, "\n".join(problems)


def test_an_event_is_what_its_type_says() -> None:
    from grantex._event import to_event

    event: GrantexEvent = to_event(
        {
            "id": "evt_1",
            "type": "grant.revoked",
            "createdAt": "t",
            "data": {"grantId": "g", "revokedBy": "system"},
        }
    )
    assert isinstance(event, grantex.GrantRevokedEvent)
    if event.type == "grant.revoked":
        assert event.data["revokedBy"] == "system"
    other = to_event({"id": "evt_2", "type": "new", "createdAt": "t", "data": {"x": 1}})
    assert isinstance(other, grantex.UnknownEvent)
