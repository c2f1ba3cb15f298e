"""Identifiers: a `UserId` is text from an identity provider, a `PostId` a UUIDv7 (RFC 9562).

A post's creation time *is* the 48-bit millisecond field of its id. So the order of ids is the order of time (and of the random
bits within a millisecond), for Python's `UUID`, for Cassandra's `uuid` and for the text in JSON.
"""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, StringConstraints
from uuid_utils import compat

# 1-64 of A-Za-z0-9._- but neither "." nor "..", which no URL path can carry.
USER_ID_PATTERN = r"^(?:\.{0,2}[A-Za-z0-9_-]|\.{3})[A-Za-z0-9._-]*$"

UserId = Annotated[str, StringConstraints(pattern=USER_ID_PATTERN, min_length=1, max_length=64)]


def _is_uuid7(value: UUID) -> UUID:
    if value.version != 7:
        raise ValueError("a post id is a UUIDv7")
    return value


PostId = Annotated[UUID, AfterValidator(_is_uuid7)]


def new_post_id(now_ms: int) -> UUID:
    """A new UUIDv7 of that millisecond (since the Unix epoch). Two calls never return the same id."""
    return compat.uuid7(nanoseconds=now_ms * 1_000_000)


def created_at_ms(post_id: UUID) -> int:
    """The millisecond (since the Unix epoch) inside a UUIDv7."""
    return post_id.int >> 80


def first_post_id_at(ms: int) -> UUID:
    """The smallest UUIDv7 of that millisecond: a bound for range reads, never a post's id."""
    return UUID(int=(ms << 80) | (0x7 << 76) | (0b10 << 62))
