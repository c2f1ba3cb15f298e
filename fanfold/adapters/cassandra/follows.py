"""`Follows` in Cassandra."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterator, Sequence

from fanfold.adapters.cassandra.batches import BatchWriter
from fanfold.adapters.cassandra.multi_get import MultiGet
from fanfold.adapters.cassandra.packed import routing_key
from fanfold.adapters.cassandra.replica_sets import ReplicaSets
from fanfold.adapters.cassandra.session import CassandraSession, Row
from fanfold.adapters.cassandra.timestamps import at_offset
from fanfold.core.buckets import FollowerBucket, follower_bucket
from fanfold.core.ports import Audience, Follow, FollowerEdge, FollowingCounts

EDGES_OF = """
SELECT user_id, follower_id, active, since_ms, follow_offset, offset FROM followers_by_user
WHERE user_id IN ? AND follower_id IN ? AND generation = ? AND bucket = ?
"""
FOLLOWERS = """
SELECT follower_id, active, since_ms, follow_offset, offset FROM followers_by_user
WHERE user_id = ? AND generation = ? AND bucket = ? AND follower_id > ? LIMIT ?
"""
# Only the columns that a delivery needs: it reads them every time.
AUDIENCE = """
SELECT follower_id, active, asleep FROM followers_by_user WHERE user_id = ? AND generation = ? AND bucket = ?
"""
AUDIENCES = """
SELECT user_id, follower_id, active, asleep FROM followers_by_user
WHERE user_id IN ? AND generation = ? AND bucket = ?
"""
FOLLOWING = """
SELECT followee_id, active, since_ms, follow_offset, offset, materialised_follow
FROM following_by_user WHERE user_id = ?
"""
# One row instead of thousands. Cassandra still reads the user's partition, which `Settings.max_following` bounds.
COUNT_FOLLOWING = "SELECT COUNT(active) FROM following_by_user WHERE user_id = ?"
COUNT_ACTIVE = """
SELECT COUNT(active) FROM following_by_user WHERE user_id = ? AND active = true ALLOW FILTERING
"""
FOLLOWEE_IDS = (
    "SELECT followee_id FROM following_by_user WHERE user_id = ? AND followee_id > ? LIMIT ?"
)
FOLLOWS_OF = FOLLOWING + " AND followee_id IN ?"
FOLLOWED_BY = """
SELECT user_id, followee_id, active, since_ms, follow_offset, offset, materialised_follow
FROM following_by_user WHERE user_id IN ? AND followee_id = ?
"""
WRITE_FOLLOWER = """
INSERT INTO followers_by_user
(user_id, generation, bucket, follower_id, active, since_ms, follow_offset, offset)
VALUES (?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?
"""
WRITE_FOLLOWING = """
INSERT INTO following_by_user (user_id, followee_id, active, since_ms, follow_offset, offset)
VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ?
"""
WRITE_MATERIALISED = """
INSERT INTO following_by_user
(user_id, followee_id, materialised_follow, active, since_ms, follow_offset, offset)
VALUES (?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?
"""
MARK_MATERIALISED = """
INSERT INTO following_by_user (user_id, followee_id, materialised_follow) VALUES (?, ?, ?) USING TIMESTAMP ?
"""
MARK_ASLEEP = """
INSERT INTO followers_by_user (user_id, generation, bucket, follower_id, asleep)
VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?
"""
ALL_FOLLOWER_IDS = "SELECT DISTINCT user_id FROM following_by_user"
FOLLOWER_IDS_AFTER = ALL_FOLLOWER_IDS + " WHERE token(user_id) > token(?)"


NO_LIMIT = 2**31 - 1
SMALL_AUDIENCE = 200
"""Followers: 25 such audiences are one page of an answer, and are read together. Larger ones would wait for each other."""


class CassandraFollows:
    """See `fanfold.core.ports.Follows`."""

    def __init__(
        self, session: CassandraSession, *, batches: BatchWriter, replica_sets: ReplicaSets
    ) -> None:
        self._session = session
        self._batches = batches
        self._edges_of: MultiGet[tuple[str, str]] = MultiGet(
            session,
            session.statement(EDGES_OF),
            replica_sets=replica_sets,
            routing_key=lambda key, *bucket: _bucket_key(key[0], *bucket),
            columns=2,
        )
        self._followers = session.statement(FOLLOWERS)
        self._audience = session.statement(AUDIENCE)
        self._audiences: MultiGet[str] = MultiGet(
            session,
            session.statement(AUDIENCES),
            replica_sets=replica_sets,
            routing_key=_bucket_key,
        )
        self._following = session.statement(FOLLOWING)
        self._count_following = session.statement(COUNT_FOLLOWING)
        self._count_active = session.statement(COUNT_ACTIVE)
        self._followee_ids = session.statement(FOLLOWEE_IDS)
        self._follows_of = session.statement(FOLLOWS_OF)
        self._followed_by: MultiGet[str] = MultiGet(
            session,
            session.statement(FOLLOWED_BY),
            replica_sets=replica_sets,
            routing_key=lambda key, *_: key.encode(),
        )
        self._write_follower = session.statement(WRITE_FOLLOWER)
        self._write_following = session.statement(WRITE_FOLLOWING)
        self._write_materialised = session.statement(WRITE_MATERIALISED)
        self._mark_materialised = session.statement(MARK_MATERIALISED)
        self._mark_asleep = session.statement(MARK_ASLEEP)
        self._all_follower_ids = session.statement(ALL_FOLLOWER_IDS)
        self._follower_ids_after = session.statement(FOLLOWER_IDS_AFTER)

    async def follower_edges(
        self, followee_ids: Collection[str], generation: int, follower_ids: Collection[str]
    ) -> dict[tuple[str, str], FollowerEdge]:
        by_bucket: defaultdict[int, list[tuple[str, str]]] = defaultdict(list)
        for follower_id in dict.fromkeys(follower_ids):
            keys = by_bucket[follower_bucket(follower_id, generation)]
            keys += [(followee_id, follower_id) for followee_id in followee_ids]
        pages = await asyncio.gather(
            *(self._edges_of.rows(keys, generation, bucket) for bucket, keys in by_bucket.items())
        )
        return {
            row[:2]: _follower_edge(generation, row[1:])
            for page in pages
            for row in page
            if _is_edge(row[1:])
        }

    async def write_followers(self, followee_id: str, edges: Sequence[FollowerEdge]) -> None:
        packing = self._session.packing(self._write_follower)
        await self._batches.write(
            packing.row(
                followee_id,
                edge.generation,
                follower_bucket(edge.follower_id, edge.generation),
                edge.follower_id,
                *_state(edge),
            )
            for edge in edges
        )

    async def write_following(
        self,
        followee_id: str,
        edges: Sequence[FollowerEdge],
        *,
        materialised: Collection[str] = (),
    ) -> None:
        plain = self._session.packing(self._write_following)
        marked = self._session.packing(self._write_materialised)
        await self._batches.write(
            marked.row(edge.follower_id, followee_id, edge.follow_offset, *_state(edge))
            if edge.follower_id in materialised
            else plain.row(edge.follower_id, followee_id, *_state(edge))
            for edge in edges
        )

    async def mark_materialised(self, followee_id: str, follows: Sequence[tuple[str, int]]) -> None:
        packing = self._session.packing(self._mark_materialised)
        await self._batches.write(
            packing.row(follower_id, followee_id, follow_offset, at_offset(follow_offset))
            for follower_id, follow_offset in follows
        )

    async def mark_asleep(
        self, follower_id: str, edges: Sequence[tuple[str, int]], *, asleep: bool, offset: int
    ) -> None:
        packing = self._session.packing(self._mark_asleep)
        await self._batches.write(
            packing.row(
                followee_id,
                generation,
                follower_bucket(follower_id, generation),
                follower_id,
                asleep,
                at_offset(offset),
            )
            for followee_id, generation in edges
        )

    async def followers(
        self,
        followee_id: str,
        bucket: FollowerBucket,
        *,
        after: str | None = None,
        limit: int | None = None,
    ) -> list[FollowerEdge]:
        edges: list[FollowerEdge] = []
        while True:
            most = NO_LIMIT if limit is None else limit - len(edges)
            start = (followee_id, *bucket, after or "")
            rows = await self._session.rows(self._followers, *start, most)
            edges += [_follower_edge(bucket.generation, row) for row in rows if _is_edge(row)]
            if limit is None or not rows or len(edges) == limit:
                return edges
            after = rows[-1][0]  # some rows were marks without an edge: read on

    async def audience(
        self, followee_id: str, bucket: FollowerBucket, *, expected: int | None = None
    ) -> Audience:
        if expected is not None and expected <= SMALL_AUDIENCE:
            rows = await self._audiences.rows((followee_id,), *bucket)
        else:
            rows = await self._session.rows(self._audience, followee_id, *bucket)
        awake = [row[-3] for row in rows if row[-2] and not row[-1]]
        return Audience(awake, sum(bool(row[-2] and row[-1]) for row in rows))

    async def following(self, user_id: str) -> dict[str, Follow]:
        follows: dict[str, Follow] = {}
        # By page, because 20,000 follows made in one step would hold the event loop for long.
        async for page in self._session.pages(self._following, user_id):
            follows.update((follow.followee_id, follow) for follow in _follows(page))
        return follows

    async def followee_ids(
        self, user_id: str, *, after: str | None = None, limit: int | None = None
    ) -> list[str]:
        most = NO_LIMIT if limit is None else limit
        rows = await self._session.rows(self._followee_ids, user_id, after or "", most)
        return [row[0] for row in rows]

    async def following_counts(self, user_id: str) -> FollowingCounts:
        active, rows = await asyncio.gather(
            self._session.rows(self._count_active, user_id), self.following_rows(user_id)
        )
        return FollowingCounts(active[0][0], rows)

    async def following_rows(self, user_id: str) -> int:
        rows: int = (await self._session.rows(self._count_following, user_id))[0][0]
        return rows

    async def has_followed(self, user_id: str) -> bool:
        return bool(await self.followee_ids(user_id, limit=1))

    async def follows_of(self, user_id: str, followee_ids: Collection[str]) -> dict[str, Follow]:
        rows = await self._session.rows(self._follows_of, user_id, list({*followee_ids}))
        return {follow.followee_id: follow for follow in _follows(rows)}

    async def followed_by(self, user_id: str, other_ids: Collection[str]) -> dict[str, Follow]:
        rows = await self._followed_by.rows(other_ids, user_id)
        return {other_id: follow for other_id, *row in rows for follow in _follows([tuple(row)])}

    async def all_follower_ids(self, *, after: str | None = None) -> AsyncIterator[str]:
        pages = (
            self._session.pages(self._all_follower_ids)
            if after is None
            else self._session.pages(self._follower_ids_after, after)
        )
        async for page in pages:
            for (user_id,) in page:
                yield user_id


def _state(edge: FollowerEdge) -> tuple[bool, int, int, int, int]:
    return (
        edge.active,
        edge.since_ms,
        edge.follow_offset,
        edge.offset,
        at_offset(edge.offset),
    )


def _is_edge(row: Row) -> bool:
    return row[4] is not None  # a row may hold only a mark of sleep


def _follower_edge(generation: int, row: Row) -> FollowerEdge:
    follower_id, active, since_ms, follow_offset, offset = row
    return FollowerEdge(follower_id, generation, active, since_ms, follow_offset, offset)


def _follows(rows: Sequence[Row]) -> Iterator[Follow]:
    for followee_id, active, since_ms, follow_offset, offset, materialised_follow in rows:
        if offset is None:
            continue  # a mark whose edge is not written
        yield Follow(
            followee_id=followee_id,
            active=active,
            since_ms=since_ms,
            follow_offset=follow_offset,
            offset=offset,
            materialised=materialised_follow == follow_offset,
        )


def _bucket_key(followee_id: str, generation: int, bucket: int) -> bytes:
    return routing_key(followee_id.encode(), generation.to_bytes(4), bucket.to_bytes(4))
