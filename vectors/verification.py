"""Writes verification.json: its tokens are signed here, with keys that are thrown away.

    pip install 'pyjwt[crypto]' && python vectors/verification.py > vectors/verification.json
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

DEVELOPER = "dev_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA"
CLAIMS = {
    "iss": "https://auth.example.com",
    "sub": "user-123",
    "agt": "did:grantex:ag_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA",
    "dev": DEVELOPER,
    "scp": ["calendar:read"],
    "grnt": "grnt_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA",
    "jti": "tok_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA",
    "iat": 1772366400,
    "exp": 4102444800,
}
DELEGATED = {
    **CLAIMS,
    "parentAgt": "did:grantex:ag_01JNXJ5QH2M8Z4T6V7W9X0Y1ZB",
    "parentGrnt": "grnt_01JNXJ5QH2M8Z4T6V7W9X0Y1ZB",
    "delegationDepth": 1,
    "bdg": 12.5,
}
# The same in the standards' words (RFC 9068, RFC 8693), beside them.
STANDARD = {
    **CLAIMS,
    "client_id": "ag_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA",
    "scope": "calendar:read",
    "urn:grantex:grant": {"grant_id": CLAIMS["grnt"], "agent_did": CLAIMS["agt"], "developer_id": DEVELOPER},
}
STANDARD_DELEGATED = {
    **STANDARD,
    **DELEGATED,
    "urn:grantex:grant": {
        **STANDARD["urn:grantex:grant"],
        "parent_grant_id": DELEGATED["parentGrnt"],
        "delegation_depth": 1,
    },
    "act": {"sub": DELEGATED["parentAgt"], "act": {"sub": "did:grantex:ag_01JNXJ5QH2M8Z4T6V7W9X0Y1ZC"}},
}
KEYS = {kid: rsa.generate_private_key(65537, 2048) for kid in ("k1", "k2", "k3")}


def public(kid: str) -> dict[str, Any]:
    key = RSAAlgorithm.to_jwk(KEYS[kid].public_key(), as_dict=True)
    return {"kty": "RSA", "kid": kid, "alg": "RS256", "use": "sig", "n": key["n"], "e": key["e"]}


def sign(kid: str, claims: dict[str, Any] = CLAIMS, name: str | None = None) -> str:
    return jwt.encode(claims, KEYS[kid], "RS256", {"kid": name or kid})


def typed(typ: str | None, claims: dict[str, Any] = STANDARD) -> str:
    return jwt.encode(claims, KEYS["k1"], "RS256", {"kid": "k1", "typ": typ})


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in CLAIMS.items() if key != name}


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def tampered(token: str) -> str:
    head, _, signature = token.split(".")
    return ".".join([head, part({**CLAIMS, "scp": ["everything"]}), signature])


def shortened(token: str) -> str:
    """With a signature of 192 bytes instead of 256."""
    head, body, signature = token.split(".")
    return ".".join([head, body, signature[:256]])


def confused() -> str:
    """Signed with the public key as if it were a shared secret."""
    signed = ".".join([part({"alg": "HS256", "typ": "JWT", "kid": "k1"}), part(CLAIMS)])
    secret = json.dumps(public("k1")).encode()
    mac = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def jwks(*keys: Any, **answer: Any) -> dict[str, Any]:
    expect = {"method": "GET", "path": "/.well-known/jwks.json", "headers": {"authorization": None}}
    body = {"keys": [public(key) if isinstance(key, str) else key for key in keys]}
    return {"expect": expect, "answer": answer or {"json": body}}


def me(developer: str) -> dict[str, Any]:
    answer = {"developerId": developer, "name": "Acme", "email": None, "mode": "sandbox", "createdAt": "2026-03-01T12:00:00.000Z"}
    return {"expect": {"method": "GET", "path": "/v1/me"}, "answer": {"json": answer}}


def case(
    name: str, tokens: list[str], exchanges: list[Any], claims: list[Any] | None, **client: Any
) -> dict[str, Any]:
    audience = client.pop("audience", None)
    return {
        "name": name,
        "client": {"developerId": DEVELOPER, **client},
        "call": "tokens.verifyOffline",
        "args": {"tokens": tokens, **({"audience": audience} if audience else {})},
        "exchanges": exchanges,
        "outcome": {"error": {"kind": "invalid_token"}} if claims is None else {"result": claims},
    }


def keyless(name: str, *args: Any, kind: str = "invalid_token", **client: Any) -> dict[str, Any]:
    """The same by a verifier, which has no API key."""
    made = {**case(f"a verifier without an API key: {name}", *args, **client), "call": "verifier.verify"}
    return {**made, "outcome": {"error": {"kind": kind}}} if args[-1] is None else made


OTHER = {**CLAIMS, "dev": "dev_01JNXJ5QH2M8Z4T6V7W9X0Y1ZB"}
AUDIENCE = {**CLAIMS, "aud": "https://api.example"}
head, body, signature = sign("k1").split(".")
UNUSABLE = [
    {"kty": "EC", "kid": "k1", "crv": "P-256", "x": "AA", "y": "AA"},
    {"kty": "oct", "kid": "k1", "k": "AA"},
    {**public("k2"), "kid": "k1", "use": "enc"},
    {"kty": "RSA", "kid": "k1", "alg": "RS256", "use": "sig", "n": "!", "e": "AQAB"},
    {},
    7,
]
CASES = [
    case("a good token", [sign("k1")], [jwks("k1")], [CLAIMS]),
    case("every claim there can be", [sign("k1", DELEGATED)], [jwks("k1")], [DELEGATED]),
    case("an access token of RFC 9068", [typed("at+jwt")], [jwks("k1")], [STANDARD]),
    case("an access token of RFC 9068, delegated", [typed("at+jwt", STANDARD_DELEGATED)], [jwks("k1")], [STANDARD_DELEGATED]),
    case("the type with its whole name", [typed("application/at+jwt")], [jwks("k1")], [STANDARD]),
    case("another type of token", [typed("dpop+jwt")], [], None),
    case("no type", [typed(None)], [], None),
    case("the keys are fetched once", [sign("k1"), sign("k1"), sign("k2")], [jwks("k1", "k2")], [CLAIMS] * 3),
    case("a new key is fetched when a token names it", [sign("k1"), sign("k2")], [jwks("k1"), jwks("k1", "k2")], [CLAIMS] * 2),
    case("unknown keys do not make it fetch again and again", [sign("k1"), sign("k2"), sign("k3")], [jwks("k1"), jwks("k1", "k2")], None),
    case("a key that is not there", [sign("k2")], [jwks("k1")], None),
    case("a key of that name but not that key", [sign("k2", name="k1")], [jwks("k1")], None),
    case("keys that cannot be used are passed over", [sign("k1")], [jwks(*UNUSABLE, "k1")], [CLAIMS]),
    case("only keys that cannot be used", [sign("k1")], [jwks(*UNUSABLE)], None),
    case("a changed payload", [tampered(sign("k1"))], [jwks("k1")], None),
    case("a cut signature", [shortened(sign("k1"))], [jwks("k1")], None),
    case("no signature, alg none", [".".join([part({"alg": "none", "kid": "k1"}), body, ""])], [], None),
    case("no algorithm but RS256: the public key as a shared secret", [confused()], [], None),
    case("no algorithm but RS256: RS512", [jwt.encode(CLAIMS, KEYS["k1"], "RS512", {"kid": "k1"})], [], None),
    case("no kid", [jwt.encode(CLAIMS, KEYS["k1"], "RS256")], [], None),
    case("expired", [sign("k1", {**CLAIMS, "exp": 1772370000})], [jwks("k1")], None),
    case("no expiry", [sign("k1", without("exp"))], [jwks("k1")], None),
    case("no scopes", [sign("k1", without("scp"))], [jwks("k1")], None),
    case("no grant", [sign("k1", without("grnt"))], [jwks("k1")], None),
    case("no text at all", [""], [], None),
    case("not a token", ["gx_test_something"], [], None),
    case("three parts of nothing", ["a.b.c"], [], None),
    case("another developer's token", [sign("k1", OTHER)], [jwks("k1")], None),
    case("the developer is asked for where it is not given", [sign("k1"), sign("k1")], [jwks("k1"), me(DEVELOPER)], [CLAIMS] * 2, developerId=None),
    case("and is not this one", [sign("k1")], [jwks("k1"), me("dev_01JNXJ5QH2M8Z4T6V7W9X0Y1ZB")], None, developerId=None),
    case("the issuer that was expected", [sign("k1")], [jwks("k1")], [CLAIMS], issuer="https://auth.example.com"),
    case("another issuer", [sign("k1")], [jwks("k1")], None, issuer="https://auth.example.org"),
    case("the audience that was expected", [sign("k1", AUDIENCE)], [jwks("k1")], [AUDIENCE], audience="https://api.example"),
    case("another audience", [sign("k1", AUDIENCE)], [jwks("k1")], None, audience="https://other.example"),
    case("a token for an audience, and none is given", [sign("k1", AUDIENCE)], [jwks("k1")], None),
    case("a token for nobody in particular, and an audience is given", [sign("k1")], [jwks("k1")], None, audience="https://api.example"),
    case("the keys are asked for again when that fails", [sign("k1")], [jwks(status=503), jwks("k1")], [CLAIMS]),
    keyless("the keys are fetched once", [sign("k1"), sign("k1"), sign("k2")], [jwks("k1", "k2")], [CLAIMS] * 3),
    keyless("a new key is fetched when a token names it", [sign("k1"), sign("k2")], [jwks("k1"), jwks("k1", "k2")], [CLAIMS] * 2),
    keyless("unknown keys do not make it fetch again and again", [sign("k1"), sign("k2"), sign("k3")], [jwks("k1"), jwks("k1", "k2")], None),
    keyless("the keys are asked for again when that fails", [sign("k1")], [jwks(status=503), jwks("k1")], [CLAIMS]),
    keyless("a service that has no keys", [sign("k1")], [jwks(status=404)], None, kind="not_found"),
    keyless("another developer's token", [sign("k1", OTHER)], [jwks("k1")], None),
    keyless("another issuer", [sign("k1")], [jwks("k1")], None, issuer="https://auth.example.org"),
    keyless("the audience that was expected", [sign("k1", AUDIENCE)], [jwks("k1")], [AUDIENCE], audience="https://api.example"),
    keyless("another audience", [sign("k1", AUDIENCE)], [jwks("k1")], None, audience="https://other.example"),
    keyless("a token for an audience, and none is given", [sign("k1", AUDIENCE)], [jwks("k1")], None),
    keyless("no developer whose tokens it accepts", [sign("k1")], [], None, kind="configuration", developerId=None),
]
print(json.dumps({"cases": CASES}, indent=1))
