"""The user id of a token's subject. Pure."""

from __future__ import annotations

import re
from base64 import b32encode
from hashlib import sha256

from fanfold.http.identity.credentials import is_user_id

LONGEST_SUBJECT = 255
_DERIVED = re.compile(r"u-[a-z2-7]{52}")


def derived_user_id(issuer: str, subject: str) -> str:
    """`u-` and the base32 of SHA-256 over the issuer's length (4 bytes), the issuer and the subject.

    Any subject has one, and no two pairs of issuer and subject share one: the length keeps `("a", "bc")` from `("ab", "c")`.
    """
    named = issuer.encode()
    digest = sha256(len(named).to_bytes(4, "big") + named + subject.encode()).digest()
    return "u-" + b32encode(digest).decode().rstrip("=").lower()


def subject_user_id(subject: str) -> str | None:
    """The subject itself; None if it is no user id, or has the form of a derived one."""
    if not is_user_id(subject) or _DERIVED.fullmatch(subject):
        return None
    return subject
