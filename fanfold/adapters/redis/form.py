"""The form of the values that the server keeps, and the marks that are derived from them.

A string is `V`, a token without its last bytes, and the payload; or `L` and the token of a lease. A list's last element is `E`, token and end, or `L` and
token. A token is the stamp followed by random bytes, which differ for each lease: so two fills of one key always differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fanfold.adapters.redis.link import Command, ServerError
from fanfold.core.cache_keys import names_a_feed
from fanfold.core.ports.shared_cache import FeedList

VALUE, LEASE, END = b"V", b"L", b"E"
STAMP_BYTES = 8
NONCE_BYTES = 8
# Each value stores these bytes. With four of them, one change in four billion goes unnoticed.
_FILL_BYTES = 4

STAMP = slice(1, 1 + STAMP_BYTES)
TOKEN = slice(1, STAMP.stop + NONCE_BYTES)
LIST_END = slice(TOKEN.stop, None)
VALUE_TOKEN = slice(STAMP_BYTES + _FILL_BYTES)
BEFORE_PAYLOAD = STAMP.stop + _FILL_BYTES


def list_of(elements: Sequence[bytes]) -> FeedList:
    """A filled list, with its last element."""
    last = elements[-1]
    return FeedList(tuple(elements[:-1]), end=last[LIST_END], stamp=last[TOKEN])


def ask_marks(keys: Sequence[str]) -> list[Command]:
    """The commands whose answers `mark` takes. A script would cost this process a third, and the server three times as much."""
    commands: list[Command] = []
    for key in keys:
        if names_a_feed(key):
            commands += (("LINDEX", key, -1), ("LLEN", key))
        else:
            commands.append(("GETRANGE", key, 0, BEFORE_PAYLOAD - 1))
    return commands


def mark(key: str, answers: Iterator[Any], stamp: bytes) -> bytes:
    """See `SharedCache.marks`.

    Takes the answers for this key. Raises `ServerError`, but not for a value of another program, which counts as no value.
    """
    header: bytes = _unless_foreign(next(answers)) or b""
    if not names_a_feed(key):
        return header[STAMP.stop :] if header.startswith(VALUE + stamp) else b""
    length: int = _unless_foreign(next(answers)) or 0
    if not header.startswith(END + stamp):
        return b""
    # A list only grows until it is filled again.
    return header[STAMP.stop : TOKEN.stop] + length.to_bytes(4)


def is_foreign(answer: Any) -> bool:
    """Whether a command found a value of another type, written by another program."""
    return isinstance(answer, ServerError) and answer.code == "WRONGTYPE"


def _unless_foreign(answer: Any) -> Any:
    if is_foreign(answer):
        return None
    if isinstance(answer, ServerError):
        raise answer
    return answer
