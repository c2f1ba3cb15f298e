"""The stores as ports, one page each. Adapters: `fanfold.adapters.cassandra` (real), `fanfold.adapters.memory` (embedded).

What holds for every method:

* Idempotent: a second identical call changes nothing, and calls with different timestamps commute.
* `offset` is the log offset of the event that caused the write. Of two writes to one cell the one with the higher offset
  stays, in whatever order they arrive. Cells without an offset never change once written: their timestamp is the post's
  creation time, so a replay can't regress them either.
* Reads see every write that returned before them (LOCAL_QUORUM).
* Raises `Unavailable` and nothing else. Then it is unknown whether a write took effect, so repeat it.
* Times are milliseconds since the Unix epoch. Post lists are newest first; `before` is exclusive, `since_ms`
  inclusive, and fewer than `limit` rows mean that there are no more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fanfold.core.ports.activity import Activity
from fanfold.core.ports.cache_switch import CacheOutage, CacheSwitch
from fanfold.core.ports.follows import Audience, Follow, FollowerEdge, FollowingCounts, Follows
from fanfold.core.ports.idempotency_keys import IdempotencyKeys, KeyReservation
from fanfold.core.ports.jobs import Jobs, Plan, SliceDone
from fanfold.core.ports.likes import Like, LikeCount, Likes, ListedLike, RecentLike
from fanfold.core.ports.posts import AuthoredPost, Counted, Post, Posts
from fanfold.core.ports.pulled_authors import PulledAuthor, PulledAuthors, PulledPage
from fanfold.core.ports.revocations import Revocation, Revocations
from fanfold.core.ports.sweeps import SweepCheckpoint, Sweeps
from fanfold.core.ports.tickets import Ticket, Tickets
from fanfold.core.ports.ties import Tie, Ties
from fanfold.core.ports.timelines import Pointer, TimelineEntry, Timelines
from fanfold.core.ports.users import User, Users

__all__ = [
    "Activity",
    "Audience",
    "AuthoredPost",
    "CacheOutage",
    "CacheSwitch",
    "Counted",
    "Follow",
    "FollowerEdge",
    "FollowingCounts",
    "Follows",
    "IdempotencyKeys",
    "Jobs",
    "KeyReservation",
    "Like",
    "LikeCount",
    "Likes",
    "ListedLike",
    "Plan",
    "Pointer",
    "Post",
    "Posts",
    "PulledAuthor",
    "PulledAuthors",
    "PulledPage",
    "RecentLike",
    "Revocation",
    "Revocations",
    "SliceDone",
    "Stores",
    "SweepCheckpoint",
    "Sweeps",
    "Ticket",
    "Tickets",
    "Tie",
    "Ties",
    "TimelineEntry",
    "Timelines",
    "User",
    "Users",
]


@dataclass(frozen=True, slots=True)
class Stores:
    """All stores. A composition root makes them.

    `ping` returns if their engine answers; otherwise it raises `Unavailable`.
    """

    posts: Posts
    idempotency_keys: IdempotencyKeys
    users: Users
    follows: Follows
    ties: Ties
    timelines: Timelines
    pulled_authors: PulledAuthors
    jobs: Jobs
    likes: Likes
    activity: Activity
    cache_switch: CacheSwitch
    revocations: Revocations
    sweeps: Sweeps
    tickets: Tickets
    ping: Callable[[], Awaitable[None]]
