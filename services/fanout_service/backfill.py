"""Backfill: posts older than a follow are copied into the follower's timeline, page by page.

Until the follow is marked as materialised, its follower pulls that followee. So a backfill may take its time, stop anywhere
and be repeated. A step leaves out followers whose follow has ended or is a later one: the later follow has a backfill of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from fanfold.core.clock import Clock
from fanfold.core.events import BackfillFollow, NewFollow
from fanfold.core.ports import AuthoredPost, Pointer, Stores
from fanfold.core.ports.log import EventLog
from fanout_service.edges import edges_to, newest_edges
from fanout_service.metrics import DELIVERIES


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfill:
    """Backfills of all follows. `page` is the number of posts in a step, `depth` the most posts that one backfill copies."""

    stores: Stores
    log: EventLog
    clock: Clock
    retention_ms: int
    depth: int
    page: int = 100

    async def first_page(self, followee_id: str) -> Sequence[AuthoredPost]:
        """The followee's newest posts. The edges on the followee's side must have been written before."""
        return await self.page_of(followee_id, before=None)

    def has_to_copy(self, page: Sequence[AuthoredPost]) -> bool:
        """Whether this first page leaves posts to copy before the follows are materialised."""
        return not self.is_last(page) or any(post.delivery != "pull" for post in page)

    async def begin(
        self, followee_id: str, follows: Sequence[NewFollow], page: Sequence[AuthoredPost]
    ) -> None:
        """Backfill now if the first page is the last, else queue the rest. Both sides of the edges must have been written."""
        if not self.is_last(page):
            # The author has many posts: the other events of this batch must not wait for all of them.
            await self.log.append(BackfillFollow(followee_id=followee_id, follows=tuple(follows)))
            return
        await self.copy({followee_id: page}, _readers(follows), cause="backfill")
        await self._finish(followee_id, follows)

    async def project(self, event: BackfillFollow) -> None:
        """One step. Repeated, it copies the same again and may queue the rest twice; neither changes a timeline."""
        follows = await self._lasting(event.followee_id, event.follows)
        if not follows:
            return
        page = await self.page_of(event.followee_id, before=event.before)
        kept = await self._not_deleted(page)
        copied = event.copied + len(kept)
        # A feed ends after as many posts, so it shows none beyond them.
        kept = kept[: max(0, self.depth - event.copied)]
        # Copy before the next step is queued: the last step marks the follows for all steps before it.
        await self.copy({event.followee_id: kept}, _readers(follows), cause="backfill")
        if self.is_last(page) or copied >= self.depth:
            await self._finish(event.followee_id, follows)
            return
        rest = {"follows": follows, "before": page[-1].post_id, "copied": copied}
        await self.log.append(event.model_copy(update=rest))

    async def _lasting(
        self, followee_id: str, follows: Sequence[NewFollow]
    ) -> tuple[NewFollow, ...]:
        """Those that have not ended. A backfill is queued after its edges are written, so an edge is never behind it."""
        followee = await self.stores.users.get(followee_id)
        copies = await edges_to(followee, _readers(follows), stores=self.stores)
        edges = newest_edges(copies)
        return tuple(
            follow
            for follow in follows
            if (edge := edges.get(follow.follower_id)) is not None
            and edge.active
            and edge.follow_offset == follow.follow_offset
        )

    async def _not_deleted(self, page: Sequence[AuthoredPost]) -> list[AuthoredPost]:
        """The posts to copy. Deleted ones would take the places of older posts that a feed shows."""
        pushed = [post for post in page if post.delivery != "pull"]
        posts = await self.stores.posts.get([post.post_id for post in pushed])
        return [post for post in pushed if not ((row := posts.get(post.post_id)) and row.deleted)]

    async def page_of(self, followee_id: str, *, before: UUID | None) -> list[AuthoredPost]:
        """One page of the followee's posts in the retention window, newest first."""
        since_ms = self.clock.now_ms() - self.retention_ms
        return await self.stores.posts.by_author(
            followee_id, before=before, since_ms=since_ms, limit=self.page
        )

    async def first_pages(self, followee_ids: Collection[str]) -> dict[str, list[AuthoredPost]]:
        """The newest posts of each of these followees, as `page_of` reads those of one."""
        since_ms = self.clock.now_ms() - self.retention_ms
        return await self.stores.posts.newest_by_authors(
            followee_ids, since_ms=since_ms, limit=self.page
        )

    def is_last(self, page: Sequence[AuthoredPost]) -> bool:
        """Whether no page follows this one."""
        return len(page) < self.page

    async def copy(
        self,
        pages: Mapping[str, Sequence[AuthoredPost]],
        reader_ids: Sequence[str],
        *,
        cause: str,
    ) -> None:
        """Write the pushed posts of these followees' pages into those timelines."""
        # Pulled posts reach their readers by pull. A post without a plan counts as pushed: its fan-out may have read the
        # followers before these edges were written.
        pointers = [
            Pointer(post.post_id, followee_id)
            for followee_id, page in pages.items()
            for post in page
            if post.delivery != "pull"
        ]
        if pointers:
            rows = await self.stores.timelines.push(pointers, reader_ids)
            DELIVERIES.labels(cause).inc(rows)

    async def _finish(self, followee_id: str, follows: Sequence[NewFollow]) -> None:
        await self.stores.follows.mark_materialised(
            followee_id, [(follow.follower_id, follow.follow_offset) for follow in follows]
        )


def _readers(follows: Sequence[NewFollow]) -> list[str]:
    return [follow.follower_id for follow in follows]
