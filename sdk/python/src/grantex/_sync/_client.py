# Made by scripts/make_sync.py from _async/_client.py: change that.

"""The client and its settings."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Optional, Union

from .._errors import ConfigurationError
from .._models import AuthorizeResponse, Developer, Mode, RequestedBudget, SignupResponse
from .._request import Call, check_base_url
from ._events import SyncEvents
from ._pending import Pending
from ._resources import (
    SyncAgents,
    SyncAudit,
    SyncAuthorizations,
    SyncBudgets,
    SyncGrants,
    SyncKeys,
    SyncPrincipalSessions,
    SyncScopeNames,
    SyncTokens,
)
from ._runtime import KeyFunction
from ._transport import Settings, SyncTransport
from ._verifier import SyncVerifier


class SyncGrantex:
    """A client of one Grantex service.

    >>> with SyncGrantex(api_key="gx_live_...") as client:
    ...     for event in client.events.stream():
    ...         print(event.type, event.data)

    Args:
        api_key: the API key; `GRANTEX_API_KEY` unless given. A function is called for it before the
            first call, and again whenever the service refuses the key with 401.
        base_url: the service's base URL; `GRANTEX_BASE_URL`, or `DEFAULT_BASE_URL`, unless given.
        timeout: how long a call may wait for a byte, in seconds. Streams have `silence_timeout`.
        max_retries: how often a failed call is retried where that is safe.
        retry_delay: the delay before the first retry in seconds, doubled with each and with full
            jitter.
        developer_id: the developer whose tokens `tokens.verify_offline` accepts; unless given, yours.
        issuer: the issuer that `tokens.verify_offline` requires; any unless given.
    """

    def __init__(
        self,
        api_key: Union[str, KeyFunction, None] = None,
        *,
        base_url: Optional[str] = None,
        timeout: float = 30.0,
        max_retries: int = 2,
        retry_delay: float = 0.5,
        developer_id: Optional[str] = None,
        issuer: Optional[str] = None,
    ) -> None:
        key = api_key if api_key is not None else os.environ.get("GRANTEX_API_KEY")
        if key is None:
            raise ConfigurationError(
                "no API key: set GRANTEX_API_KEY, or give the client one as api_key"
            )
        settings = Settings(check_base_url(base_url), timeout, max_retries, retry_delay)
        self._transport = SyncTransport(settings, key)
        self._pending = Pending()
        self.agents = SyncAgents(self._transport)
        """Agents."""
        self.audit = SyncAudit(self._transport)
        """The audit trail."""
        self.authorizations = SyncAuthorizations(self._transport)
        """Authorization requests."""
        self.budgets = SyncBudgets(self._transport)
        """Budgets and debits."""
        self.events = SyncEvents(self._transport)
        """The event log: streams, subscriptions, the history."""
        self.grants = SyncGrants(self._transport, self._pending)
        """Grants."""
        self.keys = SyncKeys(self._transport)
        """API keys."""
        self.principal_sessions = SyncPrincipalSessions(self._transport)
        """Sessions in which principals see and revoke their own grants."""
        self.scope_names = SyncScopeNames(self._transport)
        """Names of scopes, as principals read them."""
        self.tokens = SyncTokens(
            self._transport, SyncVerifier(self._transport, developer_id, issuer)
        )
        """Grant tokens."""

    @staticmethod
    def signup(
        name: str,
        *,
        email: Optional[str] = None,
        mode: Optional[Mode] = None,
        base_url: Optional[str] = None,
        timeout: float = 30.0,
        max_retries: int = 2,
        retry_delay: float = 0.5,
    ) -> SignupResponse:
        """Creates a developer with a first API key, which is shown only once. Needs no API key."""
        settings = Settings(check_base_url(base_url), timeout, max_retries, retry_delay)
        transport = SyncTransport(settings, None)
        body = {"name": name, "email": email, "mode": mode}
        try:
            call = Call("POST", "/v1/signup", body=body, is_public=True, unsafe=True)
            return SignupResponse.from_json(transport.json(call))
        finally:
            transport.close()

    def me(self) -> Developer:
        """The developer that the API key belongs to."""
        return Developer.from_json(self._transport.json(Call("GET", "/v1/me")))

    def authorize(
        self,
        *,
        agent_id: str,
        principal_id: str,
        scopes: list[str],
        expires_in: Optional[str] = None,
        redirect_uri: Optional[str] = None,
        state: Optional[str] = None,
        audience: Optional[str] = None,
        code_challenge: Optional[str] = None,
        code_challenge_method: Optional[str] = None,
        budget: Optional[RequestedBudget] = None,
        idempotency_key: Optional[str] = None,
    ) -> AuthorizeResponse:
        """Asks a principal for consent; with a sandbox key the request is approved at once.

        The arguments are those of `authorizations.create`.

        >>> asked = client.authorize(
        ...     agent_id=agent.agent_id, principal_id="user-123", scopes=["calendar:read"]
        ... )
        >>> print("send the principal to", asked.consent_url)
        """
        return self.authorizations.create(
            agent_id=agent_id,
            principal_id=principal_id,
            scopes=scopes,
            expires_in=expires_in,
            redirect_uri=redirect_uri,
            state=state,
            audience=audience,
            code_challenge=code_challenge,
            code_challenge_method=code_challenge_method,
            budget=budget,
            idempotency_key=idempotency_key,
        )

    def close(self) -> None:
        """Ends subscriptions, closes the connections.

        Leaving `with` does it too.
        """
        self.events.unsubscribe_all()
        self._pending.wait()
        self._transport.close()

    def __enter__(self) -> SyncGrantex:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()
