"""`Graph` in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from itertools import islice
from typing import Any

from fanfold.adapters.memory.cells import ClusteredTable, Row, Table
from fanfold.adapters.memory.ties import MemoryTies
from fanfold.core.buckets import FollowerBucket, follower_bucket
from fanfold.core.ports import Audience, Follow, FollowerEdge, User


class MemoryGraph(MemoryTies):
    """See `fanfold.core.ports.Graph`."""

    def __init__(self) -> None:
        super().__init__()
        self._users: Table[str] = Table()
        # An edge's columns are always written together, so they share one cell.
        self._followers: ClusteredTable[tuple[str, FollowerBucket], str] = ClusteredTable()
        self._following: ClusteredTable[str, str] = ClusteredTable()

    async def users(self, user_ids: Collection[str]) -> dict[str, User]:
        found = {user_id: self._users.row(user_id) for user_id in user_ids}
        return {user_id: _user(user_id, row) for user_id, row in found.items() if row is not None}

    async def register(self, user_id: str, display_name: str, *, at: int) -> None:
        self._users.write(user_id, at, display_name=display_name)

    async def write_standing(self, user: User, *, at: int) -> None:
        self._users.write(
            user.user_id,
            at,
            follower_count=user.follower_count,
            generation=user.generation,
            delivery=user.delivery,
            pull_since_ms=user.pull_since_ms or 0,  # a number, so that cells compare
            count_position=at,
        )

    async def follower_edges(
        self, followee_id: str, generation: int, follower_ids: Collection[str]
    ) -> dict[str, FollowerEdge]:
        edges = {}
        for follower_id in follower_ids:
            bucket = FollowerBucket(generation, follower_bucket(follower_id, generation))
            row = self._followers.row((followee_id, bucket), follower_id)
            if row is not None and "state" in row:
                edges[follower_id] = _follower_edge(follower_id, generation, row)
        return edges

    async def write_followers(self, followee_id: str, edges: Sequence[FollowerEdge]) -> None:
        for edge in edges:
            bucket = FollowerBucket(
                edge.generation, follower_bucket(edge.follower_id, edge.generation)
            )
            self._followers.write(
                (followee_id, bucket), edge.follower_id, edge.position, state=_state(edge)
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
                row["materialised_follow"] = edge.follow_position
            self._following.write(edge.follower_id, followee_id, edge.position, **row)

    async def mark_materialised(self, followee_id: str, follows: Sequence[tuple[str, int]]) -> None:
        for follower_id, follow_position in follows:
            self._following.write(
                follower_id, followee_id, follow_position, materialised_follow=follow_position
            )

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

    async def audience(self, followee_id: str, bucket: FollowerBucket) -> Audience:
        active = [
            (follower_id, row.get("asleep", False))
            for follower_id, row in self._followers.rows((followee_id, bucket))
            if "state" in row and row["state"][0]
        ]
        awake = [follower_id for follower_id, asleep in active if not asleep]
        return Audience(awake, len(active) - len(awake))

    async def follows(self, user_id: str) -> dict[str, Follow]:
        return {follow.followee_id: follow for follow in self._follows(user_id)}

    async def set_asleep(self, user_id: str, *, asleep: bool, at: int) -> None:
        self._users.write(user_id, at, asleep=asleep, asleep_position=at)

    async def begin_waking(self, user_id: str, *, at: int) -> None:
        self._users.write(user_id, at, woke_position=at)

    async def mark_asleep(
        self, follower_id: str, edges: Sequence[tuple[str, int]], *, asleep: bool, at: int
    ) -> None:
        for followee_id, generation in edges:
            bucket = FollowerBucket(generation, follower_bucket(follower_id, generation))
            self._followers.write((followee_id, bucket), follower_id, at, asleep=asleep)

    async def leave(self, user_id: str, *, at: int) -> None:
        self._users.write(user_id, at, left=True)

    async def everyone(self) -> AsyncIterator[User]:
        for user_id, row in list(self._users.items()):
            yield _user(user_id, row)

    async def everyone_who_follows(self) -> AsyncIterator[str]:
        for user_id in self._following.partitions():
            yield user_id

    async def ping(self) -> None:
        return

    def _follows(self, user_id: str) -> Iterator[Follow]:
        for followee_id, row in self._following.rows(user_id):
            if "state" not in row:
                continue  # marked as materialised, but the edge itself never came
            active, since_ms, follow_position, position = row["state"]
            yield Follow(
                followee_id=followee_id,
                active=active,
                since_ms=since_ms,
                follow_position=follow_position,
                position=position,
                materialised=row.get("materialised_follow") == follow_position,
            )


def _state(edge: FollowerEdge) -> tuple[bool, int, int, int]:
    return (edge.active, edge.since_ms, edge.follow_position, edge.position)


def _follower_edge(follower_id: str, generation: int, row: Row) -> FollowerEdge:
    active, since_ms, follow_position, position = row["state"]
    return FollowerEdge(
        follower_id=follower_id,
        generation=generation,
        active=active,
        since_ms=since_ms,
        follow_position=follow_position,
        position=position,
    )


def _user(user_id: str, row: Row) -> User:
    return User(**{**row, "user_id": user_id, "pull_since_ms": row.get("pull_since_ms") or None})
