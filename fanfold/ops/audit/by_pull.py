"""A feed computed from the tables by pull alone: the newest posts of everyone the viewer sees. It shares no code with the feed service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from fanfold.core.ids import first_post_id_at
from fanfold.core.ports import Stores

_AUTHORS_AT_ONCE = 32
_POSTS_AT_ONCE = 500
_ROWS = 1000

NIL = UUID(int=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PulledFeed:
    """`authors`: post → author, newest first. `pushed`: what the timeline holds of visible authors, likewise.

    `exact_since`: older posts than this are not all known, because an author has more of them than a feed shows.
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
        found = await self._of_all(visible, since_ms)
        cut = [posts[-1] for posts in found.values() if len(posts) == self.depth]
        authors = {post_id: author for author, posts in found.items() for post_id in posts}
        shown = await self._not_deleted(sorted(authors, reverse=True))
        pushed = {
            post_id: author
            async for post_id, author in timeline_rows(self.stores, viewer, since_ms=since_ms)
            if author in visible
        }
        return PulledFeed(
            authors={post_id: authors[post_id] for post_id in shown},
            pushed=pushed,
            exact_since=max(cut, default=first_post_id_at(max(0, since_ms))),
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

    async def _of_all(self, authors: Collection[str], since_ms: int) -> dict[str, list[UUID]]:
        turns = asyncio.Semaphore(_AUTHORS_AT_ONCE)

        async def of(author: str) -> list[UUID]:
            async with turns:
                posts = await self.stores.posts.by_author(
                    author, before=None, since_ms=max(0, since_ms), limit=self.depth
                )
            return [post.post_id for post in posts]

        return dict(zip(authors, await asyncio.gather(*map(of, authors)), strict=True))

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
