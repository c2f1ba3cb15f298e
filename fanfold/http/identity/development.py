"""The development issuer: a key in a file of this machine, and the tokens that it signs.

No process accepts both these tokens and an issuer's: its own issuer is no `https://` URL, which every other one must be.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from fanfold.core.errors import Fault

ISSUER = "urn:fanfold:development-issuer"
KEY_FILE = "development-issuer.pem"
"""Its name in the directory of a local system."""

_ALGORITHM = "ES256"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class DevelopmentIssuer:
    """Signs tokens with the key of a file. Raises `Fault` if the file can't be used."""

    def __init__(self, path: Path) -> None:
        self._key = _read(path)
        self._public: dict[str, Any] = jwt.algorithms.ECAlgorithm.to_jwk(
            self._key.public_key(), as_dict=True
        )
        self._key_id = sha256(json.dumps(self._public, sort_keys=True).encode()).hexdigest()[:16]

    def key_set(self) -> str:
        """The JWK set of the public key, as JSON."""
        described = {**self._public, "kid": self._key_id, "use": "sig", "alg": _ALGORITHM}
        return json.dumps({"keys": [described]})

    def token(
        self, user_id: str, *, scopes: Iterable[str], audience: str, now_s: int, lifetime_s: int
    ) -> str:
        """A token of this user."""
        claims = {
            "iss": ISSUER,
            "sub": user_id,
            "aud": audience,
            "iat": now_s,
            "exp": now_s + lifetime_s,
            "jti": secrets.token_urlsafe(12),
            "scope": " ".join(scopes),
        }
        headers = {"typ": "at+jwt", "kid": self._key_id}
        return jwt.encode(claims, self._key, algorithm=_ALGORITHM, headers=headers)


def create_key(path: Path) -> bool:
    """Write a new key, readable by its owner only. False, and nothing is changed, if there is one already."""
    key = ec.generate_private_key(ec.SECP256R1())
    written = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The whole file appears at once: of two processes that start together, both use the first one's key.
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(written)
        try:
            os.link(draft, path)
        except FileExistsError:
            return False
        finally:
            draft.unlink()
    except OSError as error:
        raise Fault(f"{path} can't be written: {error.strerror}") from error
    return True


def _read(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(16_384)
    except OSError as error:
        raise Fault(
            f"FANFOLD_JWT_DEVELOPMENT_KEY: {path} can't be read ({error.strerror}); `fanfold token` writes one"
        ) from error
    if mode & _OTHERS:
        raise Fault(
            f"FANFOLD_JWT_DEVELOPMENT_KEY: others may read {path}, so they could sign tokens; delete it, `fanfold token` writes a new one"
        )
    try:
        key = load_pem_private_key(text, password=None)
    except (ValueError, TypeError) as error:
        raise Fault(f"FANFOLD_JWT_DEVELOPMENT_KEY: {path} is no private key in PEM") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise Fault(f"FANFOLD_JWT_DEVELOPMENT_KEY: {path} is no key of P-256")
    return key
