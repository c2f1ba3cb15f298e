"""Users and their ties: who follows, mutes and blocks whom."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from fanfold.core.buckets import FollowerBucket
from fanfold.core.ports.model import Mode, Store


@dataclass(frozen=True, slots=True)
class User:
    """A user's row. A user who was never registered has no display name.

    `generation` is the newest generation of follower buckets. `pull_since_ms` is when the author last crossed
    to pull (log time). `count_position` is the offset of the last follow event counted; None before the first.
    `asleep_position` is that of the last sleep or awakening applied, in the topic of activity, and `woke_position`
    that of the last awakening begun.
    """

    user_id: str
    display_name: str | None = None
    follower_count: int = 0
    generation: int = 0
    delivery: Mode = "push"
    pull_since_ms: int | None = None
    count_position: int | None = None
    asleep: bool = False
    asleep_position: int | None = None
    woke_position: int | None = None
    left: bool = False


@dataclass(frozen=True, slots=True)
class FollowerEdge:
    """An edge as its followee sees it: the judge of counts and of deliveries.

    `follow_position` names the follow: the offset that made the edge active (its last time). `position` is the
    offset of the last event applied to the edge.
    """

    follower_id: str
    generation: int
    active: bool
    since_ms: int
    follow_position: int
    position: int


@dataclass(frozen=True, slots=True)
class Follow:
    """The same edge as its follower sees it: what a feed read filters by.

    `materialised` says that the followee's posts are in the follower's timeline: a backfill has finished
    that covers exactly this follow.
    """

    followee_id: str
    active: bool
    since_ms: int
    follow_position: int
    position: int
    materialised: bool = False


class Audience(NamedTuple):
    """One bucket's active followers: those to deliver to, and how many are left out because they sleep."""

    reader_ids: list[str]
    asleep: int


@dataclass(frozen=True, slots=True)
class Tie:
    """A mute or a block as one of its two users sees it. `position` is the offset of the last event applied.

    `mine` is false where the other user made it (a block only).
    """

    other_id: str
    active: bool
    since_ms: int
    position: int
    mine: bool = True


class Graph(Store, Protocol):
    """Users, who follows whom, and who mutes or blocks whom. The fan-out worker alone writes edges and counts."""

    async def users(self, user_ids: Collection[str]) -> dict[str, User]:
        """Those that have a row, registered or not."""

    async def register(self, user_id: str, display_name: str, *, at: int) -> None:
        """Set the display name."""

    async def write_standing(self, user: User, *, at: int) -> None:
        """Write all of the row but the display name, with `count_position = at`: one atomic row."""

    async def follower_edges(
        self, followee_id: str, generation: int, follower_ids: Collection[str]
    ) -> dict[str, FollowerEdge]:
        """Those followers' edges that are in that generation, active or not."""

    async def write_followers(self, followee_id: str, edges: Sequence[FollowerEdge]) -> None:
        """Write each edge on its followee's side, with `at` = its `position`."""

    async def write_following(
        self, followee_id: str, edges: Sequence[FollowerEdge], *, materialised: Collection[str] = ()
    ) -> None:
        """Write each edge on its follower's side, likewise; those of the `materialised` followers with their mark."""

    async def mark_materialised(self, followee_id: str, follows: Sequence[tuple[str, int]]) -> None:
        """Mark (follower id, follow position) pairs: that follow, and no later one, is backfilled."""

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

    async def follows(self, user_id: str) -> dict[str, Follow]:
        """All of a user's follows, active or not, in order of followee id."""

    async def write_mute(
        self, user_id: str, target_id: str, *, active: bool, since_ms: int, at: int
    ) -> None:
        """Write one mute, or its end."""

    async def mutes(self, user_id: str) -> dict[str, Tie]:
        """A user's mutes by target, active or not, in order of target id."""

    async def mute_of(self, user_id: str, target_id: str) -> Tie | None:
        """A user's mute of one target, active or not; None if there never was one."""

    async def write_block(
        self, user_id: str, target_id: str, *, active: bool, since_ms: int, at: int
    ) -> None:
        """Write one block, or its end, as the target sees it and then as the user does."""

    async def blocks(self, user_id: str) -> list[Tie]:
        """A user's blocks, own and suffered, active or not, in order of the other's id."""

    async def blocks_between(self, user_id: str, other_id: str) -> list[Tie]:
        """The same between two users: at most two."""

    async def set_asleep(self, user_id: str, *, asleep: bool, at: int) -> None:
        """Write whether the user sleeps, with `asleep_position = at`."""

    async def begin_waking(self, user_id: str, *, at: int) -> None:
        """Write that an awakening has begun, with `woke_position = at`. The user sleeps on until `set_asleep`."""

    async def mark_asleep(
        self, follower_id: str, edges: Sequence[tuple[str, int]], *, asleep: bool, at: int
    ) -> None:
        """Mark a follower's edges, as (followee id, generation) pairs, for `audience`. Marking what isn't there adds no edge."""

    async def leave(self, user_id: str, *, at: int) -> None:
        """Mark a user as gone, for good."""

    def everyone(self) -> AsyncIterator[User]:
        """Every user with a row, in no order, a page at a time. Changes meanwhile may or may not be seen."""

    def everyone_who_follows(self) -> AsyncIterator[str]:
        """The id of every user with a row of follows, likewise, active or not."""
