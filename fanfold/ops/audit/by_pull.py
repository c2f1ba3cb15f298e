"""A feed computed from the tables by pull alone: the newest posts of everyone the viewer sees. It shares no code with the feed service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from uuid import UUID

from fanfold.core.ids import first_post_id_at
from fanfold.core.ports import Stores

_AUTHORS_AT_ONCE = 32
_POSTS_AT_ONCE = 500
_KEPT = 4
"""As many posts are kept as this times the depth of a feed, because some are deleted."""
_ROWS = 1000

NIL = UUID(int=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PulledFeed:
    """`authors`: post → author, newest first. `pushed`: what the timeline holds of visible authors, likewise.

    `exact_since`: older posts than this are not all known, because there are many more of them than a feed shows.
    """

    authors: Mapping[UUID, str] = field(default_factory=dict)
    pushed: Mapping[UUID, str] = field(default_factory=dict)
    exact_since: UUID = NIL


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedsByPull:
    """Reads such feeds. Raises `Unavailable`."""

    stores: Stores
    depth: int

    async def __call__(self, viewer: str, *, since_ms: int) -> PulledFeed:
        """The viewer's feed of posts since then. That of a viewer who has left is empty."""
        user = await self.stores.users.get(viewer)
        if user.left:
            return PulledFeed()
        visible = await self._visible(viewer)
        authors, exact_since = await self._of_all(sorted(visible), max(0, since_ms))
        shown = await self._not_deleted(sorted(authors, reverse=True))
        pushed = {
            post_id: author
            async for post_id, author in timeline_rows(self.stores, viewer, since_ms=since_ms)
            if author in visible
        }
        return PulledFeed(
            authors={post_id: authors[post_id] for post_id in shown},
            pushed=pushed,
            exact_since=exact_since,
        )

    async def _visible(self, viewer: str) -> frozenset[str]:
        follows, mutes = await asyncio.gather(
            self.stores.follows.following(viewer), self.stores.ties.mutes(viewer)
        )
        followed = {author for author, follow in follows.items() if follow.active}
        followed -= {target for target, mute in mutes.items() if mute.active}
        blocks = await self.stores.ties.blocks_with(viewer, followed)
        followed -= {block.other_id for block in blocks if block.active}
        users = await self.stores.users.get_many(followed)
        return frozenset([viewer, *(author for author in followed if not users[author].left)])

    async def _of_all(self, authors: Sequence[str], since_ms: int) -> tuple[dict[UUID, str], UUID]:
        """The newest posts of these authors, post → author, and since when none is left out."""
        found: dict[UUID, str] = {}
        exact_since = first_post_id_at(since_ms)
        for start in range(0, len(authors), _AUTHORS_AT_ONCE):
            some = authors[start : start + _AUTHORS_AT_ONCE]
            for author, posts in zip(
                some,
                await asyncio.gather(*(self._of(author, since_ms) for author in some)),
                strict=True,
            ):
                found |= dict.fromkeys(posts, author)
                if len(posts) == self.depth:
                    exact_since = max(exact_since, posts[-1])
            if len(found) > (most := _KEPT * self.depth):
                # Thousands of authors have millions of posts, and a feed shows `depth` of them.
                kept = nlargest(most, found)
                exact_since = max(exact_since, kept[-1])
                found = {post_id: found[post_id] for post_id in kept}
        return found, exact_since

    async def _of(self, author: str, since_ms: int) -> list[UUID]:
        posts = await self.stores.posts.by_author(
            author, before=None, since_ms=since_ms, limit=self.depth
        )
        return [post.post_id for post in posts]

    async def _not_deleted(self, newest_first: Sequence[UUID]) -> list[UUID]:
        shown: list[UUID] = []
        for start in range(0, len(newest_first), _POSTS_AT_ONCE):
            page = newest_first[start : start + _POSTS_AT_ONCE]
            counted = await self.stores.posts.counted(page)
            shown += [p for p in page if p in counted and not counted[p].deleted]
            if len(shown) >= self.depth:
                break
        return shown[: self.depth]


async def timeline_rows(
    stores: Stores, viewer: str, *, since_ms: int
) -> AsyncIterator[tuple[UUID, str]]:
    """Every pointer of a timeline since then, newest first: the post, and the author that it names."""
    before: UUID | None = None
    while True:
        rows = await stores.timelines.timeline(
            viewer, before=before, since_ms=max(0, since_ms), limit=_ROWS
        )
        for row in rows:
            yield row.post_id, row.author_id
        if len(rows) < _ROWS:
            return
        before = rows[-1].post_id
