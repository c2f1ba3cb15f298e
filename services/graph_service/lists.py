"""Pages of followed, muted and blocked users and of followers.

Lists of one's own choices have the newest first: they are read whole, and they are bounded. The same holds for the followers of a user who
has few. A celebrity has millions of followers in thousands of buckets: they come in the order of their buckets, which is stable and has no
meaning. Each page says
which of the two it is, and its cursor keeps it.

A page is full unless the list ends with it. The exception: one request skips a bounded number of ended follows, so where they are many, a
page of followers is short, or empty, and still has a cursor.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from heapq import nsmallest
from itertools import islice
from typing import Literal, NamedTuple

from fanfold.core.buckets import (
    BUCKETS_IN_GENERATION,
    FIRST_BUCKET,
    FollowerBucket,
    buckets_up_to,
)
from fanfold.core.ports import FollowerEdge, Follows, Ties, User
from fanfold.http.cursors import decode_cursor, encode_cursor, refused_cursor
from fanfold.http.problems import Invalid

ROWS_A_READ = 100
"""The fewest rows of one read: a page of one would otherwise read two rows at a time past all follows that have ended."""

READS_A_REQUEST = 64
"""The most reads of one request, several at once: a generation that has just opened has many buckets, and most of them are empty."""


MOST_SORTED = 2_000
"""Followers that are read whole for each page and sorted, ended follows among them: one partition of less than 100 KB."""

Order = Literal["newest", "stable"]

_DIGITS = re.compile(r"[0-9]{1,18}")


class Listed(NamedTuple):
    """One page: each other user's id, with the start of the follow, the mute or the block; the cursor of the next page; the list's order."""

    entries: list[tuple[str, int]]
    next_cursor: str | None
    order: Order = "newest"


async def list_following(
    user_id: str, *, cursor: str | None, limit: int, follows: Follows
) -> Listed:
    """The users that the user follows, the newest follow first."""
    edges = (await follows.following(user_id)).values()
    active = ((edge.followee_id, edge.since_ms) for edge in edges if edge.active)
    return _page(active, cursor=cursor, limit=limit, scope=f"following:{user_id}")


async def list_muted(user_id: str, *, cursor: str | None, limit: int, ties: Ties) -> Listed:
    """The users that the user mutes, the newest mute first."""
    mutes = (await ties.mutes(user_id)).values()
    active = ((mute.other_id, mute.since_ms) for mute in mutes if mute.active)
    return _page(active, cursor=cursor, limit=limit, scope=f"muted:{user_id}")


async def list_blocked(user_id: str, *, cursor: str | None, limit: int, ties: Ties) -> Listed:
    """The users that the user blocks, the newest block first."""
    blocks = (await ties.blocks_made(user_id)).values()
    active = ((block.other_id, block.since_ms) for block in blocks if block.active)
    return _page(active, cursor=cursor, limit=limit, scope=f"blocked:{user_id}")


def _page(
    active: Iterable[tuple[str, int]], *, cursor: str | None, limit: int, scope: str
) -> Listed:
    """The page after the cursor, of (user id, since) with the newest first; those of one time in order of id."""
    # As tuples that compare in that order: with a function as key, 20,000 of them would hold the event loop for 20 ms.
    ordered = [(-since_ms, user_id) for user_id, since_ms in active]
    if cursor:
        after = _order_of(decode_cursor(cursor, scope=scope))
        ordered = [entry for entry in ordered if entry > after]
    page = nsmallest(limit + 1, ordered)
    entries = [(user_id, -negative_ms) for negative_ms, user_id in page[:limit]]
    if len(page) <= limit:
        return Listed(entries, None)
    user_id, since_ms = entries[-1]
    return Listed(entries, encode_cursor(f"{since_ms}.{user_id}".encode(), scope=scope))


def _order_of(payload: bytes) -> tuple[int, str]:
    # Anyone can compute the checksum, so the payload may still be nonsense.
    since_ms, _, user_id = payload.decode(errors="replace").partition(".")
    if not user_id or _DIGITS.fullmatch(since_ms) is None:
        raise refused_cursor()
    return -int(since_ms), user_id


class _Start(NamedTuple):
    """A page starts after this follower of this bucket. An empty id comes before all others."""

    bucket: FollowerBucket
    follower_id: str


async def list_followers(user: User, *, cursor: str | None, limit: int, follows: Follows) -> Listed:
    """The user's followers: the newest first if they are few, else in a stable order.

    Answers 422 to the cursor of a list that was sorted, and has grown too long for that.
    """
    scope = f"followers/newest:{user.user_id}"
    continued = bool(cursor) and _is_of(cursor or "", scope)
    if not cursor or continued:
        edges = await _few_followers(user, follows)
        if edges is not None:
            active = ((edge.follower_id, edge.since_ms) for edge in edges if edge.active)
            return _page(active, cursor=cursor, limit=limit, scope=scope)
        if continued:
            raise refused_cursor()
    return await _by_bucket(user, cursor, limit, follows)


async def _few_followers(user: User, follows: Follows) -> list[FollowerEdge] | None:
    """All follows of the user, ended ones too; None if they are many, or in several partitions."""
    if user.generation > 0 or user.follower_count > MOST_SORTED:
        return None
    edges = await follows.followers(user.user_id, FIRST_BUCKET, limit=MOST_SORTED + 1)
    return edges if len(edges) <= MOST_SORTED else None


def _is_of(cursor: str, scope: str) -> bool:
    try:
        decode_cursor(cursor, scope=scope)
    except Invalid:
        return False
    return True


async def _by_bucket(user: User, cursor: str | None, limit: int, follows: Follows) -> Listed:
    """A page of the user's followers, bucket by bucket through all generations."""
    scope = f"followers:{user.user_id}"
    start = _Start(FollowerBucket(0, 0), "")
    if cursor:
        start = _parse(decode_cursor(cursor, scope=scope), user.generation)
    found, rest = await _active(user, start, limit + 1, follows)
    if len(found) > limit:
        bucket, edge = found[limit - 1]
        rest = _Start(bucket, edge.follower_id)
    entries = [(edge.follower_id, edge.since_ms) for _, edge in found[:limit]]
    return Listed(entries, rest and encode_cursor(_packed(rest), scope=scope), "stable")


def _packed(start: _Start) -> bytes:
    return f"{start.bucket.generation}.{start.bucket.bucket}.{start.follower_id}".encode()


def _parse(payload: bytes, newest_generation: int) -> _Start:
    # Anyone can compute the checksum, so the payload may still be nonsense.
    try:
        generation, bucket, follower_id = payload.decode().split(".", 2)
        start = _Start(FollowerBucket(int(generation), int(bucket)), follower_id)
        exists = 0 <= start.bucket.bucket < BUCKETS_IN_GENERATION[start.bucket.generation]
    except (ValueError, IndexError) as error:
        raise refused_cursor() from error
    if not exists or not 0 <= start.bucket.generation <= newest_generation:
        raise refused_cursor()
    return start


_Found = list[tuple[FollowerBucket, FollowerEdge]]


async def _active(
    user: User, start: _Start, wanted: int, follows: Follows
) -> tuple[_Found, _Start | None]:
    """The next `wanted` active followers, and where the rest begins (None: nothing remains).

    Fewer where the list ends, or after as many reads as a request may make.
    """
    found: _Found = []
    rows, reads, width = max(ROWS_A_READ, wanted), 0, 1
    while True:
        buckets = list(islice(buckets_up_to(user.generation, first=start.bucket), width))
        pages = await asyncio.gather(
            *(
                follows.followers(
                    user.user_id,
                    bucket,
                    after=start.follower_id or None if bucket == start.bucket else None,
                    limit=rows,
                )
                for bucket in buckets
            )
        )
        reads += len(buckets)
        rest = _next(buckets[-1], user.generation)
        for bucket, edges in zip(buckets, pages, strict=True):
            found += [(bucket, edge) for edge in edges if edge.active]
            if len(edges) == rows:
                # This bucket has more, and it comes before the others.
                rest = _Start(bucket, edges[-1].follower_id)
                break
        if len(found) >= wanted or rest is None or reads >= READS_A_REQUEST:
            return found[:wanted], rest
        start, width = rest, min(2 * width, READS_A_REQUEST - reads)


def _next(bucket: FollowerBucket, newest_generation: int) -> _Start | None:
    following = next(islice(buckets_up_to(newest_generation, first=bucket), 1, None), None)
    return None if following is None else _Start(following, "")
