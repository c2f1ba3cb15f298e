"""An issuer for tests: it signs any token, right or wrong, and the identity that accepts the right ones."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from fanfold.core.clock import Clock
from fanfold.http.identity.bearer import BearerIdentity
from fanfold.http.identity.key_set import parse_key_set
from fanfold.http.identity.remote_keys import FixedKeys
from fanfold.http.identity.tokens import TokenRules

ISSUER = "https://issuer.example/"
AUDIENCE = "fanfold"
LIFETIME_S = 600
ALGORITHMS = ("RS256", "ES256", "EdDSA")

RULES = TokenRules(
    issuer=ISSUER,
    audience=AUDIENCE,
    types=frozenset({"at+jwt"}),
    user_ids_are_subjects=True,
    max_lifetime_s=3600,
    max_bytes=4096,
)


def private_key(algorithm: str, name: str = "own") -> Any:
    """A key for the algorithm; another `name` is another key."""
    return _made(algorithm, name)


@cache
def _made(algorithm: str, _name: str) -> Any:
    match algorithm:
        case "RS256":
            return rsa.generate_private_key(public_exponent=65537, key_size=2048)
        case "ES256":
            return ec.generate_private_key(ec.SECP256R1())
        case "EdDSA":
            return ed25519.Ed25519PrivateKey.generate()
    raise ValueError(algorithm)


def public_jwk(algorithm: str, name: str = "own", **fields: Any) -> dict[str, Any]:
    """The public key as a JWK, whose `kid` is the name of the algorithm."""
    made: dict[str, Any] = jwt.get_algorithm_by_name(algorithm).to_jwk(
        private_key(algorithm, name).public_key(), as_dict=True
    )
    return {**made, "kid": algorithm, "use": "sig", "alg": algorithm, **fields}


def key_set(*keys: Mapping[str, Any]) -> bytes:
    """A JWK set; without arguments, one key for each algorithm."""
    return json.dumps({"keys": list(keys) or [public_jwk(name) for name in ALGORITHMS]}).encode()


def claims(subject: str = "alice", *, now_s: float, **changed: Any) -> dict[str, Any]:
    """The claims of a token that is right; a claim changed to None is left out."""
    whole = {
        "iss": ISSUER,
        "sub": subject,
        "aud": AUDIENCE,
        "iat": int(now_s),
        "exp": int(now_s) + LIFETIME_S,
        "scope": "fanfold:read fanfold:write",
        **changed,
    }
    return {name: value for name, value in whole.items() if value is not None}


def signed(
    payload: Mapping[str, Any],
    *,
    algorithm: str = "ES256",
    key: Any = None,
    headers: Mapping[str, Any] | None = None,
) -> str:
    """A token with these claims; `headers` replace those of a right one, and None leaves one out."""
    fields = {"alg": algorithm, "typ": "at+jwt", "kid": algorithm, **(headers or {})}
    head = {name: value for name, value in fields.items() if value is not None}
    text = f"{encoded(json.dumps(head).encode())}.{encoded(json.dumps(payload).encode())}"
    # By hand: the library refuses to write some of what it must refuse to read.
    signature = jwt.get_algorithm_by_name(algorithm).sign(
        text.encode(), key or private_key(algorithm)
    )
    return f"{text}.{encoded(signature)}"


def encoded(part: bytes) -> str:
    """A part of a token."""
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def a_token(subject: str = "alice", *, now_s: float, **changed: Any) -> str:
    """A token that is right but for the claims that are changed."""
    return signed(claims(subject, now_s=now_s, **changed))


def an_identity(clock: Clock, rules: TokenRules = RULES) -> BearerIdentity:
    """Accepts the tokens of this issuer."""
    return BearerIdentity(FixedKeys(parse_key_set(key_set())), rules, clock=clock)
