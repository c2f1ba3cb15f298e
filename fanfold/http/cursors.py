"""Opaque cursors: base64url of a checksum and what the route wants to remember.

The checksum covers a *scope* (the route and whatever else the cursor is bound to: the user, the ranking), so a
cursor that was changed, cut, or taken from elsewhere is refused. It is no secret and carries no authority: what a
reader may see is decided by the credential on every page.
"""

from __future__ import annotations

import base64
import binascii
import re
from hashlib import blake2s

from fanfold.http.problems import Invalid

_CHECKSUM_BYTES = 8
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")


def encode_cursor(payload: bytes, *, scope: str) -> str:
    """The cursor for a payload, valid only within that scope."""
    raw = _checksum(payload, scope) + payload
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode_cursor(text: str, *, scope: str) -> bytes:
    """The payload of a cursor. Answers 422 if it is broken, changed, or of another scope."""
    # Checked first: the decoder skips characters that are not of its alphabet.
    if _BASE64URL.fullmatch(text) is None:
        raise refused_cursor()
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:
        raise refused_cursor() from error
    payload = raw[_CHECKSUM_BYTES:]
    # Encoded again, for two texts may decode to the same bytes.
    if encode_cursor(payload, scope=scope) != text:
        raise refused_cursor()
    return payload


def _checksum(payload: bytes, scope: str) -> bytes:
    checksum = blake2s(digest_size=_CHECKSUM_BYTES, person=b"cursor")
    named = scope.encode()
    checksum.update(len(named).to_bytes(4, "big") + named + payload)
    return checksum.digest()


def refused_cursor() -> Invalid:
    """The 422 for a cursor that this list never gave."""
    return Invalid.at(
        "query",
        "cursor",
        "Send a `next_cursor` of this list unchanged, or leave it out to start again.",
    )
