"""Opaque cursors: base64url of a checksum and the route's payload.

The checksum covers a *scope* (the route and what else the cursor is bound to: the user, the ranking), so a cursor that was
changed, cut or made for another scope is refused. It is not secret and carries no authority: on every page the credential
decides what the viewer may see.
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
    # Checked first, because the decoder skips characters outside its alphabet.
    if _BASE64URL.fullmatch(text) is None:
        raise refused_cursor()
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:
        raise refused_cursor() from error
    payload = raw[_CHECKSUM_BYTES:]
    # Encoded again, because two texts may decode to the same bytes.
    if encode_cursor(payload, scope=scope) != text:
        raise refused_cursor()
    return payload


def _checksum(payload: bytes, scope: str) -> bytes:
    checksum = blake2s(digest_size=_CHECKSUM_BYTES, person=b"cursor")
    named = scope.encode()
    checksum.update(len(named).to_bytes(4, "big") + named + payload)
    return checksum.digest()


def refused_cursor() -> Invalid:
    """The 422 for a cursor that this list did not make."""
    return Invalid.at(
        "query",
        "cursor",
        "Send a `next_cursor` of this list unchanged, or leave it out to start again.",
    )
