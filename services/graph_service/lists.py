"""Pages of those whom a user follows, mutes and blocks, and of those who follow a user: full unless the list ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from pydantic import BaseModel, Field

from fanfold.core.buckets import BUCKETS_IN_GENERATION, FollowerBucket, buckets_up_to
from fanfold.core.clock import rfc3339
from fanfold.core.ports import FollowerEdge, Stores, User
from fanfold.http.cursors import decode_cursor, encode_cursor, refused_cursor
from fanfold.http.openapi import Rfc3339
from fanfold.http.problems import needs

# Buckets asked at once: a generation that has just opened has many, and few of them hold anyone.
_WIDEST = 64


class Connection(BaseModel):
    """The other end of a follow, a mute or a block."""

    user_id: str
    since: Rfc3339


class Connections(BaseModel):
    """One page."""

    items: list[Connection]
    next_cursor: str | None = Field(description="Null on the last page.")


async def list_following(
    user_id: str, *, cursor: str | None, limit: int, stores: Stores
) -> Connections:
    """Whom the user follows, in order of their ids."""
    with needs("the tables"):
        follows = await stores.follows.following(user_id)
    active = ((each.followee_id, each.since_ms) for each in follows.values() if each.active)
    return _page(active, cursor=cursor, limit=limit, scope=f"following:{user_id}")


async def list_muted(
    user_id: str, *, cursor: str | None, limit: int, stores: Stores
) -> Connections:
    """Whom the user mutes, in order of their ids."""
    with needs("the tables"):
        mutes = await stores.ties.mutes(user_id)
    active = ((each.other_id, each.since_ms) for each in mutes.values() if each.active)
    return _page(active, cursor=cursor, limit=limit, scope=f"muted:{user_id}")


async def list_blocked(
    user_id: str, *, cursor: str | None, limit: int, stores: Stores
) -> Connections:
    """Whom the user blocks, in order of their ids."""
    with needs("the tables"):
        blocks = await stores.ties.blocks(user_id)
    active = ((each.other_id, each.since_ms) for each in blocks if each.active and each.mine)
    return _page(active, cursor=cursor, limit=limit, scope=f"blocked:{user_id}")


def _page(
    active: Iterable[tuple[str, int]], *, cursor: str | None, limit: int, scope: str
) -> Connections:
    """The page after the cursor, of (user id, since) in order of id."""
    after = decode_cursor(cursor, scope=scope).decode(errors="replace") if cursor else ""
    page = list(islice((each for each in active if each[0] > after), limit + 1))
    items = [Connection(user_id=user_id, since=rfc3339(since)) for user_id, since in page[:limit]]
    more = len(page) > limit
    next_cursor = encode_cursor(items[-1].user_id.encode(), scope=scope) if more else None
    return Connections(items=items, next_cursor=next_cursor)


class _Place(NamedTuple):
    """After which follower of which bucket a walk goes on. An empty id is before all."""

    bucket: FollowerBucket
    follower_id: str


async def list_followers(
    user: User, *, cursor: str | None, limit: int, stores: Stores
) -> Connections:
    """Who follows the user, bucket by bucket through all generations."""
    scope = f"followers:{user.user_id}"
    start = _Place(FollowerBucket(0, 0), "")
    if cursor:
        start = _parse(decode_cursor(cursor, scope=scope))
    with needs("the tables"):
        page = await _active(user, start, limit + 1, stores)
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


def _parse(payload: bytes) -> _Place:
    # Anyone can compute the checksum, so what it covers may still be nonsense.
    try:
        generation, bucket, follower_id = payload.decode().split(".", 2)
        place = _Place(FollowerBucket(int(generation), int(bucket)), follower_id)
        known = 0 <= place.bucket.bucket < BUCKETS_IN_GENERATION[place.bucket.generation]
    except (ValueError, IndexError) as error:
        raise refused_cursor() from error
    if not known or place.bucket.generation < 0:
        raise refused_cursor()
    return place


_Found = list[tuple[FollowerBucket, FollowerEdge]]


async def _active(user: User, start: _Place, wanted: int, stores: Stores) -> _Found:
    """The next `wanted` active followers, or all that are left."""
    found = await _active_in_bucket(user, start.bucket, start.follower_id, wanted, stores)
    buckets = _buckets_after(start.bucket, user.generation)
    width = 1
    while len(found) < wanted and (batch := list(islice(buckets, width))):
        missing = wanted - len(found)
        for more in await asyncio.gather(
            *(_active_in_bucket(user, bucket, "", missing, stores) for bucket in batch)
        ):
            found += more
        width = min(2 * width, _WIDEST)
    return found[:wanted]


async def _active_in_bucket(
    user: User, bucket: FollowerBucket, after: str, wanted: int, stores: Stores
) -> _Found:
    """Reads on past those who unfollowed, so that they don't shorten the page."""
    found: _Found = []
    while len(found) < wanted:
        edges = await stores.follows.followers(
            user.user_id, bucket, after=after or None, limit=wanted
        )
        found += [(bucket, edge) for edge in edges if edge.active]
        if len(edges) < wanted:
            break
        after = edges[-1].follower_id
    return found[:wanted]


def _buckets_after(bucket: FollowerBucket, newest_generation: int) -> Iterator[FollowerBucket]:
    return (each for each in buckets_up_to(newest_generation) if each > bucket)
