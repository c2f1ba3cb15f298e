"""The stores as ports, all on one page. Adapters: `fanfold.cassandra` (real), `fanfold.memory` (embedded).

What holds for every method:

* Idempotent: the same call twice leaves what it left once, and calls commute where their timestamps differ.
* `at` is the log offset of the event behind the write; of two writes to one cell the higher `at` stays,
  whatever their order of arrival. Cells without `at` never change once written: their timestamp is the
  post's creation time, so a replay can't regress them either.
* Reads see every write that returned before them (LOCAL_QUORUM).
* Raises `Unavailable` and nothing else; whether a write then took effect is unknown, so repeat it.
* Times are milliseconds since the Unix epoch. Post lists are newest first; `before` is exclusive, `since_ms`
  inclusive, and fewer than `limit` rows means that there are no more.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol
from uuid import UUID

from fanfold.buckets import FollowerBucket
from fanfold.ids import created_at_ms

Mode = Literal["push", "pull"]


class Store(Protocol):
    """What all four have in common."""

    async def ping(self) -> None:
        """Return if the store answers. Raises `Unavailable`."""


@dataclass(frozen=True, slots=True)
class Post:
    """A post's content, in its one home.

    `position` is the offset of the last edit or deletion applied; None before the first.
    """

    post_id: UUID
    author_id: str
    content: str
    edited_at_ms: int | None = None
    deleted: bool = False
    position: int | None = None

    @property
    def created_at_ms(self) -> int:
        return created_at_ms(self.post_id)


class AuthoredPost(NamedTuple):
    """An author's pointer to an own post. `mode` is None until the fan-out is planned."""

    post_id: UUID
    mode: Mode | None


@dataclass(frozen=True, slots=True)
class KeyReservation:
    """An idempotency key's row. `answer` is None while the request that reserved it is in flight."""

    post_id: UUID
    body_hash: str
    reserved_at_ms: int
    answer: str | None = None


class Posts(Store, Protocol):
    """Posts, each author's list of them, and idempotency keys."""

    async def create(self, post_id: UUID, author_id: str, content: str) -> None:
        """Write the post, then the author's pointer to it."""

    async def edit(self, post_id: UUID, content: str, *, edited_at_ms: int, at: int) -> None:
        """Replace the shown text."""

    async def note_position(self, post_id: UUID, *, at: int) -> None:
        """Record that an event was applied which changed nothing."""

    async def delete(self, post_id: UUID, *, at: int) -> None:
        """Mark it deleted: a value, never a tombstone."""

    async def get(self, post_ids: Collection[UUID]) -> dict[UUID, Post]:
        """Those that exist, deleted ones too, in no order."""

    async def set_mode(self, author_id: str, post_id: UUID, mode: Mode, *, at: int) -> None:
        """Record how the post is fanned out."""

    async def by_author(
        self, author_id: str, *, before: UUID | None, since_ms: int, limit: int
    ) -> list[AuthoredPost]:
        """The author's posts, newest first, deleted ones too."""

    async def reserve_key(
        self, author_id: str, key: str, reservation: KeyReservation
    ) -> KeyReservation | None:
        """Reserve an idempotency key for 24 h. Linearizable.

        None when it was free, or is held by this very reservation; else the row that holds it.
        """

    async def take_over_key(
        self, author_id: str, key: str, held: KeyReservation, *, now_ms: int
    ) -> bool:
        """Renew an abandoned reservation, keeping its post id. False when another request was faster."""

    async def release_key(self, author_id: str, key: str, held: KeyReservation) -> None:
        """Let the next request take it over at once (its `reserved_at_ms` becomes 0)."""

    async def answer_key(self, author_id: str, key: str, held: KeyReservation, answer: str) -> None:
        """Keep the answer for every later request with the key."""


@dataclass(frozen=True, slots=True)
class User:
    """A user's row. A user who was never registered has no display name.

    `generation` is the newest generation of follower buckets. `pull_since_ms` is when the author last crossed
    to pull (log time). `count_position` is the offset of the last follow event counted; None before the first.
    """

    user_id: str
    display_name: str | None = None
    follower_count: int = 0
    generation: int = 0
    delivery: Mode = "push"
    pull_since_ms: int | None = None
    count_position: int | None = None


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


class Graph(Store, Protocol):
    """Users and who follows whom. The fan-out worker alone writes edges and counts."""

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

    async def write_edges(self, followee_id: str, edges: Sequence[FollowerEdge]) -> None:
        """Write both, the followee's first: a delivery that finds a follow too soon costs a pointer, too late a post."""

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

    async def audience(self, followee_id: str, bucket: FollowerBucket) -> list[str]:
        """The ids of one bucket's active followers: those to whom a post is delivered."""

    async def follows(self, user_id: str) -> dict[str, Follow]:
        """All of a user's follows, active or not, in order of followee id."""


class Pointer(NamedTuple):
    """All that a timeline holds of a post."""

    post_id: UUID
    author_id: str


class Pulled(NamedTuple):
    """An author with pulled posts. `version` grows with each of them, in the log's order."""

    last_pulled_at_ms: int
    version: int


class Timelines(Store, Protocol):
    """Pointers: each user's timeline (push) and each celebrity's posts (pull).

    Both expire a day after the retention window; a pointer already past it is not written.
    """

    async def push(self, pointers: Sequence[Pointer], reader_ids: Sequence[str]) -> int:
        """Put every pointer into every reader's timeline. Returns the rows written."""

    async def timeline(
        self, user_id: str, *, before: UUID | None, since_ms: int, limit: int
    ) -> list[Pointer]:
        """A user's timeline, newest first; it may hold authors no longer followed."""

    async def add_pulled(self, pointer: Pointer, *, at: int) -> None:
        """Store a celebrity's post once, then raise the author's `Pulled`: a reader of the new version sees it."""

    async def pulled(
        self, author_id: str, *, before: UUID | None, since_ms: int, limit: int
    ) -> list[UUID]:
        """A celebrity's pulled posts, newest first."""

    async def pulled_authors(self) -> Mapping[str, Pulled]:
        """Every author with a pulled post that has not expired."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a fan-out set out to do. A pulled post has no slices and nothing planned."""

    strategy: Mode
    planned: int
    generation: int | None
    slices_total: int
    started_at_ms: int


@dataclass(frozen=True, slots=True)
class SliceDone:
    """A finished slice: the rows it wrote, and when."""

    delivered: int
    finished_at_ms: int


class Jobs(Store, Protocol):
    """How far each post's fan-out has come."""

    async def plan(self, post_id: UUID) -> Plan | None:
        """The recorded plan, or None."""

    async def write_plan(self, post_id: UUID, plan: Plan, *, at: int) -> None:
        """Record the plan."""

    async def slices_done(self, post_id: UUID) -> dict[FollowerBucket, SliceDone]:
        """The finished slices."""

    async def finish_slice(
        self, post_id: UUID, bucket: FollowerBucket, done: SliceDone, *, at: int
    ) -> None:
        """Record a finished slice."""


@dataclass(frozen=True, slots=True)
class Stores:
    """The four together, as a composition root hands them out."""

    posts: Posts
    graph: Graph
    timelines: Timelines
    jobs: Jobs
