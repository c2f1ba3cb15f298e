"""What a feed process remembers, on real Kafka and Cassandra: for half a second, and without the log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from uuid import UUID

import pytest

from console_service.explain.explanations import Explanations
from fanfold.adapters.stacks import real
from fanfold.core.buckets import FollowerBucket
from fanfold.core.clock import SystemClock
from fanfold.core.events import PostEdited, UserFollowed, UserUnfollowed, from_ms
from fanfold.core.ids import new_post_id
from fanfold.core.ports import FollowerEdge, Plan, Pointer, SliceDone
from fanfold.core.ports.engines import Engines
from fanfold.core.settings import Settings
from fanfold.ops.audit.command import Chosen, audit_once
from fanfold.ops.rebuild import rebuild_timeline
from feed_service.feed_reader import FeedReader, feed_reader
from tests.support.engines import RealEngines, prepared, settings_for
from tests.support.eventually import eventually
from tests.support.real_stack import fanfold
from tests.support.stores import add_pulled, write_edges

pytestmark = pytest.mark.real

CLOCK = SystemClock()
SOON_S = 10.0
"""`tests/unit/test_feed_freshness.py` shows the half second, on a clock of its own. Here engines and other tests have the cores too."""


@dataclass
class Opened:
    """Alice follows Bob, who is pushed, and a star, who is pulled; each has one post."""

    engines: Engines
    settings: Settings
    reader: FeedReader
    by_bob: UUID
    by_star: UUID

    async def contents(self) -> list[str]:
        page, missing = await self.reader.feeds.page(
            "alice", ranking="chronological", limit=10, cursor=None
        )
        assert missing == []
        return [item.content for item in page.items]

    async def shows(self, *contents: str, within_s: float) -> None:
        async def shown() -> bool:
            return await self.contents() == list(contents)

        await eventually(shown, within_s=within_s, what=f"the feed shows {contents}", every_s=0.02)

    async def edit(self, content: str) -> None:
        """As the API and the worker would, one after the other."""
        now_ms = CLOCK.now_ms()
        position = await self.engines.log.append(
            PostEdited(
                post_id=self.by_bob, author_id="bob", content=content, edited_at=from_ms(now_ms)
            )
        )
        assert position is not None
        await self.engines.stores.posts.edit(
            self.by_bob, content, edited_at_ms=now_ms, offset=position.offset
        )


@asynccontextmanager
async def opened(engines: RealEngines) -> AsyncIterator[Opened]:
    settings = await prepared(settings_for(engines, request_timeout_s=2))
    async with real(settings, clock=CLOCK, source="test") as both:
        by_bob, by_star = new_post_id(CLOCK.now_ms() - 2000), new_post_id(CLOCK.now_ms() - 1000)
        stores = both.stores
        for author, post_id in (("bob", by_bob), ("star", by_star)):
            now_ms = CLOCK.now_ms()
            position = await both.log.append(
                UserFollowed(follower_id="alice", followee_id=author, followed_at=from_ms(now_ms))
            )
            assert position is not None
            edge = FollowerEdge("alice", 0, True, now_ms, position.offset, position.offset)
            await write_edges(stores, author, [edge])
            await stores.follows.mark_materialised(author, [("alice", position.offset)])
            await stores.posts.create(post_id, author, f"by {author}")
        await stores.timelines.push([Pointer(by_bob, "bob")], ["alice"])
        await add_pulled(stores, Pointer(by_star, "star"), clock=CLOCK)
        async with feed_reader(settings, both, clock=CLOCK) as reader:
            yield Opened(both, settings, reader, by_bob, by_star)


async def test_an_edit_and_an_unfollow_show_in_warm_feeds(
    engines: RealEngines,
) -> None:
    async with opened(engines) as it:
        await it.shows("by star", "by bob", within_s=30)
        await it.edit("edited")
        await it.shows("by star", "edited", within_s=SOON_S)

        now_ms = CLOCK.now_ms()
        position = await it.engines.log.append(
            UserUnfollowed(follower_id="alice", followee_id="star", unfollowed_at=from_ms(now_ms))
        )
        assert position is not None
        gone = FollowerEdge("alice", 0, False, now_ms, position.offset, position.offset)
        await write_edges(it.engines.stores, "star", [gone])
        await it.shows("edited", within_s=SOON_S)


async def test_a_new_post_of_a_celebrity_shows_in_warm_feeds(
    engines: RealEngines,
) -> None:
    async with opened(engines) as it:
        await it.shows("by star", "by bob", within_s=30)
        post_id = new_post_id(CLOCK.now_ms())
        await it.engines.stores.posts.create(post_id, "star", "news")
        await add_pulled(it.engines.stores, Pointer(post_id, "star"), clock=CLOCK)
        await it.shows("news", "by star", "by bob", within_s=SOON_S)


async def test_feeds_need_no_kafka(engines: RealEngines) -> None:
    async with opened(engines) as it:
        await it.shows("by star", "by bob", within_s=30)
        await asyncio.to_thread(engines.kill_kafka)
        try:
            await it.engines.stores.posts.edit(
                it.by_bob, "still read", edited_at_ms=CLOCK.now_ms(), offset=7
            )
            await it.shows("by star", "still read", within_s=SOON_S)
        finally:
            await asyncio.to_thread(engines.start_kafka)


async def test_an_audit_finds_what_the_tables_lack_and_mends_it(engines: RealEngines) -> None:
    async with opened(engines) as system:
        both, settings = system.engines, system.settings
        stores, now_ms = both.stores, CLOCK.now_ms()
        lost, zoes = new_post_id(now_ms), new_post_id(now_ms)
        for author, post_id in (("bob", lost), ("zoe", zoes)):
            await stores.posts.create(post_id, author, "hello")
            await stores.posts.set_delivery(author, post_id, "push", offset=1)
        # A delivery that was recorded and whose row is gone, and a pointer that names another author.
        await stores.jobs.write_plan(lost, Plan("push", 1, 0, 1, now_ms, 1), offset=1)
        bucket = FollowerBucket(0, 0)
        await stores.jobs.finish_slice(lost, bucket, SliceDone(1, now_ms), offset=1)
        await stores.timelines.push([Pointer(zoes, "bob")], ["alice"])

        chosen = Chosen(users=["alice"])
        found = await audit_once(both, settings, chosen, clock=CLOCK)
        # Relevance ranks the foreign pointer, too: it reads no content of most candidates.
        assert dict(found.wrong) == {"missing": 2, "extra": 1, "foreign-pointer": 1}
        assert {finding.cause for finding in found.findings} == {
            "timeline-row-missing",
            "never-followed",
            "foreign-pointer",
        }
        wrong = await fanfold(settings, "explain", "alice", str(lost), "--json")
        assert wrong.returncode == 1, wrong.stderr
        (reason,) = json.loads(wrong.stdout)["reasons"]
        assert reason["reason"] == "timeline-row-missing"
        explain = Explanations(both.tables, settings=settings, clock=CLOCK)
        assert await explain("alice", lost) == json.loads(wrong.stdout)
        mended = await audit_once(both, settings, replace(chosen, repair=True), clock=CLOCK)
        assert (mended.wrong_users, mended.repaired_users) == (0, 1), mended.as_json()
        await system.shows("hello", "by star", "by bob", within_s=SOON_S)
        right = await fanfold(settings, "explain", "alice", str(lost))
        assert (right.returncode, "is in the feed of alice" in right.stdout) == (0, True)

        rebuilt = await rebuild_timeline("alice", both, settings, clock=CLOCK)
        # The star's post, of which no delivery is recorded here.
        assert (rebuilt.pushed, rebuilt.corrected) == (1, 0)
        sampled = await audit_once(both, settings, Chosen(count=100), clock=CLOCK)
        assert sampled.wrong_users == 0 < sampled.users
