"""The rules of a grant token."""

from __future__ import annotations

from typing import Any, Optional

import jwt

from ._errors import InvalidTokenError, ProtocolError
from ._models import Claims

KEYS_MAX_AGE = 3600.0
"""The age in seconds at which keys are fetched again: a key that the service withdrew stops working
then.
"""
KEYS_MAX_AGE_IN_OUTAGE = 24 * 3600.0
"""How long keys are used while the service cannot be reached: an outage of less than a day stops no
verification.
"""
FETCH_PAUSE = 10.0
"""The shortest time between two fetches for unknown keys, and after a failed fetch for old ones:
tokens with made-up key names cost the service nothing, and an outage delays no verification.
"""
FAILURE_SHARED = 1.0
"""For so long a failed first fetch answers the calls that waited for it."""
TYPES = ("at+jwt", "jwt")
"""An access token of RFC 9068, or the older type."""
LEEWAY = 5.0
"""The clock difference between issuer and verifier that is tolerated, in seconds."""


def key_id(token: str) -> str:
    """The name of the key that the token says it was signed with."""
    # In an untyped program it may be the `None` of a missing header.
    if not isinstance(token, str):
        raise InvalidTokenError(f"it is {token!r:.20}: pass the grant token as a string")
    if token.lstrip()[:7].lower() == "bearer ":
        raise InvalidTokenError('it begins with "Bearer ": pass only what follows it')
    try:
        header = jwt.get_unverified_header(token)
    except jwt.InvalidTokenError as error:
        raise InvalidTokenError(str(error)) from None
    # The token does not choose how it is checked.
    if header.get("alg") != "RS256":
        raise InvalidTokenError("it is not signed with RS256")
    if str(header.get("typ")).lower().removeprefix("application/") not in TYPES:
        raise InvalidTokenError("its type is neither at+jwt nor JWT")
    kid = header.get("kid")
    if not isinstance(kid, str):
        raise InvalidTokenError("its header names no key (kid)")
    return kid


def usable_keys(body: Any) -> dict[str, jwt.PyJWK]:
    """The keys of a key set that can verify grant tokens; others are ignored."""
    if not isinstance(body, dict) or not isinstance(body.get("keys"), list):
        raise ProtocolError("the answer is not a key set: is the base URL right?")
    keys: dict[str, jwt.PyJWK] = {}
    for one in body["keys"]:
        if not isinstance(one, dict) or not isinstance(one.get("kid"), str):
            continue
        if (
            one.get("kty") != "RSA"
            or one.get("use", "sig") != "sig"
            or one.get("alg", "RS256") != "RS256"
        ):
            continue
        try:
            keys[one["kid"]] = jwt.PyJWK(one, "RS256")
        # Whatever is wrong with it, it is not used.
        except Exception:
            continue
    return keys


def check(token: str, key: jwt.PyJWK, audience: Optional[str], issuer: Optional[str]) -> Claims:
    """The claims of a token whose signature, expiry, audience and issuer are valid."""
    try:
        claims = jwt.decode(
            token,
            key.key,
            algorithms=["RS256"],
            audience=audience,
            issuer=issuer,
            leeway=LEEWAY,
            # A clock that is behind must not refuse what was just issued.
            options={"require": ["exp", "iat"], "verify_iat": False},
        )
    except jwt.MissingRequiredClaimError as error:
        reason = str(error)
        if error.claim == "aud":
            reason = f"it names no audience, and {audience!r} is required"
        raise InvalidTokenError(reason) from None
    except jwt.InvalidAudienceError:
        reason = f"it is not for the audience {audience!r}"
        if audience is None:
            reason = "it is for an audience, and no audience was given to compare"
        raise InvalidTokenError(reason) from None
    except jwt.InvalidTokenError as error:
        raise InvalidTokenError(str(error)) from None
    texts = ("iss", "sub", "agt", "dev", "grnt", "jti")
    scopes = claims.get("scp")
    is_whole = all(isinstance(claims.get(name), str) for name in texts) and isinstance(scopes, list)
    if not is_whole or not all(isinstance(scope, str) for scope in scopes or []):
        raise InvalidTokenError("a claim that every grant token has is missing")
    return Claims.from_json(claims)
