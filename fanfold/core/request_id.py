"""The id of the request that is worked on: in its answer, in every log line about it, and in every problem document."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Final

HEADER: Final = "X-Request-Id"

_FIELD: Final = HEADER.lower().encode()
_KEPT: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")

current_request_id: ContextVar[str | None] = ContextVar("current_request_id", default=None)
"""None outside a request."""


def new_request_id() -> str:
    """A fresh id that nobody can guess."""
    return secrets.token_hex(16)


def request_id_of(fields: Iterable[tuple[bytes, bytes]]) -> str:
    """The id that a client or a gateway has given a request; a fresh one where there is none, two, or one that is no id.

    A text that is no id is dropped, because ids go into logs.
    """
    sent = [value for name, value in fields if name == _FIELD]
    if len(sent) == 1 and _KEPT.fullmatch(sent[0]):
        return sent[0].decode()
    return new_request_id()
