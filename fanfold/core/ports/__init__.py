"""The stores as ports, one page each. Adapters: `fanfold.adapters.cassandra` (real), `fanfold.adapters.memory` (embedded).

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

from dataclasses import dataclass

from fanfold.core.ports.activity import Activity
from fanfold.core.ports.graph import Audience, Follow, FollowerEdge, Graph, Tie, User
from fanfold.core.ports.jobs import Jobs, Plan, SliceDone
from fanfold.core.ports.likes import Like, LikeCount, Likes, RecentLike
from fanfold.core.ports.model import Mode, Store
from fanfold.core.ports.posts import AuthoredPost, KeyReservation, Post, Posts
from fanfold.core.ports.timelines import Pointer, Pulled, Timelines

__all__ = [
    "Activity",
    "Audience",
    "AuthoredPost",
    "Follow",
    "FollowerEdge",
    "Graph",
    "Jobs",
    "KeyReservation",
    "Like",
    "LikeCount",
    "Likes",
    "Mode",
    "Plan",
    "Pointer",
    "Post",
    "Posts",
    "Pulled",
    "RecentLike",
    "SliceDone",
    "Store",
    "Stores",
    "Tie",
    "Timelines",
    "User",
]


@dataclass(frozen=True, slots=True)
class Stores:
    """All of them together, as a composition root hands them out."""

    posts: Posts
    graph: Graph
    timelines: Timelines
    jobs: Jobs
    likes: Likes
    activity: Activity
