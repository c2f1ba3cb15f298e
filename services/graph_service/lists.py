"""Pages of followed, muted and blocked users and of followers. A page is full unless the list ends with it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from pydantic import BaseModel, Field

from fanfold.core.buckets import BUCKETS_IN_GENERATION, FollowerBucket, buckets_up_to
from fanfold.core.clock import rfc3339
from fanfold.core.ports import FollowerEdge, Follows, Ties, User
from fanfold.http.cursors import decode_cursor, encode_cursor, refused_cursor
from fanfold.http.openapi import Rfc3339

# Buckets that are read at once: a generation that has just opened has many, and most of them are empty.
_MOST_BUCKETS = 64


class Connection(BaseModel):
    """The other end of a follow, a mute or a block."""

    user_id: str
    since: Rfc3339


class Connections(BaseModel):
    """One page."""

    items: list[Connection]
    next_cursor: str | None = Field(description="Null on the last page.")


async def list_following(
    user_id: str, *, cursor: str | None, limit: int, follows: Follows
) -> Connections:
    """The users that the user follows, in order of their ids."""
    edges = (await follows.following(user_id)).values()
    active = ((edge.followee_id, edge.since_ms) for edge in edges if edge.active)
    return _page(active, cursor=cursor, limit=limit, scope=f"following:{user_id}")


async def list_muted(user_id: str, *, cursor: str | None, limit: int, ties: Ties) -> Connections:
    """The users that the user mutes, in order of their ids."""
    mutes = (await ties.mutes(user_id)).values()
    active = ((mute.other_id, mute.since_ms) for mute in mutes if mute.active)
    return _page(active, cursor=cursor, limit=limit, scope=f"muted:{user_id}")


async def list_blocked(user_id: str, *, cursor: str | None, limit: int, ties: Ties) -> Connections:
    """The users that the user blocks, in order of their ids."""
    blocks = await ties.blocks(user_id)
    active = ((block.other_id, block.since_ms) for block in blocks if block.active and block.mine)
    return _page(active, cursor=cursor, limit=limit, scope=f"blocked:{user_id}")


def _page(
    active: Iterable[tuple[str, int]], *, cursor: str | None, limit: int, scope: str
) -> Connections:
    """The page after the cursor, of (user id, since) in order of id."""
    after = decode_cursor(cursor, scope=scope).decode(errors="replace") if cursor else ""
    page = list(islice((entry for entry in active if entry[0] > after), limit + 1))
    items = [Connection(user_id=user_id, since=rfc3339(since)) for user_id, since in page[:limit]]
    more = len(page) > limit
    next_cursor = encode_cursor(items[-1].user_id.encode(), scope=scope) if more else None
    return Connections(items=items, next_cursor=next_cursor)


class _Start(NamedTuple):
    """A page starts after this follower of this bucket. An empty id comes before all others."""

    bucket: FollowerBucket
    follower_id: str


async def list_followers(
    user: User, *, cursor: str | None, limit: int, follows: Follows
) -> Connections:
    """The user's followers, bucket by bucket through all generations."""
    scope = f"followers:{user.user_id}"
    start = _Start(FollowerBucket(0, 0), "")
    if cursor:
        start = _parse(decode_cursor(cursor, scope=scope))
    page = await _active(user, start, limit + 1, follows)
    items = [
        Connection(user_id=edge.follower_id, since=rfc3339(edge.since_ms))
        for _, edge in page[:limit]
    ]
    next_cursor = None
    if len(page) > limit:
        bucket, edge = page[limit - 1]
        next_cursor = encode_cursor(
            f"{bucket.generation}.{bucket.bucket}.{edge.follower_id}".encode(), scope=scope
        )
    return Connections(items=items, next_cursor=next_cursor)


def _parse(payload: bytes) -> _Start:
    # Anyone can compute the checksum, so the payload may still be nonsense.
    try:
        generation, bucket, follower_id = payload.decode().split(".", 2)
        start = _Start(FollowerBucket(int(generation), int(bucket)), follower_id)
        exists = 0 <= start.bucket.bucket < BUCKETS_IN_GENERATION[start.bucket.generation]
    except (ValueError, IndexError) as error:
        raise refused_cursor() from error
    if not exists or start.bucket.generation < 0:
        raise refused_cursor()
    return start


_Found = list[tuple[FollowerBucket, FollowerEdge]]


async def _active(user: User, start: _Start, wanted: int, follows: Follows) -> _Found:
    """The next `wanted` active followers, or all that remain."""
    found = await _active_in_bucket(user, start.bucket, start.follower_id, wanted, follows)
    buckets = _buckets_after(start.bucket, user.generation)
    width = 1
    while len(found) < wanted and (batch := list(islice(buckets, width))):
        missing = wanted - len(found)
        for more in await asyncio.gather(
            *(_active_in_bucket(user, bucket, "", missing, follows) for bucket in batch)
        ):
            found += more
        width = min(2 * width, _MOST_BUCKETS)
    return found[:wanted]


async def _active_in_bucket(
    user: User, bucket: FollowerBucket, after: str, wanted: int, follows: Follows
) -> _Found:
    """Reads on past ended follows, so that they don't shorten the page."""
    found: _Found = []
    while len(found) < wanted:
        edges = await follows.followers(user.user_id, bucket, after=after or None, limit=wanted)
        found += [(bucket, edge) for edge in edges if edge.active]
        if len(edges) < wanted:
            break
        after = edges[-1].follower_id
    return found[:wanted]


def _buckets_after(bucket: FollowerBucket, newest_generation: int) -> Iterator[FollowerBucket]:
    return (later for later in buckets_up_to(newest_generation) if later > bucket)
