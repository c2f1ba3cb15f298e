"""Mending a feed: by writes that the worker could have made itself, so that a worker beside it is not disturbed.

Rows are only added or corrected. A pointer that should not be there is left: the reader filters by what is followed now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from console_service.explain.facts import Facts, Relation
from console_service.explain.reasons import Explanation, Kind
from fanfold.core.cache_keys import (
    authored_key,
    feed_key,
    graph_key,
    like_count_key,
    name_key,
    post_key,
    pulled_key,
)
from fanfold.core.ports import FollowerEdge, Pointer, Posts, Stores
from fanfold.core.ports.shared_cache import SharedCache
from fanfold.core.settings import Settings
from fanout_service.keep_pulled import KeepPulled

_POSTS_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """`stores` must tell the shared cache what they write. Every method is idempotent, and raises `Unavailable`."""

    stores: Stores
    cache: SharedCache
    pulled_authors: KeepPulled
    settings: Settings

    async def mend(self, facts: Facts, explanation: Explanation) -> str | None:
        """Mend what keeps one post out of a feed, or in it. Returns what was done, None if nothing could be."""
        keys = [key for reason in explanation.reasons for key in _keys(facts, reason.kind)]
        if keys:
            return await self.forget(keys)
        post, relation = facts.post, facts.relation
        if post is None:
            return None
        pointer, viewer = Pointer(post.post_id, post.author_id), facts.viewer.user_id
        done: str | None = None
        match explanation.reasons[-1].kind:
            case "timeline-row-missing" | "slice-waits":
                done = await self.push([pointer], viewer)
            case "foreign-pointer":
                done = await self.correct(pointer, viewer)
            case "edge-missing" if relation is not None:
                done = await self._edge(viewer, relation)
                done = f"{done}; {await self.push([pointer], viewer)}"
            case "pulled-row-missing" | "author-not-pulled":
                await self.pulled_authors.keep(
                    post.author_id, until_ms=post.created_at_ms + self.settings.keep_ms
                )
                await self.stores.timelines.add_pulled(pointer)
                done = f"put {post.post_id} among the pulled posts of {post.author_id}"
        return done

    async def push(self, pointers: Sequence[Pointer], viewer: str) -> str:
        """Put pointers into a timeline."""
        await self.stores.timelines.push(pointers, [viewer])
        what = str(pointers[0].post_id) if len(pointers) == 1 else f"{len(pointers)} posts"
        return f"put {what} into the timeline of {viewer}"

    async def correct(self, pointer: Pointer, viewer: str) -> str:
        """Write the author into a pointer that names another one."""
        await self.stores.timelines.correct(viewer, pointer)
        return f"corrected the author of {pointer.post_id} in the timeline of {viewer}"

    async def forget(self, keys: Sequence[str]) -> str:
        """Let readers read these values from the tables again."""
        await self.cache.forget(keys)
        return f"let the shared cache forget {', '.join(sorted(set(keys)))}"

    async def _edge(self, viewer: str, relation: Relation) -> str:
        """Write the side of a follow that lacks the later event."""
        author, follow, edge = relation.author, relation.follow, relation.edge
        if follow is None:
            return "nothing"
        if edge is not None and edge.offset > follow.offset:
            await self.stores.follows.write_following(author.user_id, [edge])
            return f"ended the follow of {author.user_id} by {viewer}, as offset {edge.offset} says"
        generation = author.generation if edge is None else edge.generation
        lasting = FollowerEdge(
            viewer, generation, True, follow.since_ms, follow.follow_offset, follow.offset
        )
        await self.stores.follows.write_followers(author.user_id, [lasting])
        return f"put {viewer} among the followers of {author.user_id}"


def _keys(facts: Facts, kind: Kind) -> Sequence[str]:
    """The keys of the shared cache that such a reason is about."""
    viewer, post_id = facts.viewer.user_id, facts.post_id
    author = viewer if facts.post is None else facts.post.author_id
    keys: dict[Kind, Sequence[str]] = {
        "cached-graph": [graph_key(viewer)],
        "cached-list": [feed_key(viewer)],
        "cached-author-list": [authored_key(author)],
        "cached-pulled": [pulled_key(author)],
        "cached-post": [post_key(post_id), like_count_key(post_id.int)],
        "cached-name": [name_key(author)],
    }
    return keys.get(kind, ())


async def foreign_pointers(named: Mapping[UUID, str], posts: Posts) -> list[Pointer]:
    """Of the pointers of a timeline (post → the author that it names) those that name another author than the post has, corrected.

    Posts that don't exist are left out. Raises `Unavailable`.
    """
    corrected: list[Pointer] = []
    post_ids = list(named)
    for start in range(0, len(post_ids), _POSTS_AT_ONCE):
        found = await posts.get(post_ids[start : start + _POSTS_AT_ONCE])
        corrected += [
            Pointer(post_id, post.author_id)
            for post_id, post in found.items()
            if post.author_id != named[post_id]
        ]
    return corrected
