"""Auditing users: for each the feed by pull, the feed as served, and what the shared cache holds, compared.

A system at work changes between two reads. So differences are compared again two seconds later, and those that remain are wrong: a change
shows everywhere within a second. A post that still waits for the workers is late, not wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from console_service.explain.read_facts import ReadFacts
from console_service.explain.reasons import explain
from fanfold.core.clock import Clock
from fanfold.core.ports import Pointer
from fanfold.core.ports.engines import Engines
from fanfold.core.settings import Settings
from fanfold.ops.audit.by_pull import FeedsByPull, PulledFeed
from fanfold.ops.audit.cached import CachedValues
from fanfold.ops.audit.compare import Difference, ServedPost, compare
from fanfold.ops.audit.repair import Repair, foreign_pointers
from fanfold.ops.audit.report import Finding, Report
from feed_service.query.ranking import Relevance
from feed_service.served_feeds import ServedFeeds

AGAIN_AFTER_S = 2.0
USERS_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one comparison found. `pointers` are the corrected forms of those that name another author."""

    posts: int
    differences: frozenset[Difference] = frozenset()
    pointers: frozenset[Pointer] = frozenset()
    keys: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.differences or self.pointers or self.keys)

    def both(self, later: _Seen) -> _Seen:
        return _Seen(
            later.posts,
            self.differences & later.differences,
            self.pointers & later.pointers,
            self.keys & later.keys,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """Audits users of these engines. Raises `Unavailable`. `repair`: None to mend nothing."""

    engines: Engines
    settings: Settings
    clock: Clock
    served: ServedFeeds
    facts: ReadFacts
    cached: CachedValues
    repair: Repair | None = None

    async def run(
        self, users: AsyncIterator[str], report: Report, show: Callable[[Report], None]
    ) -> None:
        """Audit these users, and count in `report`."""
        batch: list[str] = []
        async for user_id in users:
            batch.append(user_id)
            if len(batch) == USERS_AT_ONCE:
                await self._users(batch, report)
                show(report)
                batch = []
        await self._users(batch, report)
        report.cached_values = self.cached.compared
        show(report)

    async def _users(self, user_ids: Sequence[str], report: Report) -> None:
        seen = await asyncio.gather(*map(self._seen, user_ids))
        doubtful = {user_id: found for user_id, found in zip(user_ids, seen, strict=True) if found}
        if doubtful:
            await self.clock.sleep(AGAIN_AFTER_S)
        report.users += len(user_ids)
        report.posts += sum(found.posts for found in seen)
        for user_id, found in doubtful.items():
            wrong = found.both(await self._seen(user_id))
            if wrong:
                await self._judge(user_id, wrong, report)

    async def _seen(self, viewer: str) -> _Seen:
        since_ms = self.clock.now_ms() - self.settings.retention_ms
        by_pull = FeedsByPull(stores=self.engines.stores, depth=self.settings.feed_depth)
        pulled = await by_pull(viewer, since_ms=since_ms)
        by_time = [
            ServedPost(found.post.post_id, found.post.author_id, found.source)
            for found in await self.served.whole(viewer)
        ]
        candidates = [
            ServedPost(UUID(int=found.number), found.author_id, found.source)
            for found in await self.served.candidates(viewer)
        ]
        differences = compare(
            pulled,
            by_time,
            candidates,
            window=self.settings.relevance_window,
            most_of_pulled=Relevance().posts_per_pulled_author,
        )
        keys = await self.cached.different(viewer, by_time, since_ms=since_ms)
        pointers = await self._foreign(pulled)
        return _Seen(
            len(pulled.authors), frozenset(differences), frozenset(pointers), frozenset(keys)
        )

    async def _foreign(self, pulled: PulledFeed) -> list[Pointer]:
        # The author's list may be wrong, so the row of the post decides who its author is.
        doubtful = {
            post_id: named
            for post_id, named in pulled.pushed.items()
            if pulled.authors.get(post_id) != named
        }
        return await foreign_pointers(doubtful, self.engines.stores.posts)

    async def _judge(self, viewer: str, wrong: _Seen, report: Report) -> None:
        """Count what is wrong, and why; mend it if that is asked for."""
        for difference in sorted(wrong.differences, key=lambda found: found.post_id.int):
            await self._judge_post(viewer, difference, report)
        for pointer in sorted(wrong.pointers):
            says = f"the post is by {pointer.author_id}"
            of = str(pointer.post_id)
            report.add(Finding(viewer, "foreign-pointer", of, None, "foreign-pointer", says))
            if self.repair is not None:
                report.mend(await self.repair.correct(pointer, viewer))
        for key in sorted(wrong.keys):
            report.add(Finding(viewer, "cached", key, None, None, "it differs from the tables"))
        if wrong.keys and self.repair is not None:
            report.mend(await self.repair.forget(sorted(wrong.keys)))

    async def _judge_post(self, viewer: str, difference: Difference, report: Report) -> None:
        post_id = difference.post_id
        facts = await self.facts(viewer, post_id)
        found = explain(facts)
        if difference.what == "missing" and found.late:
            report.late += 1
            return
        # At least one: a post is shown by a source, or something keeps it out.
        reason = found.reasons[0]
        report.add(
            Finding(
                viewer,
                difference.what,
                str(post_id),
                difference.ranking,
                reason.kind,
                reason.says,
            )
        )
        if self.repair is not None and found.wrong:
            done = await self.repair.mend(facts, found)
            if done is None:
                report.leave(f"{post_id} of {viewer}: only a replay mends it")
            else:
                report.mend(done)
