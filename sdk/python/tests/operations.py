"""The operations that cases name, for both clients."""

from __future__ import annotations

import inspect
import re
from decimal import Decimal
from typing import Any

from grantex import (
    AsyncList,
    Grantex,
    NewScopeName,
    Page,
    PlacedEvent,
    RequestedBudget,
    SyncGrantex,
    SyncList,
)
from grantex._models import Model

POSITIONAL = {
    "keys.revoke": "keyId",
    "agents.get": "agentId",
    "agents.update": "agentId",
    "agents.delete": "agentId",
    "authorizations.approve": "authRequestId",
    "authorizations.deny": "authRequestId",
    "tokens.revoke": "tokenId",
    "events.get": "eventId",
    "grants.get": "grantId",
    "grants.revoke": "grantId",
    "scopeNames.remove": "scope",
    "principalSessions.end": "sessionId",
    "principalSessions.endAll": "principalId",
    "budgets.get": "grantId",
    "budgets.transactions": "grantId",
}
METHODS = {
    "events.createTicket": "events.create_ticket",
    "scopeNames.set": "scope_names.set",
    "scopeNames.list": "scope_names.list",
    "scopeNames.remove": "scope_names.remove",
    "principalSessions.create": "principal_sessions.create",
    "principalSessions.list": "principal_sessions.list",
    "principalSessions.end": "principal_sessions.end",
    "principalSessions.endAll": "principal_sessions.end_all",
    "tokens.verifyOffline": "tokens.verify_offline",
}


def snake(name: str) -> str:
    """`agentId` is `agent_id` here."""
    return re.sub(r"[A-Z]", lambda match: "_" + match[0].lower(), name)


def plain(result: Any) -> Any:
    """A result in the wire's form."""
    if isinstance(result, Model):
        return {name: plain(value) for name, value in result.to_json().items()}
    if isinstance(result, Page):
        body = {"items": plain(result.items), "nextCursor": result.next_cursor}
        return body if result.total is None else {**body, "total": result.total}
    if isinstance(result, PlacedEvent):
        return {"position": result.position, "event": plain(result.event)}
    if isinstance(result, list):
        return [plain(one) for one in result]
    if isinstance(result, Decimal):
        return str(result)
    if hasattr(result, "timestamp"):
        return {
            "id": result.id,
            "type": result.type,
            "createdAt": result.timestamp,
            "data": result.data,
        }
    return result


def prepare(
    client: Any, operation: str, args: dict[str, Any]
) -> tuple[Any, list[Any], dict[str, Any]]:
    """The method with its arguments."""
    name = operation.removesuffix(".all")
    options = {snake(key): value for key, value in args.items()}
    if name == "scopeNames.set":
        options["scopes"] = [NewScopeName(**one) for one in options["scopes"]]
    if "budget" in options:
        options["budget"] = RequestedBudget(
            **{snake(key): value for key, value in options["budget"].items()}
        )
    positional = [options.pop(snake(POSITIONAL[name]))] if name in POSITIONAL else []
    method = client
    for part in METHODS.get(name, name).split("."):
        method = getattr(method, part)
    return method, positional, options


async def call(client: Grantex, operation: str, args: dict[str, Any]) -> Any:
    """Calls the operation of the asyncio client."""
    method, positional, options = prepare(client, operation, args)
    if operation == "tokens.verifyOffline":
        audience = options.get("audience")
        return [plain(await method(token, audience=audience)) for token in options["tokens"]]
    result = method(*positional, **options)
    if isinstance(result, AsyncList) and operation.endswith(".all"):
        return [plain(item) async for item in result]
    assert inspect.isawaitable(result)
    return await result


def call_sync(client: SyncGrantex, operation: str, args: dict[str, Any]) -> Any:
    """Calls the operation of the synchronous client."""
    method, positional, options = prepare(client, operation, args)
    if operation == "tokens.verifyOffline":
        return [
            plain(method(token, audience=options.get("audience"))) for token in options["tokens"]
        ]
    result = method(*positional, **options)
    if isinstance(result, SyncList):
        return [plain(item) for item in result] if operation.endswith(".all") else result.page()
    return result
