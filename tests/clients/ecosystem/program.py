"""What published Python packages for this protocol make of our tokens: `program.py <base URL> <API key> <check>`.

It runs in a virtual environment of its own: one of the packages has the name of our SDK.
"""

import asyncio
import json
import sys
import warnings
from typing import Annotated, Any

from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from grantex import (
    AllocateBudgetParams,
    AuthorizeParams,
    ExchangeTokenParams,
    Grantex,
    GrantexTokenError,
    RefreshTokenParams,
    VerifiedGrant,
    VerifyGrantTokenOptions,
    verify_grant_token,
)
from grantex_adk import create_grantex_tool as adk_tool
from grantex_adk import get_tool_scopes as adk_scopes
from grantex_fastapi import GrantexAuth, GrantexFastAPIError, grantex_exception_handler
from grantex_openai_agents import create_grantex_tool as openai_tool
from grantex_openai_agents import get_tool_scopes as openai_scopes

BASE, KEY, CHECK = sys.argv[1:]
JWKS = f"{BASE}/.well-known/jwks.json"
API = "https://api.example"
SCOPES = ["calendar:read", "calendar:write"]

client = Grantex(api_key=KEY, base_url=BASE, legacy_claims=False)


def strict(**more: Any) -> VerifyGrantTokenOptions:
    return VerifyGrantTokenOptions(
        jwks_uri=JWKS, legacy_claims=False, bounded_jwks_fetch=True, **more
    )


def refused(token: str, **more: Any) -> str:
    try:
        verify_grant_token(token, strict(**more))
    except GrantexTokenError as error:
        return str(error)
    raise AssertionError("it was accepted")


def tokens() -> tuple[str, Any, Any]:
    """An agent with a fresh token, and that token refreshed after a budget was given."""
    agent = client.agents.register(name="Agent", scopes=SCOPES)
    asked = client.authorize(
        AuthorizeParams(agent_id=agent.id, user_id="user-123", scopes=SCOPES, audience=API)
    )
    first = client.tokens.exchange(ExchangeTokenParams(code=asked.code or "", agent_id=agent.id))
    client.budgets.allocate(AllocateBudgetParams(grant_id=first.grant_id, initial_budget=100))
    second = client.tokens.refresh(
        RefreshTokenParams(refresh_token=first.refresh_token, agent_id=agent.id)
    )
    return agent.id, first, second


def offline() -> None:
    """The verifier in its strict mode: standard claims only, `at+jwt` only."""
    agent, first, second = tokens()
    helper = client.agents.register(name="Helper", scopes=SCOPES)
    below = client.grants.delegate(
        parent_grant_token=second.grant_token, sub_agent_id=helper.id, scopes=["calendar:read"]
    )
    for token in (first.grant_token, second.grant_token):
        grant = verify_grant_token(token, strict(audience=API, required_scopes=SCOPES))
        assert (grant.grant_id, grant.principal_id) == (first.grant_id, "user-123")
        assert (grant.agent_did, grant.client_id) == (f"did:grantex:{agent}", agent)
        assert list(grant.scopes) == SCOPES
        assert (grant.issuer, grant.audience) == (BASE, API)
        assert grant.act is None and grant.parent_grant_id is None
    grant = verify_grant_token(below["grantToken"], strict(audience=API))
    assert (grant.parent_agent_did, grant.parent_grant_id) == (
        f"did:grantex:{agent}",
        first.grant_id,
    )
    assert (grant.delegation_depth, grant.act) == (1, {"sub": f"did:grantex:{agent}"})
    assert "audience" in refused(first.grant_token, audience="https://other.example").lower()
    assert "scopes" in refused(first.grant_token, audience=API, required_scopes=["mail:send"])
    # Where it reads both forms, they agree, and it warns of nothing.
    for token in (first.grant_token, second.grant_token, below["grantToken"]):
        both = verify_grant_token(token, VerifyGrantTokenOptions(jwks_uri=JWKS, audience=API))
        assert both.legacy_claims_used == ()


def online() -> None:
    """The client: what it is told of a grant is what the token says, until the grant ends."""
    _, first, _ = tokens()
    assert client.tokens.verify(first.grant_token).valid
    told = verify_grant_token(
        first.grant_token, strict(audience=API, current_authority=client.grants.verify)
    )
    assert told.grant_id == first.grant_id
    client.grants.revoke(first.grant_id)
    assert not client.tokens.verify(first.grant_token).valid
    refused(first.grant_token, audience=API, current_authority=client.grants.verify)


def fastapi() -> None:
    app = FastAPI()
    auth = GrantexAuth(jwks_uri=JWKS, audience=API)
    app.add_exception_handler(GrantexFastAPIError, grantex_exception_handler)

    @app.get("/read")
    async def read(
        grant: Annotated[VerifiedGrant, Depends(auth.scopes("calendar:read"))],
    ) -> dict[str, Any]:
        return {"principal": grant.principal_id, "scopes": list(grant.scopes)}

    @app.get("/send")
    async def send(_: Annotated[VerifiedGrant, Depends(auth.scopes("mail:send"))]) -> None: ...

    _, first, _ = tokens()
    web = TestClient(app)
    bearer = {"Authorization": f"Bearer {first.grant_token}"}
    answer = web.get("/read", headers=bearer)
    assert (answer.status_code, answer.json()) == (
        200,
        {"principal": "user-123", "scopes": SCOPES},
    ), answer.text
    assert web.get("/send", headers=bearer).status_code == 403
    assert (
        web.get(
            "/read", headers={"Authorization": f"Bearer {first.grant_token[:-8]}AAAAAAAA"}
        ).status_code
        == 401
    )
    assert web.get("/read").status_code == 401


def read_calendar(day: str) -> str:
    return f"nothing on {day}"


def toolkit(make: Any, scopes_of: Any) -> Any:
    _, first, _ = tokens()
    assert scopes_of(first.grant_token) == SCOPES
    options: dict[str, Any] = {
        "name": "read_calendar", "description": "Reads the calendar", "grant_token": first.grant_token,
        "func": read_calendar, "jwks_uri": JWKS, "audience": API,
    }  # fmt: skip
    tool = make(required_scope="calendar:read", **options)
    try:
        make(required_scope="mail:send", **options)
    except PermissionError:
        return tool
    raise AssertionError("a scope that was not granted")


def openai_agents() -> None:
    from agents.tool_context import ToolContext

    tool = toolkit(openai_tool, openai_scopes)
    assert tool.name == "read_calendar"
    arguments = json.dumps({"day": "Monday"})
    context = ToolContext(
        context=None, tool_name=tool.name, tool_call_id="1", tool_arguments=arguments
    )
    assert asyncio.run(tool.on_invoke_tool(context, arguments)) == "nothing on Monday"


def adk() -> None:
    tool = toolkit(adk_tool, adk_scopes)
    assert tool.__name__ == "read_calendar"
    assert tool(day="Monday") == "nothing on Monday"


if __name__ == "__main__":
    # Reading a token by an alias that a standard claim replaces is a warning there, and an error
    # here.
    warnings.filterwarnings("error", category=FutureWarning)
    {
        "offline": offline,
        "online": online,
        "fastapi": fastapi,
        "openai-agents": openai_agents,
        "adk": adk,
    }[CHECK]()
