"""Identifiers: a `UserId` is text from an identity provider, a `PostId` a UUIDv7 (RFC 9562).

A post's creation time *is* the 48-bit millisecond field of its id, so ordering by id is ordering by time
(ties: within a process, the order in which they were made), alike for Python's `UUID`, Cassandra's `uuid` and the text in JSON.
"""

from __future__ import annotations

import secrets
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, StringConstraints

# 1-64 of A-Za-z0-9._- but neither "." nor "..", which no URL path can carry.
USER_ID_PATTERN = r"^(?:\.{0,2}[A-Za-z0-9_-]|\.{3})[A-Za-z0-9._-]*$"

UserId = Annotated[str, StringConstraints(pattern=USER_ID_PATTERN, min_length=1, max_length=64)]


def _is_uuid7(value: UUID) -> UUID:
    if value.version != 7:
        raise ValueError("a post id is a UUIDv7")
    return value


PostId = Annotated[UUID, AfterValidator(_is_uuid7)]


class PostIds:
    """Makes post ids. Those of one millisecond are in the order in which they were made.

    RFC 9562, 6.2, method 2: within a millisecond an id is the one before plus a random amount, so that ids can't be
    guessed. Two processes make ids of one millisecond in no order.
    """

    def __init__(self) -> None:
        self._last_ms = -1
        self._random = 0

    def new(self, now_ms: int) -> UUID:
        """A fresh UUIDv7 of that millisecond (since the Unix epoch); two calls never return the same."""
        if now_ms == self._last_ms:
            self._random += 1 + secrets.randbits(_STEP_BITS)
        else:
            # The first bit is free, so that no millisecond ever has more steps than there is room for.
            self._last_ms, self._random = now_ms, secrets.randbits(_RANDOM_BITS - 1)
        rand_a, rand_b = self._random >> 62, self._random & (1 << 62) - 1
        return UUID(int=now_ms << 80 | 0x7 << 76 | rand_a << 64 | 0b10 << 62 | rand_b)


_RANDOM_BITS = 74
_STEP_BITS = 32
new_post_id = PostIds().new
"""This process's maker of post ids."""


def created_at_ms(post_id: UUID) -> int:
    """The millisecond (since the Unix epoch) inside a UUIDv7."""
    return post_id.int >> 80


def first_post_id_at(ms: int) -> UUID:
    """The smallest UUIDv7 of that millisecond: a bound for range reads, never a post's id."""
    return UUID(int=(ms << 80) | (0x7 << 76) | (0b10 << 62))
