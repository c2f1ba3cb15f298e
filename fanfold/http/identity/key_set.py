"""An issuer's public keys, from its JWK set. Each key is for one algorithm, whatever a token's header says."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

logger = logging.getLogger(__name__)

LONGEST_KEY_ID = 200
MOST_KEYS = 100
_RSA_BITS = range(2048, 8193)
_PRIVATE = {"d", "k", "p", "q", "dp", "dq", "qi", "oth"}


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key and its only algorithm: RS256, ES256 or EdDSA."""

    algorithm: str
    key: jwt.PyJWK


class UnusableKeySet(Exception):
    """The document is no JWK set, or has no key that can be used."""


def parse_key_set(document: bytes) -> Mapping[str, VerificationKey]:
    """The usable keys by `kid`. Keys of other kinds are left out; raises `UnusableKeySet` if nothing is left."""
    try:
        listed = json.loads(document)["keys"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UnusableKeySet("it is not a JWK set") from error
    if not isinstance(listed, list) or len(listed) > MOST_KEYS:
        raise UnusableKeySet(f"it has no list of at most {MOST_KEYS} keys")
    described = [key for key in listed if isinstance(key, dict) and _usable(key)]
    # If two keys have one name, it is unknown which is meant.
    names = Counter(key["kid"] for key in described)
    found: dict[str, VerificationKey] = {}
    for key in described:
        if names[key["kid"]] == 1 and (made := _key(key)) is not None:
            found[key["kid"]] = made
    if not found:
        raise UnusableKeySet("it has no key for RS256, ES256 or EdDSA that can be used")
    return found


def _usable(key: Mapping[str, Any]) -> bool:
    kid, use, operations = key.get("kid"), key.get("use", "sig"), key.get("key_ops", ["verify"])
    return (
        isinstance(kid, str)
        and 0 < len(kid) <= LONGEST_KEY_ID
        and use == "sig"
        and isinstance(operations, list)
        and "verify" in operations
        and _PRIVATE.isdisjoint(key)
        and key.get("alg", _algorithm(key)) == _algorithm(key)
    )


def _algorithm(key: Mapping[str, Any]) -> str | None:
    match key.get("kty"), key.get("crv"):
        case "RSA", None:
            return "RS256"
        case "EC", "P-256":
            return "ES256"
        case "OKP", "Ed25519":
            return "EdDSA"
    return None


def _key(described: dict[str, Any]) -> VerificationKey | None:
    algorithm = _algorithm(described)
    if algorithm is None:
        return None
    try:
        key = jwt.PyJWK(described, algorithm=algorithm)
    except (jwt.PyJWTError, ValueError, TypeError):
        logger.warning("a key of the issuer can't be read", extra={"algorithm": algorithm})
        return None
    if isinstance(key.key, RSAPublicKey) and key.key.key_size not in _RSA_BITS:
        return None
    return VerificationKey(algorithm, key)
