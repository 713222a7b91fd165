"""The resources of the API."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, Optional

from .._models import (
    Agent,
    AmountInput,
    ApiKey,
    Approval,
    AuditEntry,
    AuthorizeResponse,
    Budget,
    Claims,
    CreatedKey,
    CreatedPrincipalSession,
    DebitResponse,
    Denial,
    Grant,
    GrantStatus,
    GrantVerification,
    Names,
    NewScopeName,
    Page,
    PrincipalSession,
    RequestedBudget,
    RotatedKey,
    ScopeName,
    Strings,
    TokenResponse,
    TokenVerification,
    Transaction,
    amount_text,
    page_of,
)
from .._request import Call, check_code, creating, segment
from ._pending import Pending
from ._runtime import AsyncList
from ._transport import AsyncTransport
from ._verifier import AsyncVerifier


class AsyncAgents:
    """Agents; `client.agents`."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def create(
        self,
        name: str,
        *,
        description: Optional[str] = None,
        scopes: Optional[Strings] = None,
        idempotency_key: Optional[str] = None,
    ) -> Agent:
        """Registers an agent. `scopes` are those that it usually asks for: a description, not a limit."""
        body = {"name": name, "description": description, "scopes": scopes}
        return Agent.from_json(
            await self._transport.json(creating("/v1/agents", body, idempotency_key))
        )

    def list(self, *, limit: Optional[int] = None, after: Optional[str] = None) -> AsyncList[Agent]:
        """The agents, newest first."""

        async def fetch(after: Optional[str]) -> Page[Agent]:
            body = await self._transport.json(
                Call("GET", "/v1/agents", {"limit": limit, "after": after})
            )
            return page_of(body, "agents", Agent.from_json)

        return AsyncList(after, fetch)

    async def get(self, agent_id: str) -> Agent:
        """One agent."""
        return Agent.from_json(
            await self._transport.json(Call("GET", f"/v1/agents/{segment(agent_id)}"))
        )

    async def update(
        self,
        agent_id: str,
        *,
        name: Optional[str] = None,
        description: Optional[str] = None,
        scopes: Optional[Strings] = None,
        status: Optional[str] = None,
    ) -> Agent:
        """Changes the fields that are given; `status` is `active` or `suspended`."""
        body = {"name": name, "description": description, "scopes": scopes, "status": status}
        call = Call("PATCH", f"/v1/agents/{segment(agent_id)}", body=body)
        return Agent.from_json(await self._transport.json(call))

    async def delete(self, agent_id: str) -> None:
        """Deletes an agent; its grants and all below them are revoked."""
        await self._transport.done(Call("DELETE", f"/v1/agents/{segment(agent_id)}"))


class AsyncAudit:
    """The audit trail; `client.audit`.

    It says who changed what outside the event log, such as API keys, principals' sessions and names
    of scopes.
    """

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    def list(
        self, *, limit: Optional[int] = None, after: Optional[str] = None
    ) -> AsyncList[AuditEntry]:
        """The entries, newest first.

        >>> async for entry in client.audit.list():
        ...     print(entry.created_at, entry.action, entry.target, "by", entry.actor.kind)
        """

        async def fetch(after: Optional[str]) -> Page[AuditEntry]:
            call = Call("GET", "/v1/audit/entries", {"limit": limit, "after": after})
            return page_of(await self._transport.json(call), "entries", AuditEntry.from_json)

        return AsyncList(after, fetch)


class AsyncAuthorizations:
    """Authorization requests; `client.authorizations`."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def create(
        self,
        *,
        agent_id: str,
        principal_id: str,
        scopes: Strings,
        expires_in: Optional[str] = None,
        redirect_uri: Optional[str] = None,
        state: Optional[str] = None,
        audience: Optional[str] = None,
        code_challenge: Optional[str] = None,
        code_challenge_method: Optional[str] = None,
        budget: Optional[RequestedBudget] = None,
        idempotency_key: Optional[str] = None,
    ) -> AuthorizeResponse:
        """Asks a principal for consent; the same as `client.authorize`.

        Args:
            agent_id: the agent that asks.
            principal_id: your own identifier of the person who is asked.
            scopes: the requested scopes.
            expires_in: how long the grant lasts after the consent, such as `90m`; `24h` unless given.
            redirect_uri: where the principal's browser goes after the decision.
            state: returned unchanged with the redirect.
            audience: the grant token's audience.
            code_challenge: PKCE: the base64url SHA-256 of the verifier that the exchange presents.
            code_challenge_method: `S256`, together with the challenge.
            budget: the budget that the grant has from the exchange on; the principal reads it on
                the consent page.
            idempotency_key: the same key with the same request gives the first answer again, for 24
                hours.
        """
        body = {
            "agentId": agent_id,
            "principalId": principal_id,
            "scopes": scopes,
            "expiresIn": expires_in,
            "redirectUri": redirect_uri,
            "state": state,
            "audience": audience,
            "codeChallenge": code_challenge,
            "codeChallengeMethod": code_challenge_method,
            "budget": budget.to_json() if budget else None,
        }
        call = creating("/v1/authorize", body, idempotency_key)
        return AuthorizeResponse.from_json(await self._transport.json(call))

    async def approve(self, auth_request_id: str) -> Approval:
        """Approves a pending request in the principal's place; only in a sandbox."""
        path = f"/v1/authorize/{segment(auth_request_id)}/approve"
        return Approval.from_json(await self._transport.json(Call("POST", path, unsafe=True)))

    async def deny(self, auth_request_id: str) -> Denial:
        """Denies a pending request in the principal's place; only in a sandbox."""
        path = f"/v1/authorize/{segment(auth_request_id)}/deny"
        return Denial.from_json(await self._transport.json(Call("POST", path, unsafe=True)))


class AsyncBudgets:
    """Budgets and debits; `client.budgets`."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def allocate(
        self,
        grant_id: str,
        initial_budget: AmountInput,
        *,
        currency: Optional[str] = None,
        idempotency_key: Optional[str] = None,
    ) -> Budget:
        """Allocates a budget to a grant, in `USD` unless `currency` is given."""
        body = {
            "grantId": grant_id,
            "initialBudget": amount_text(initial_budget),
            "currency": currency,
        }
        return Budget.from_json(
            await self._transport.json(creating("/v1/budget/allocate", body, idempotency_key))
        )

    async def debit(
        self,
        grant_id: str,
        amount: AmountInput,
        *,
        description: Optional[str] = None,
        metadata: Optional[dict[str, Any]] = None,
        idempotency_key: Optional[str] = None,
    ) -> DebitResponse:
        """Debits an amount, all or nothing.

        Retries do not debit again: all tries have the same idempotency key.
        """
        body = {
            "grantId": grant_id,
            "amount": amount_text(amount),
            "description": description,
            "metadata": metadata,
        }
        call = creating("/v1/budget/debit", body, idempotency_key)
        return DebitResponse.from_json(await self._transport.json(call))

    async def get(self, grant_id: str) -> Budget:
        """A grant's budget."""
        return Budget.from_json(
            await self._transport.json(Call("GET", f"/v1/budget/balance/{segment(grant_id)}"))
        )

    def list(
        self, *, limit: Optional[int] = None, after: Optional[str] = None
    ) -> AsyncList[Budget]:
        """The budgets, newest first."""

        async def fetch(after: Optional[str]) -> Page[Budget]:
            call = Call("GET", "/v1/budget/allocations", {"limit": limit, "after": after})
            body = await self._transport.json(call)
            return page_of(body, "allocations", Budget.from_json)

        return AsyncList(after, fetch)

    def transactions(
        self, grant_id: str, *, limit: Optional[int] = None, after: Optional[str] = None
    ) -> AsyncList[Transaction]:
        """A grant's debits, newest first."""

        async def fetch(after: Optional[str]) -> Page[Transaction]:
            path = f"/v1/budget/transactions/{segment(grant_id)}"
            body = await self._transport.json(Call("GET", path, {"limit": limit, "after": after}))
            return page_of(body, "transactions", Transaction.from_json)

        return AsyncList(after, fetch)


class AsyncGrants:
    """Grants; `client.grants`."""

    def __init__(self, transport: AsyncTransport, pending: Pending) -> None:
        self._transport = transport
        self._pending = pending

    def list(
        self,
        *,
        agent_id: Optional[str] = None,
        principal_id: Optional[str] = None,
        status: Optional[GrantStatus] = None,
        limit: Optional[int] = None,
        after: Optional[str] = None,
    ) -> AsyncList[Grant]:
        """The grants, newest first."""

        async def fetch(after: Optional[str]) -> Page[Grant]:
            query = {
                "agentId": agent_id,
                "principalId": principal_id,
                "status": status,
                "limit": limit,
                "after": after,
            }
            body = await self._transport.json(Call("GET", "/v1/grants", query))
            return page_of(body, "grants", Grant.from_json)

        return AsyncList(after, fetch)

    async def get(self, grant_id: str) -> Grant:
        """One grant."""
        return Grant.from_json(
            await self._transport.json(Call("GET", f"/v1/grants/{segment(grant_id)}"))
        )

    def revoke(self, grant_id: str) -> Awaitable[None]:
        """Revokes a grant and every grant below it.

        The request starts at once, also when nobody awaits it; closing the client waits for it. A
        failure that nobody awaits is logged. Raises `NotFoundError` if the grant does not exist or is
        revoked already.
        """
        call = Call("DELETE", f"/v1/grants/{segment(grant_id)}")
        return self._pending.start(lambda: self._transport.done(call))

    async def delegate(
        self,
        *,
        parent_grant_token: str,
        sub_agent_id: str,
        scopes: Strings,
        expires_in: Optional[str] = None,
        idempotency_key: Optional[str] = None,
    ) -> TokenResponse:
        """Delegates scopes of a grant to another agent."""
        body = {
            "parentGrantToken": parent_grant_token,
            "subAgentId": sub_agent_id,
            "scopes": scopes,
            "expiresIn": expires_in,
        }
        call = creating("/v1/grants/delegate", body, idempotency_key)
        return TokenResponse.from_json(await self._transport.json(call))

    async def verify(self, token: str, *, audience: Optional[str] = None) -> GrantVerification:
        """Asks the service whether a token's grant is in force, and if not, why.

        With `audience`, also whether the token is for that audience.
        """
        call = Call("POST", "/v1/grants/verify", body={"token": token, "audience": audience})
        return GrantVerification.from_json(await self._transport.json(call))


class AsyncKeys:
    """API keys; `client.keys`."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def create(self, name: str) -> CreatedKey:
        """Creates another key, whose secret is shown only once.

        The call is not retried where the key may have been created.
        """
        call = Call("POST", "/v1/keys", body={"name": name}, unsafe=True)
        return CreatedKey.from_json(await self._transport.json(call))

    def list(
        self, *, limit: Optional[int] = None, after: Optional[str] = None
    ) -> AsyncList[ApiKey]:
        """The keys, without their secrets, newest first."""

        async def fetch(after: Optional[str]) -> Page[ApiKey]:
            body = await self._transport.json(
                Call("GET", "/v1/keys", {"limit": limit, "after": after})
            )
            return page_of(body, "keys", ApiKey.from_json)

        return AsyncList(after, fetch)

    async def revoke(self, key_id: str) -> None:
        """Revokes a key and ends its streams."""
        await self._transport.done(Call("DELETE", f"/v1/keys/{segment(key_id)}"))

    async def rotate(self) -> RotatedKey:
        """Replaces the key that makes this call.

        The old key stops working at once, so the call is not retried where it may have taken
        effect: create a second key before you rotate one.
        """
        return RotatedKey.from_json(
            await self._transport.json(Call("POST", "/v1/keys/rotate", unsafe=True))
        )


class AsyncPrincipalSessions:
    """Sessions in which principals see and revoke their own grants; `client.principal_sessions`."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def create(
        self, principal_id: str, *, expires_in: Optional[str] = None
    ) -> CreatedPrincipalSession:
        """Opens a session, for `1h` unless `expires_in` says otherwise.

        Anyone who has its token or its link has the session.

        >>> session = await client.principal_sessions.create("user-123", expires_in="10m")
        >>> print("send the principal to", session.dashboard_url)
        """
        body = {"principalId": principal_id, "expiresIn": expires_in}
        call = Call("POST", "/v1/principal-sessions", body=body)
        return CreatedPrincipalSession.from_json(await self._transport.json(call))

    def list(
        self,
        *,
        principal_id: Optional[str] = None,
        limit: Optional[int] = None,
        after: Optional[str] = None,
    ) -> AsyncList[PrincipalSession]:
        """The open sessions, without their tokens, newest first; `principal_id`: only of this one."""

        async def fetch(after: Optional[str]) -> Page[PrincipalSession]:
            query = {"principalId": principal_id, "limit": limit, "after": after}
            body = await self._transport.json(Call("GET", "/v1/principal-sessions", query))
            return page_of(body, "sessions", PrincipalSession.from_json)

        return AsyncList(after, fetch)

    async def end(self, session_id: str) -> None:
        """Ends a session: its token and its page stop working at once."""
        path = f"/v1/principal-sessions/{segment(session_id)}"
        await self._transport.done(Call("DELETE", path))

    async def end_all(self, principal_id: str) -> None:
        """Ends all open sessions of a principal; having none is no error."""
        call = Call("DELETE", "/v1/principal-sessions", {"principalId": principal_id})
        await self._transport.done(call)


class AsyncScopeNames:
    """Names of scopes, as principals read them; `client.scope_names`."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def set(self, scopes: Sequence[NewScopeName]) -> Names:
        """Names scopes; other scopes keep their names.

        >>> await client.scope_names.set([NewScopeName("calendar:read", "Read your calendar")])
        """
        body = {"scopes": [one.to_json() for one in scopes]}
        answer = await self._transport.json(Call("PUT", "/v1/scopes", body=body))
        return page_of(answer, "scopes", ScopeName.from_json).items

    async def list(self) -> Names:
        """All scopes that have a name, 500 at most."""
        answer = await self._transport.json(Call("GET", "/v1/scopes"))
        return page_of(answer, "scopes", ScopeName.from_json).items

    async def remove(self, scope: str) -> None:
        """Removes a scope's name. Grants do not change."""
        await self._transport.done(Call("DELETE", "/v1/scopes", {"scope": scope}))


class AsyncTokens:
    """Grant tokens; `client.tokens`."""

    def __init__(self, transport: AsyncTransport, verifier: AsyncVerifier) -> None:
        self._transport = transport
        self._verifier = verifier

    async def exchange(
        self,
        *,
        code: str,
        agent_id: str,
        code_verifier: Optional[str] = None,
        idempotency_key: Optional[str] = None,
    ) -> TokenResponse:
        """Exchanges the code of an approved request for a grant and its first token.

        A code that does not begin with `gxc_` raises `ConfigurationError` before a request is made.

        >>> token = await client.tokens.exchange(code=code, agent_id=agent.agent_id)
        """
        body = {"code": check_code(code), "agentId": agent_id, "codeVerifier": code_verifier}
        return TokenResponse.from_json(
            await self._transport.json(creating("/v1/token", body, idempotency_key))
        )

    async def refresh(
        self, *, refresh_token: str, agent_id: str, idempotency_key: Optional[str] = None
    ) -> TokenResponse:
        """A new token of the same grant for a refresh token, which can be used once."""
        body = {"refreshToken": refresh_token, "agentId": agent_id}
        call = creating("/v1/token/refresh", body, idempotency_key)
        return TokenResponse.from_json(await self._transport.json(call))

    async def verify(self, token: str, *, audience: Optional[str] = None) -> TokenVerification:
        """Asks the service whether a token is valid; it sees revocations at once.

        Give the `audience` that you are, or compare `aud` of the answer yourself.
        """
        call = Call("POST", "/v1/tokens/verify", body={"token": token, "audience": audience})
        return TokenVerification.from_json(await self._transport.json(call))

    async def verify_offline(self, token: str, *, audience: Optional[str] = None) -> Claims:
        """Checks a token without asking the service.

        Checked are signature, type, expiry, developer, audience, and the issuer if one is set; what
        is not valid raises `InvalidTokenError`. One key set signs the tokens of all developers, so
        `dev` is always compared with your own developer id. A token that names an audience is valid
        for that audience only.

        It does not see revocations before the token expires: where they must count at once, use
        `verify` or follow `grant.revoked`. The service's public keys are fetched every hour, and
        when a token names a new one. A server that has no API key uses `TokenVerifier`.
        """
        return await self._verifier.verify(token, audience)

    async def revoke(self, token_id: str) -> None:
        """Revokes a token by its `jti`; the grant stays."""
        await self._transport.done(Call("POST", "/v1/tokens/revoke", body={"jti": token_id}))
