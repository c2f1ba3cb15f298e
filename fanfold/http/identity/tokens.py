"""What a token must be to be accepted. The library verifies the signature; the rules here are ours."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import jwt

from fanfold.http.identity.credentials import Credential
from fanfold.http.identity.key_set import LONGEST_KEY_ID, VerificationKey
from fanfold.http.identity.user_ids import LONGEST_SUBJECT, derived_user_id, subject_user_id
from fanfold.http.problems import Unauthenticated

# With each of these, the token itself would choose how it is checked, or with which key.
_REFUSED_FIELDS = {"crit", "jku", "jwk", "x5u", "x5c", "b64", "zip", "enc", "cty"}
_ALGORITHMS = {"RS256", "ES256", "EdDSA"}
_REQUIRED = ["iss", "sub", "aud", "exp", "iat"]
_LONGEST_TOKEN_ID = 255
_MOST_SCOPES = 100

FindKey = Callable[[str], Awaitable[VerificationKey | None]]


class InvalidToken(Unauthenticated):
    """A token that is not accepted. Its `detail` is also what the challenge describes."""

    def __init__(self, detail: str) -> None:
        challenge = f'Bearer realm="fanfold", error="invalid_token", error_description="{detail}"'
        super().__init__(detail, challenge=challenge)


@dataclass(frozen=True, slots=True)
class TokenRules:
    """The rules of one issuer."""

    issuer: str
    audience: str
    types: frozenset[str]
    """Accepted `typ`, in lower case and without `application/`."""

    user_ids_are_subjects: bool
    max_lifetime_s: float
    max_bytes: int
    leeway_s: float = 5.0
    """How far the issuer's clock may be ahead, for `iat` and `nbf`. A token is never accepted after its `exp`."""

    async def verify(self, token: str, find_key: FindKey, now_s: float) -> Credential:
        """What the token says. Raises `InvalidToken`."""
        if len(token) > self.max_bytes:
            raise InvalidToken(f"Send a token of at most {self.max_bytes} bytes.")
        key = await find_key(self._key_id(token))
        if key is None:
            raise InvalidToken("Send a token that is signed with a key of the issuer.")
        claims = self._claims(token, key)
        self._check_times(claims, now_s)
        return self._credential(claims)

    def check_expiry(self, credential: Credential, now_s: float) -> None:
        """Refuse a credential that has expired since it was verified."""
        if credential.expires_s is not None and now_s >= credential.expires_s:
            raise InvalidToken("Send a new token: this one has expired.")

    def _key_id(self, token: str) -> str:
        """The `kid` of a header that asks for nothing unusual."""
        head, _, rest = token.partition(".")
        try:
            # Without the claims and the signature: the library would decode them here and again below, a character at a time.
            header = jwt.get_unverified_header(f"{head}..") if rest.count(".") == 1 else None
        except (jwt.PyJWTError, RecursionError):
            header = None
        if header is None:
            raise InvalidToken("Send a signed JWT in its compact form, with a plain header.")
        if not _REFUSED_FIELDS.isdisjoint(header):
            raise InvalidToken("Send a token whose header has no crit, b64, jku, jwk, x5u or x5c.")
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in _ALGORITHMS:
            raise InvalidToken("Send a token that is signed with RS256, ES256 or EdDSA.")
        kind = header.get("typ")
        if not isinstance(kind, str) or _type(kind) not in self.types:
            raise InvalidToken("Send an access token: this one has another typ.")
        key_id = header.get("kid")
        if not isinstance(key_id, str) or not 0 < len(key_id) <= LONGEST_KEY_ID:
            raise InvalidToken("Send a token whose header names its key.")
        return key_id

    def _claims(self, token: str, key: VerificationKey) -> dict[str, Any]:
        try:
            return jwt.decode(
                token,
                key.key,
                # Of the key and not of the header, so that no token chooses how it is verified.
                algorithms=[key.algorithm],
                audience=self.audience,
                issuer=self.issuer,
                options={
                    "require": _REQUIRED,
                    # By this process's clock, below.
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except jwt.InvalidAudienceError as error:
            raise InvalidToken("Send a token for this audience.") from error
        except jwt.InvalidIssuerError as error:
            raise InvalidToken("Send a token of the issuer.") from error
        except jwt.MissingRequiredClaimError as error:
            raise InvalidToken("Send a token with iss, sub, aud, exp and iat.") from error
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            raise InvalidToken("Send a token with a valid signature.") from error

    def _check_times(self, claims: dict[str, Any], now_s: float) -> None:
        issued_s, expires_s = _seconds(claims, "iat"), _seconds(claims, "exp")
        not_before_s = _seconds(claims, "nbf") if "nbf" in claims else issued_s
        if now_s >= expires_s:
            raise InvalidToken("Send a new token: this one has expired.")
        if max(issued_s, not_before_s) > now_s + self.leeway_s:
            raise InvalidToken("Send a token that is valid already.")
        if expires_s - issued_s > self.max_lifetime_s:
            raise InvalidToken(f"Send a token that lives at most {self.max_lifetime_s:g} s.")

    def _credential(self, claims: dict[str, Any]) -> Credential:
        subject = claims["sub"]
        if not isinstance(subject, str) or not 0 < len(subject) <= LONGEST_SUBJECT:
            raise InvalidToken(f"Send a token whose sub has 1 to {LONGEST_SUBJECT} characters.")
        try:
            user_id = (
                subject_user_id(subject)
                if self.user_ids_are_subjects
                else derived_user_id(self.issuer, subject)
            )
        except UnicodeEncodeError as error:  # a lone surrogate
            raise InvalidToken("Send a token whose sub is text.") from error
        if user_id is None:
            raise InvalidToken("Send a token whose sub is a user id: 1-64 of A-Z a-z 0-9 . _ -.")
        scopes, token_id = claims.get("scope", ""), claims.get("jti")
        if not isinstance(scopes, str) or scopes.count(" ") >= _MOST_SCOPES:
            raise InvalidToken("Send a token whose scope is one string.")
        if token_id is not None and not (
            isinstance(token_id, str) and 0 < len(token_id) <= _LONGEST_TOKEN_ID
        ):
            raise InvalidToken("Send a token whose jti is a string.")
        return Credential(
            user_id=user_id,
            scopes=frozenset(scopes.split(" ")) - {""},
            issued_s=_seconds(claims, "iat"),
            expires_s=_seconds(claims, "exp"),
            token_id=token_id,
        )


def token_types(listed: str) -> frozenset[str]:
    """The types of a comma-separated setting."""
    return frozenset(_type(kind) for kind in listed.split(",") if kind.strip())


def _type(kind: str) -> str:
    return kind.strip().lower().removeprefix("application/")


def _seconds(claims: dict[str, Any], name: str) -> float:
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidToken("Send a token whose iat, nbf and exp are numbers.")
    try:
        seconds = float(value)
    except OverflowError as error:
        raise InvalidToken("Send a token whose iat, nbf and exp are times.") from error
    if not math.isfinite(seconds):
        raise InvalidToken("Send a token whose iat, nbf and exp are times.")
    return seconds
