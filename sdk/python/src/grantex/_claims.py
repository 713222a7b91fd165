"""The rules of a grant token."""

from __future__ import annotations

from typing import Any, Optional

import jwt

from ._errors import InvalidTokenError, ProtocolError
from ._models import Claims

KEYS_MAX_AGE = 3600.0
"""How long fetched keys are believed, in seconds: then a key that the service withdrew stops
working.
"""
UNKNOWN_KEY_PAUSE = 10.0
"""How often unknown keys may make it fetch: tokens with made-up keys cost the service nothing."""
TYPES = ("at+jwt", "jwt")
"""An access token of RFC 9068, or a grant token from before."""
LEEWAY = 5.0
"""How far the clocks of issuer and verifier may be apart, in seconds."""


def key_id(token: str) -> str:
    """The name of the key that the token says it was signed with."""
    try:
        header = jwt.get_unverified_header(token)
    except jwt.InvalidTokenError as error:
        raise InvalidTokenError(str(error)) from None
    # The token does not choose how it is checked.
    if header.get("alg") != "RS256":
        raise InvalidTokenError("it is not signed with RS256")
    if str(header.get("typ")).lower().removeprefix("application/") not in TYPES:
        raise InvalidTokenError("its type is not that of a grant token")
    kid = header.get("kid")
    if not isinstance(kid, str):
        raise InvalidTokenError("it does not name its key")
    return kid


def usable_keys(body: Any) -> dict[str, jwt.PyJWK]:
    """The keys of a key set that can verify grant tokens; others are passed over."""
    if not isinstance(body, dict) or not isinstance(body.get("keys"), list):
        raise ProtocolError("the answer is no key set: is the base URL right?")
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
    """The claims of a token whose signature, times, audience and issuer hold."""
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
    except jwt.InvalidTokenError as error:
        raise InvalidTokenError(str(error)) from None
    texts = ("iss", "sub", "agt", "dev", "grnt", "jti")
    scopes = claims.get("scp")
    is_whole = all(isinstance(claims.get(name), str) for name in texts) and isinstance(scopes, list)
    if not is_whole or not all(isinstance(scope, str) for scope in scopes or []):
        raise InvalidTokenError("it lacks a claim that every grant token has")
    return Claims.from_json(claims)
