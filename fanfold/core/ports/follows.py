"""The follow graph: each edge twice, as its followee and as its follower sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from fanfold.core.buckets import FollowerBucket


@dataclass(frozen=True, slots=True)
class FollowerEdge:
    """An edge as its followee sees it: the judge of counts and of deliveries.

    `follow_offset` names the follow: the offset that made the edge active (its last time). `offset` is the
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
    """The same edge as its follower sees it: what a feed read filters by.

    `materialised` says that the followee's posts are in the follower's timeline: a backfill has finished
    that covers exactly this follow.
    """

    followee_id: str
    active: bool
    since_ms: int
    follow_offset: int
    offset: int
    materialised: bool = False


class Audience(NamedTuple):
    """One bucket's active followers: those to deliver to, and how many are left out because they sleep."""

    reader_ids: list[str]
    asleep: int


class Follows(Protocol):
    """Edges of the follow graph. The fan-out worker alone writes them."""

    async def follower_edges(
        self, followee_id: str, generation: int, follower_ids: Collection[str]
    ) -> dict[str, FollowerEdge]:
        """Those followers' edges that are in that generation, active or not."""

    async def write_followers(self, followee_id: str, edges: Sequence[FollowerEdge]) -> None:
        """Write each edge on its followee's side, each with its own `offset`."""

    async def write_following(
        self, followee_id: str, edges: Sequence[FollowerEdge], *, materialised: Collection[str] = ()
    ) -> None:
        """Write each edge on its follower's side, likewise; those of the `materialised` followers with their mark."""

    async def mark_materialised(self, followee_id: str, follows: Sequence[tuple[str, int]]) -> None:
        """Mark (follower id, follow offset) pairs: that follow, and no later one, is backfilled."""

    async def mark_asleep(
        self, follower_id: str, edges: Sequence[tuple[str, int]], *, asleep: bool, offset: int
    ) -> None:
        """Mark a follower's edges, as (followee id, generation) pairs, for `audience`. Marking what isn't there adds no edge."""

    async def followers(
        self,
        followee_id: str,
        bucket: FollowerBucket,
        *,
        after: str | None = None,
        limit: int | None = None,
    ) -> list[FollowerEdge]:
        """The edges of one bucket in order of follower id, active or not; the whole bucket by default."""

    async def audience(self, followee_id: str, bucket: FollowerBucket) -> Audience:
        """One bucket's active followers, as a delivery sees them."""

    async def following(self, user_id: str) -> dict[str, Follow]:
        """All of a user's follows, active or not, in order of followee id."""

    def everyone_who_follows(self) -> AsyncIterator[str]:
        """The id of every user with a row of follows, active or not, in no order, a page at a time."""
