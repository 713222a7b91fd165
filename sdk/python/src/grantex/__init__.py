"""Client of Grantex, the authorization service for AI agents whose every state change is a durable event.

>>> import asyncio
>>> from grantex import Grantex
>>> async def main():
...     async with Grantex(api_key="gx_live_...") as client:
...         async for event in client.events.stream():
...             print(event.type, event.data)
>>> asyncio.run(main())

`SyncGrantex` is the same without `async` and `await`.
"""

from ._async._client import Grantex
from ._async._runtime import AsyncEventStream, AsyncList
from ._errors import (
    ApiError,
    BadRequestError,
    ConfigurationError,
    ConflictError,
    ConnectionError,
    ForbiddenError,
    GoneError,
    GrantexError,
    InsufficientBudgetError,
    InvalidTokenError,
    NotFoundError,
    ProtocolError,
    RateLimitedError,
    ServerError,
    StreamEndedError,
    TimeoutError,
    UnauthorizedError,
)
from ._event import (
    BudgetExhaustedData,
    BudgetExhaustedEvent,
    BudgetThresholdData,
    BudgetThresholdEvent,
    GrantCreatedData,
    GrantCreatedEvent,
    GrantexEvent,
    GrantRevokedData,
    GrantRevokedEvent,
    PlacedEvent,
    Reconnect,
    TokenIssuedData,
    TokenIssuedEvent,
    UnknownEvent,
)
from ._models import (
    Agent,
    AmountInput,
    ApiKey,
    Approval,
    AuthorizeResponse,
    Budget,
    Claims,
    CreatedKey,
    DebitResponse,
    Denial,
    Developer,
    Grant,
    GrantStatus,
    GrantVerification,
    Mode,
    Page,
    PrincipalSession,
    RotatedKey,
    SignupResponse,
    Ticket,
    TokenResponse,
    TokenVerification,
    Transaction,
)
from ._request import DEFAULT_BASE_URL
from ._sync._client import SyncGrantex
from ._sync._runtime import EventStream, SyncList
from ._version import VERSION as __version__

__all__ = [
    "DEFAULT_BASE_URL",
    "Agent",
    "AmountInput",
    "ApiError",
    "ApiKey",
    "Approval",
    "AsyncEventStream",
    "AsyncList",
    "AuthorizeResponse",
    "BadRequestError",
    "Budget",
    "BudgetExhaustedData",
    "BudgetExhaustedEvent",
    "BudgetThresholdData",
    "BudgetThresholdEvent",
    "Claims",
    "ConfigurationError",
    "ConflictError",
    "ConnectionError",
    "CreatedKey",
    "DebitResponse",
    "Denial",
    "Developer",
    "EventStream",
    "ForbiddenError",
    "GoneError",
    "Grant",
    "GrantCreatedData",
    "GrantCreatedEvent",
    "GrantRevokedData",
    "GrantRevokedEvent",
    "GrantStatus",
    "GrantVerification",
    "Grantex",
    "GrantexError",
    "GrantexEvent",
    "InsufficientBudgetError",
    "InvalidTokenError",
    "Mode",
    "NotFoundError",
    "Page",
    "PlacedEvent",
    "PrincipalSession",
    "ProtocolError",
    "RateLimitedError",
    "Reconnect",
    "RotatedKey",
    "ServerError",
    "SignupResponse",
    "StreamEndedError",
    "SyncGrantex",
    "SyncList",
    "Ticket",
    "TimeoutError",
    "TokenIssuedData",
    "TokenIssuedEvent",
    "TokenResponse",
    "TokenVerification",
    "Transaction",
    "UnauthorizedError",
    "UnknownEvent",
    "__version__",
]
