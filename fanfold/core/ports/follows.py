"""The follow graph. Each edge is stored twice: for its followee and for its follower."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from fanfold.core.buckets import FollowerBucket


@dataclass(frozen=True, slots=True)
class FollowerEdge:
    """The followee's row of an edge: it decides counts and deliveries.

    `follow_offset` identifies the follow: it is the offset of the event that last made the edge active. `offset` is the
    offset of the last event applied to the edge.
    """

    follower_id: str
    generation: int
    active: bool
    since_ms: int
    follow_offset: int
    offset: int


@dataclass(frozen=True, slots=True)
class Follow:
    """The follower's row of an edge: feed reads filter by it.

    `materialised` says that the followee's posts are in the follower's timeline: the backfill of exactly this follow has
    finished.
    """

    followee_id: str
    active: bool
    since_ms: int
    follow_offset: int
    offset: int
    materialised: bool = False


class Audience(NamedTuple):
    """One bucket's active followers: the awake ones, who receive deliveries, and the number of those asleep."""

    awake_ids: list[str]
    asleep: int


class FollowingCounts(NamedTuple):
    """A user's active follows, and all of them, those that ended too."""

    active: int
    rows: int


class Follows(Protocol):
    """Edges of the follow graph. The fan-out worker alone writes them."""

    async def follower_edges(
        self, followee_ids: Collection[str], generation: int, follower_ids: Collection[str]
    ) -> dict[tuple[str, str], FollowerEdge]:
        """The edges between these users that are in this generation, active or not, by followee and follower."""

    async def write_followers(self, followee_id: str, edges: Sequence[FollowerEdge]) -> None:
        """Write the followee's row of each edge, with the edge's own `offset`."""

    async def write_following(
        self, followee_id: str, edges: Sequence[FollowerEdge], *, materialised: Collection[str] = ()
    ) -> None:
        """Write the follower's row of each edge, with the edge's own `offset`. Edges of the `materialised` followers get that mark."""

    async def mark_materialised(self, followee_id: str, follows: Sequence[tuple[str, int]]) -> None:
        """Mark (follower id, follow offset) pairs as materialised: the mark is for that follow and no later one."""

    async def mark_asleep(
        self, follower_id: str, edges: Sequence[tuple[str, int]], *, asleep: bool, offset: int
    ) -> None:
        """Mark a follower's edges, given as (followee id, generation) pairs, for `audience`. A mark alone makes no edge."""

    async def followers(
        self,
        followee_id: str,
        bucket: FollowerBucket,
        *,
        after: str | None = None,
        limit: int | None = None,
    ) -> list[FollowerEdge]:
        """The edges of one bucket in order of follower id, active or not. By default the whole bucket."""

    async def audience(
        self, followee_id: str, bucket: FollowerBucket, *, expected: int | None = None
    ) -> Audience:
        """One bucket's active followers, for a delivery: about `expected`, if that is known. It changes only what this costs."""

    async def following(self, user_id: str) -> dict[str, Follow]:
        """All of a user's follows, active or not, in order of followee id."""

    async def followee_ids(
        self, user_id: str, *, after: str | None = None, limit: int | None = None
    ) -> list[str]:
        """The ids of `following` in order, without the rest of the rows: at most `limit` of those behind `after`.

        There may be more: an id of which only a mark is written.
        """

    async def following_counts(self, user_id: str) -> FollowingCounts:
        """How many users a user follows. Counted where the rows are: an engine reads them and returns two numbers."""

    async def following_rows(self, user_id: str) -> int:
        """How many users a user has ever followed: the `rows` of `following_counts` alone, for half of what both cost."""

    async def has_followed(self, user_id: str) -> bool:
        """Whether a user has ever followed someone; one row is read."""

    async def follows_of(self, user_id: str, followee_ids: Collection[str]) -> dict[str, Follow]:
        """A user's follows of these others by followee id, active or not. Users who were never followed are absent."""

    async def followed_by(self, user_id: str, other_ids: Collection[str]) -> dict[str, Follow]:
        """The follows of one user by these others, active or not, by the other's id. Users who never followed are absent."""

    def all_follower_ids(self, *, after: str | None = None) -> AsyncIterator[str]:
        """The id of every user who follows or followed someone, in an order of the engine's, read a page at a time.

        `after`: only those behind that id in this order.
        """
