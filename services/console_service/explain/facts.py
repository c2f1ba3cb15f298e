"""The facts that decide whether a post is in a feed: those read from the tables, and what the shared cache holds of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from fanfold.core.buckets import FollowerBucket, follower_bucket
from fanfold.core.ids import created_at_ms
from fanfold.core.ports import (
    AuthoredPost,
    Follow,
    FollowerEdge,
    Plan,
    Post,
    PulledAuthor,
    SliceDone,
    Tie,
    User,
)
from feed_service.caches.viewer_graph import ViewerGraph


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """The viewer and one author. `follow` is the row of the follower's side, `edge` that of the followee's side.

    Rows are there, active or not, once there was such an event.
    """

    author: User
    follow: Follow | None = None
    edge: FollowerEdge | None = None
    mute: Tie | None = None
    blocks: Sequence[Tie] = ()

    @property
    def sees(self) -> bool:
        """Whether the viewer sees the author's posts."""
        return (
            self.follow is not None
            and self.follow.active
            and not (self.mute is not None and self.mute.active)
            and not any(block.active for block in self.blocks)
        )


class Listed(NamedTuple):
    """What the viewer's cached list says of a post: the author that it names, None if it lacks the post."""

    author_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cached:
    """What the shared cache holds; None where it holds nothing, or nothing about this post.

    `listed` is None also if the list does not reach back to the post. `deleted` and `author_id` are of the post's
    content, `left` of the author's name.
    """

    graph: ViewerGraph | None = None
    listed: Listed | None = None
    authored: bool | None = None
    pulled: bool | None = None
    deleted: bool | None = None
    author_id: str | None = None
    left: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that is known about one post and one viewer.

    `pointed_at`: the author that the timeline's pointer to the post names. `authored`: the pointer in the list of the post's author.
    `pulled`: whether there is one among the author's pulled posts. `newer`: how many posts of the feed are newer, no more than `depth`.
    """

    viewer: User
    post_id: UUID
    now_ms: int
    retention_ms: int
    depth: int
    post: Post | None = None
    relations: Mapping[str, Relation] = field(default_factory=dict)
    pointed_at: str | None = None
    authored: AuthoredPost | None = None
    pulled: bool = False
    pulled_author: PulledAuthor | None = None
    plan: Plan | None = None
    slices: Mapping[FollowerBucket, SliceDone] = field(default_factory=dict)
    newer: int = 0
    cached: Cached = field(default_factory=Cached)

    @property
    def relation(self) -> Relation | None:
        """The viewer and the post's author; None without a post, or if they are the same."""
        return None if self.post is None else self.relations.get(self.post.author_id)

    @property
    def is_own(self) -> bool:
        return self.post is not None and self.post.author_id == self.viewer.user_id

    @property
    def is_retained(self) -> bool:
        """Whether the post is within the retention window."""
        return created_at_ms(self.post_id) >= self.now_ms - self.retention_ms

    @property
    def bucket(self) -> FollowerBucket | None:
        """The slice that delivers to the viewer; None if the viewer is in none."""
        edge = self.relation and self.relation.edge
        if not edge:
            return None
        return FollowerBucket(
            edge.generation, follower_bucket(self.viewer.user_id, edge.generation)
        )
