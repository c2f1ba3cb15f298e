"""`Follows` in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from itertools import islice
from typing import Any

from fanfold.adapters.memory.cells import ClusteredTable, Row
from fanfold.core.buckets import FollowerBucket, follower_bucket
from fanfold.core.ports import Audience, Follow, FollowerEdge, FollowingCounts


class MemoryFollows:
    """See `fanfold.core.ports.Follows`."""

    def __init__(self) -> None:
        # An edge's columns are always written together, so they share one cell.
        self._followers: ClusteredTable[tuple[str, FollowerBucket], str] = ClusteredTable()
        self._following: ClusteredTable[str, str] = ClusteredTable()

    async def follower_edges(
        self, followee_ids: Collection[str], generation: int, follower_ids: Collection[str]
    ) -> dict[tuple[str, str], FollowerEdge]:
        edges = {}
        for follower_id in follower_ids:
            bucket = FollowerBucket(generation, follower_bucket(follower_id, generation))
            for followee_id in followee_ids:
                row = self._followers.row((followee_id, bucket), follower_id)
                if row is not None and "state" in row:
                    edges[followee_id, follower_id] = _follower_edge(follower_id, generation, row)
        return edges

    async def write_followers(self, followee_id: str, edges: Sequence[FollowerEdge]) -> None:
        for edge in edges:
            bucket = FollowerBucket(
                edge.generation, follower_bucket(edge.follower_id, edge.generation)
            )
            self._followers.write(
                (followee_id, bucket), edge.follower_id, edge.offset, state=_state(edge)
            )

    async def write_following(
        self,
        followee_id: str,
        edges: Sequence[FollowerEdge],
        *,
        materialised: Collection[str] = (),
    ) -> None:
        for edge in edges:
            row: dict[str, Any] = {"state": _state(edge)}
            if edge.follower_id in materialised:
                row["materialised_follow"] = edge.follow_offset
            self._following.write(edge.follower_id, followee_id, edge.offset, **row)

    async def mark_materialised(self, followee_id: str, follows: Sequence[tuple[str, int]]) -> None:
        for follower_id, follow_offset in follows:
            self._following.write(
                follower_id, followee_id, follow_offset, materialised_follow=follow_offset
            )

    async def mark_asleep(
        self, follower_id: str, edges: Sequence[tuple[str, int]], *, asleep: bool, offset: int
    ) -> None:
        for followee_id, generation in edges:
            bucket = FollowerBucket(generation, follower_bucket(follower_id, generation))
            self._followers.write((followee_id, bucket), follower_id, offset, asleep=asleep)

    async def followers(
        self,
        followee_id: str,
        bucket: FollowerBucket,
        *,
        after: str | None = None,
        limit: int | None = None,
    ) -> list[FollowerEdge]:
        rows = self._followers.rows((followee_id, bucket), above=after)
        edges = (
            _follower_edge(follower_id, bucket.generation, row)
            for follower_id, row in rows
            if "state" in row
        )
        return list(islice(edges, limit))

    async def audience(
        self, followee_id: str, bucket: FollowerBucket, *, expected: int | None = None
    ) -> Audience:
        active = [
            (follower_id, row.get("asleep", False))
            for follower_id, row in self._followers.rows((followee_id, bucket))
            if "state" in row and row["state"][0]
        ]
        awake = [follower_id for follower_id, asleep in active if not asleep]
        return Audience(awake, len(active) - len(awake))

    async def following(self, user_id: str) -> dict[str, Follow]:
        return {
            follow.followee_id: follow
            async for page in self._following.pages(user_id)
            for follow in _follows(page)
        }

    async def followee_ids(
        self, user_id: str, *, after: str | None = None, limit: int | None = None
    ) -> list[str]:
        rows = self._following.rows(user_id, above=after)
        return [followee_id for followee_id, _ in islice(rows, limit)]

    async def following_counts(self, user_id: str) -> FollowingCounts:
        follows = (await self.following(user_id)).values()
        return FollowingCounts(sum(follow.active for follow in follows), len(follows))

    async def following_rows(self, user_id: str) -> int:
        return (await self.following_counts(user_id)).rows

    async def has_followed(self, user_id: str) -> bool:
        return any(True for _ in self._following.rows(user_id))

    async def follows_of(self, user_id: str, followee_ids: Collection[str]) -> dict[str, Follow]:
        rows = ((other_id, self._following.row(user_id, other_id)) for other_id in followee_ids)
        found = [(other_id, row) for other_id, row in rows if row is not None]
        return {follow.followee_id: follow for follow in _follows(found)}

    async def followed_by(self, user_id: str, other_ids: Collection[str]) -> dict[str, Follow]:
        rows = ((other_id, self._following.row(other_id, user_id)) for other_id in other_ids)
        return {
            other_id: follow
            for other_id, row in rows
            if row is not None
            for follow in _follows([(user_id, row)])
        }

    async def all_follower_ids(self, *, after: str | None = None) -> AsyncIterator[str]:
        for user_id in sorted(self._following.partitions()):
            if after is None or user_id > after:
                yield user_id


def _follows(rows: Sequence[tuple[str, Row]]) -> Iterator[Follow]:
    for followee_id, row in rows:
        if "state" not in row:
            continue  # a mark whose edge is not written
        active, since_ms, follow_offset, offset = row["state"]
        yield Follow(
            followee_id=followee_id,
            active=active,
            since_ms=since_ms,
            follow_offset=follow_offset,
            offset=offset,
            materialised=row.get("materialised_follow") == follow_offset,
        )


def _state(edge: FollowerEdge) -> tuple[bool, int, int, int]:
    return (edge.active, edge.since_ms, edge.follow_offset, edge.offset)


def _follower_edge(follower_id: str, generation: int, row: Row) -> FollowerEdge:
    active, since_ms, follow_offset, offset = row["state"]
    return FollowerEdge(
        follower_id=follower_id,
        generation=generation,
        active=active,
        since_ms=since_ms,
        follow_offset=follow_offset,
        offset=offset,
    )
