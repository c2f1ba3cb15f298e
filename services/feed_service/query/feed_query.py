"""One query of a viewer's feed, in four steps.

    skeleton   opens the sources that the viewer's posts come from, as one merge: newest first, pointers only
    filter     keeps posts by the authors that the viewer sees now, within the retention window
    hydrate    adds content and authors' names; drops deleted posts and authors who have left
    present    adds the viewer's likes, and makes the items of the answer

`take` filters and hydrates until there are enough posts. The uses are in `feeds.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import NamedTuple, Self
from uuid import UUID

from fanfold.core.delivery import Delivery
from fanfold.core.ids import first_post_id_at
from fanfold.core.ports import Counted, Post
from fanfold.http.post_resource import Author
from fanfold.http.problems import UserNotFound
from feed_service.caches.cached_reads import CachedReads
from feed_service.caches.recent_likes import RecentLikes
from feed_service.caches.viewer_graph import ViewerGraph
from feed_service.candidates import Candidate, Page
from feed_service.query.coverage import Coverage, SourceName
from feed_service.query.items import ExplainedItem, FeedItem
from feed_service.query.merge import Merge, Source
from feed_service.query.ranking import Explanation

_NEXT_ROWS = (500, 1000, 2000, 4000)
_NO_POSTS = Page((), more=False)


class HydratedPost(NamedTuple):
    """A post that is in the feed, how it came there, and what it shows of its author."""

    post: Post
    source: Delivery
    author: Author


@dataclass(slots=True, kw_only=True)
class FeedQuery:
    """A feed's posts since `since_ms`. Sources that are unavailable are left out, and noted in `coverage`.

    `pull_too`: authors who, if visible, are pulled whether their posts are in the timeline or not.
    """

    viewer: str
    reads: CachedReads
    since_ms: int
    pull_too: frozenset[str] = frozenset()
    coverage: Coverage = field(default_factory=Coverage)
    graph: ViewerGraph | None = None
    recent_likes: RecentLikes | None = None
    celebrities: Collection[str] = ()

    @classmethod
    async def open(
        cls,
        viewer: str,
        reads: CachedReads,
        *,
        since_ms: int,
        pull_too: frozenset[str] = frozenset(),
    ) -> Self:
        """A query whose viewer graph is read. Answers 404 to a viewer who has left."""
        reads = await reads.of_viewer(viewer)
        query = cls(viewer=viewer, reads=reads, since_ms=since_ms, pull_too=pull_too)
        query.graph = await query.coverage.ask("graph", reads.viewer_graph(viewer))
        if query.graph is not None and query.graph.left:
            raise UserNotFound("You have left, for good: there is no feed under this id any more.")
        return query

    @property
    def authors(self) -> frozenset[str]:
        """The authors that the viewer sees; without the graph only the viewer."""
        return self.graph.visible if self.graph else frozenset((self.viewer,))

    @property
    def author_shares(self) -> Mapping[str, float]:
        """Author → their share of the viewer's last likes. Empty while likes are unavailable."""
        return {} if self.recent_likes is None else self.recent_likes.author_shares

    # Skeleton.

    async def skeleton(
        self,
        *,
        wanted: int,
        before: UUID | None = None,
        until: UUID | None = None,
        likes: bool = True,
    ) -> Merge:
        """The merge of the sources of about `wanted` posts, older than `before` and newer than `until`.

        In order of precedence: the timeline, the viewer's own posts, authors whose posts aren't in the timeline (yet),
        and celebrities. The viewer's likes are loaded at the same time, unless `likes` is false.
        """
        # The timeline is read after the graph. A timeline that was read first would miss a backfill that ended between
        # the two reads, and the graph would say that it is complete.
        if self.reads.viewer_is_cached:
            # One after the other, because only the timeline is still asked for: three tasks would cost as much as it does.
            timeline = await self._timeline(before, wanted)
            own = await self._authored((self.viewer,), before)
            await self._load_likes(wanted=likes)
        else:
            timeline, own, _ = await asyncio.gather(
                self._timeline(before, wanted),
                self._authored((self.viewer,), before),
                self._load_likes(wanted=likes),
            )
        sources = [timeline, *own]
        if self.graph is not None:
            sources += await self._not_in_timeline(self.graph, before)
            sources += await self._celebrities(self.graph, before)
        return Merge(sources, until=until)

    async def _timeline(self, before: UUID | None, wanted: int) -> Source:
        if self.graph is None:
            # Without the graph, authors who are no longer followed can't be filtered.
            return Source((), None)
        # A few more than wanted: some will turn out deleted or no longer followed. A viewer who needs another page has
        # many such pointers, so the pages grow.
        sizes = chain((wanted + wanted // 4 + 4,), _NEXT_ROWS, repeat(_NEXT_ROWS[-1]))

        async def fetch(before: UUID | None) -> Page:
            page = self.reads.timeline(
                self.viewer, before=before, since_ms=self.since_ms, limit=next(sizes)
            )
            return await self.coverage.ask("timeline", page) or _NO_POSTS

        first = await fetch(before)
        if first.candidates:
            before = first.candidates[-1].post_id
        return Source(first.candidates, fetch if first.more else None, before)

    async def _not_in_timeline(self, graph: ViewerGraph, before: UUID | None) -> list[Source]:
        pull_too = (self.pull_too & graph.visible).difference(graph.unmaterialised, (self.viewer,))
        authors = (*graph.unmaterialised, *pull_too)
        name: SourceName = "rebuilding" if graph.asleep else "posts"
        return await self._authored(authors, before, name) if authors else []

    async def _authored(
        self, author_ids: tuple[str, ...], before: UUID | None, name: SourceName = "posts"
    ) -> list[Source]:
        pages = await self.reads.authored(author_ids)
        if pages:
            self.coverage.answered.add(name)
        if len(pages) < len(author_ids):
            self.coverage.missing.add(name)
        return [
            self._authored_source(author_id, page, before, name)
            for author_id, page in pages.items()
        ]

    def _authored_source(
        self, author_id: str, page: Page, before: UUID | None, name: SourceName
    ) -> Source:
        async def fetch(before: UUID | None) -> Page:
            page = self.reads.authored_page(author_id, before=before, since_ms=self.since_ms)
            return await self.coverage.ask(name, page) or _NO_POSTS

        return Source.of_page(page, before=before, fetch=fetch)

    async def _celebrities(self, graph: ViewerGraph, before: UUID | None) -> list[Source]:
        newest = self.reads.celebrities.newest(graph.visible)
        pages = await self.coverage.ask("celebrities", newest) or {}
        self.celebrities = pages.keys()
        if None in pages.values():
            self.coverage.missing.add("celebrities")
        return [
            self._celebrity_source(author_id, page, before)
            for author_id, page in pages.items()
            if page is not None
        ]

    def _celebrity_source(self, author_id: str, page: Page, before: UUID | None) -> Source:
        async def fetch(before: UUID | None) -> Page:
            page = self.reads.celebrities.page(author_id, before=before, since_ms=self.since_ms)
            return await self.coverage.ask("celebrities", page) or _NO_POSTS

        return Source.of_page(page, before=before, fetch=fetch, author_id=author_id)

    # Filter.

    def filter(self) -> Callable[[Candidate], bool]:
        """Whether a candidate may be shown: the viewer sees its author now, and it is in the retention window."""
        authors, oldest = self.authors, -first_post_id_at(max(0, self.since_ms)).int
        return lambda candidate: candidate.author_id in authors and candidate.order <= oldest

    async def take(
        self, merge: Merge, count: int, keep: Callable[[Candidate], bool]
    ) -> list[HydratedPost]:
        """The next `count` posts of a merge that pass `keep` and may be shown; fewer only at the end of the feed.

        Or when content became unavailable: then what was found so far, and that is noted.
        """
        taken: list[HydratedPost] = []
        # Once content is unavailable, asking again would only add one time budget to the other.
        while len(taken) < count and not self.coverage.without_content:
            candidates = await merge.take(count - len(taken), keep)
            if not candidates:
                break
            sources = {-candidate.order: candidate.source for candidate in candidates}
            taken += await self.hydrate(sources, {candidate.author_id for candidate in candidates})
        return taken

    # Hydrate.

    async def hydrate(
        self, sources: Mapping[int, Delivery], author_ids: Collection[str] = ()
    ) -> list[HydratedPost]:
        """The posts that may be shown, in the order of `sources`: the integer in each post's id → its source.

        `author_ids`: all their authors, if already known, so that names are loaded at the same time as the posts. While
        posts are unavailable, only cached ones, and `posts` is noted as missing. While users are, authors without a
        cached name are shown under their ids, and `graph` is noted.
        """
        # Two tasks cost more than reading names that this process remembers.
        if author_ids and not self.reads.knows_names(author_ids):
            posts, names = await asyncio.gather(self.posts(sources), self.names(author_ids))
        else:
            posts = await self.posts(sources)
            names = await self.names(author_ids or {post.author_id for post in posts.values()})
        return [
            HydratedPost(post, source, name)
            for number, source in sources.items()
            if (post := posts.get(number)) is not None and not post.deleted
            if (name := names.get(post.author_id)) is not None
        ]

    async def posts(self, numbers: Collection[int]) -> Mapping[int, Post]:
        """Posts by the integers in their ids, deleted ones too; only cached ones while posts are unavailable."""
        posts, complete = await self.coverage.ask_many("posts", self.reads.posts(numbers))
        if not complete:
            self.coverage.without_content = True
        return posts

    async def counted(self, numbers: Collection[int]) -> Mapping[int, Counted]:
        """What ranking needs of posts; only cached ones while posts are unavailable."""
        counts, complete = await self.coverage.ask_many("posts", self.reads.counted(numbers))
        if not complete:
            self.coverage.without_content = True
        return counts

    async def names(self, author_ids: Collection[str]) -> Mapping[str, Author | None]:
        """Authors' names, None for those who have left; while users are unavailable, the ids of those that aren't cached."""
        names, complete = await self.coverage.ask_many("graph", self.reads.names(author_ids))
        return names if complete else {**{author: Author(author) for author in author_ids}, **names}

    async def _load_likes(self, *, wanted: bool = True) -> None:
        if wanted and self.recent_likes is None:
            likes = self.reads.recent_likes(self.viewer)
            self.recent_likes = await self.coverage.ask("likes", likes)

    # Present.

    async def present(
        self,
        posts: Sequence[HydratedPost],
        explain: Callable[[Post], Explanation] | None = None,
    ) -> list[FeedItem | ExplainedItem]:
        """The items of the answer, each with its explanation where one is asked for.

        While likes are unavailable nothing is liked, and `likes` is noted.
        """
        liked = await self._liked([hydrated.post for hydrated in posts])
        if explain is None:
            return [
                FeedItem.of(post, author=author, liked_by_me=post.post_id in liked, source=source)
                for post, source, author in posts
            ]
        return [
            ExplainedItem.of(
                post,
                author=author,
                liked_by_me=post.post_id in liked,
                source=source,
                explain=explain(post),
            )
            for post, source, author in posts
        ]

    async def _liked(self, posts: Sequence[Post]) -> Collection[UUID]:
        if "likes" not in self.coverage.missing:
            await self._load_likes()
        if self.recent_likes is None:
            return ()
        liked, unsure = self.recent_likes.split(posts)
        if unsure:
            asked = self.reads.liked(self.viewer, unsure)
            liked |= await self.coverage.ask("likes", asked) or set()
        return liked
