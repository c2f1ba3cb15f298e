"""The whole of Fanfold against the oracle: any history, any faults, and once everything is handled every feed is what the log says.

Users follow, post, edit, delete, mute, block, like, fall asleep, wake and leave; authors cross the threshold both ways; the clock jumps.
Batches are cut anywhere and delivered again; a worker dies between any two store calls, and an older one comes back and repeats what it once had
before it. The shared cache is evicted, restarted from an old snapshot, or away for the workers alone, while a process reads through it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from fanfold.core.events import Event, PostCreated, UserLeft, UserRegistered
from fanfold.http.problems import UserNotFound
from tests.support.examples import examples
from tests.support.fanout import (
    SMALL,
    TOPICS,
    a_block,
    a_deletion,
    a_follow,
    a_like,
    a_mute,
    a_post,
    an_edit,
    an_unblock,
    an_unfollow,
    an_unlike,
    an_unmute,
    at,
)
from tests.support.sleeping import a_sleep, an_awakening
from tests.support.whole_system import WholeSystem, a_whole_system

STARS = ("alice", "zoe")
READERS = ("bob", "carl", "dave", "erin")
EVERYONE = (*STARS, *READERS)
"""With a threshold of 3 and 80 % of it for the way back, four readers cross it both ways all the time."""

users, stars = st.sampled_from(EVERYONE), st.sampled_from(STARS)
topics = st.sampled_from(TOPICS)


class Whole(RuleBasedStateMachine):
    @initialize(overlap_s=st.sampled_from([0, 1, 60]))
    def begin(self, overlap_s: int) -> None:
        self.loop = asyncio.new_event_loop()
        self.stack = AsyncExitStack()
        settings = SMALL.model_copy(
            update={
                "overlap_s": overlap_s,
                "retention_days": 1,
                "cache": "memory",
                "relevance_window": 8,
            }
        )
        opened = self.stack.enter_async_context(a_whole_system(settings))
        self.system: WholeSystem = self.run(opened)
        self.posts: list[PostCreated] = []
        self.left: set[str] = set()
        # Starts with feeds, because most histories would end before there are any.
        for reader, star in zip(READERS, (*STARS, *STARS), strict=True):
            self.append(a_follow(reader, star))
        for star in STARS:
            self.publishes(star)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def append(self, *events: Event) -> None:
        self.run(self.system.append(*events))

    def now_ms(self) -> int:
        return self.system.clock.now_ms()

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        try:
            if hasattr(self, "left"):
                self.everything_is_handled_and_every_feed_is_the_oracles([3])
                self.run(self.system.audited())
        finally:
            self.run(self.stack.aclose())
            self.loop.close()

    # What users do.

    @rule(by=users)
    def publishes(self, by: str) -> None:
        self.system.clock.advance(0.01)
        post = a_post(by=by, ms=self.now_ms())
        self.posts.append(post)
        self.append(post)

    @rule(reader=users, author=stars, again=st.booleans())
    def follows(self, reader: str, author: str, again: bool) -> None:
        if reader != author:
            self.append(a_follow(reader, author), *([a_follow(reader, author)] if again else []))

    @rule(reader=users, author=stars)
    def unfollows(self, reader: str, author: str) -> None:
        if reader != author:
            self.append(an_unfollow(reader, author))

    @precondition(lambda self: self.posts)
    @rule(data=st.data(), what=st.sampled_from(["edit", "edit", "delete", "publish again"]))
    def changes_a_post(self, data: st.DataObject, what: str) -> None:
        post = data.draw(st.sampled_from(self.posts))
        match what:
            case "edit":
                self.append(an_edit(post, data.draw(st.sampled_from(["hello", "edited"]))))
            case "delete":
                self.append(a_deletion(post))
            case _:
                self.append(post)

    @precondition(lambda self: self.posts)
    @rule(data=st.data(), by=users, likes=st.booleans())
    def likes_a_post(self, data: st.DataObject, by: str, likes: bool) -> None:
        post = data.draw(st.sampled_from(self.posts))
        self.append((a_like if likes else an_unlike)(post, by, ms=self.now_ms()))

    @rule(by=users, of=users, what=st.sampled_from(["mute", "unmute", "block", "unblock"]))
    def ties(self, by: str, of: str, what: str) -> None:
        if by == of:
            return
        match what:
            case "mute":
                self.append(a_mute(by, of))
            case "unmute":
                self.append(an_unmute(by, of))
            case "block":
                self.append(an_unfollow(by, of), an_unfollow(of, by), a_block(by, of))
            case _:
                self.append(an_unblock(by, of))

    @rule(user=users, name=st.sampled_from(["A name", "Another name"]))
    def registers(self, user: str, name: str) -> None:
        registered_at = at(self.now_ms())
        self.append(UserRegistered(user_id=user, display_name=name, registered_at=registered_at))

    @rule(user=users, asleep=st.booleans())
    def sleeps_or_wakes(self, user: str, asleep: bool) -> None:
        self.append(a_sleep(user) if asleep else an_awakening(user))

    @precondition(lambda self: not self.left)
    @rule(user=users)
    def leaves(self, user: str) -> None:
        self.left.add(user)
        self.append(UserLeft(user_id=user, left_at=at(self.now_ms())))

    @rule(seconds=st.sampled_from([0.4, 5, 30, 90, 3600, 20 * 3600]))
    def the_clock_jumps(self, seconds: float) -> None:
        self.system.clock.advance(seconds)

    # What the workers do, and what becomes of them.

    @rule(
        topic=topics,
        limit=st.integers(1, 12),
        redelivers=st.integers(0, 6),
        writes=st.none() | st.integers(0, 25),
    )
    def a_worker_takes_a_batch(
        self, topic: str, limit: int, redelivers: int, writes: int | None
    ) -> None:
        self.run(self.system.take(topic, limit=limit, redelivers=redelivers, writes=writes))

    @rule()
    def another_worker_takes_over(self) -> None:
        self.system.restart()

    @precondition(lambda self: self.system.old_workers)
    @rule(data=st.data(), topic=topics, back=st.integers(0, 20), limit=st.integers(1, 8))
    def a_worker_comes_back_late(
        self, data: st.DataObject, topic: str, back: int, limit: int
    ) -> None:
        worker = data.draw(st.sampled_from(self.system.old_workers))
        after = max(0, self.system.acknowledged[topic] - back)
        self.run(self.system.come_back(worker, topic, after=after, limit=limit))

    # What becomes of the cache, and of the process that reads through it.

    @rule(viewer=users, ranking=st.sampled_from(["chronological", "relevance"]))
    def reads(self, viewer: str, ranking: Any) -> None:
        """Whatever is under way: no post is shown twice, and the cache is filled with what is in the tables now."""
        self.run(self.system.epoch.read())
        try:
            page, _ = self.run(self.system.reader.page(viewer, ranking=ranking))
        except UserNotFound:
            assert viewer in self.left
            return
        shown = [item.post_id for item in page.items]
        assert len(shown) == len(set(shown))

    @rule(data=st.data())
    def a_key_is_evicted(self, data: st.DataObject) -> None:
        if kept := self.system.server.kept:
            del kept[data.draw(st.sampled_from(sorted(kept)))]

    @rule(save=st.booleans())
    def the_cache_is_saved_or_restarts_from_what_was_saved(self, save: bool) -> None:
        if save:
            self.system.snapshot = self.system.server.snapshot()
        else:
            self.system.server.restart(dict(self.system.snapshot))

    @rule(away=st.booleans())
    def the_cache_is_away_for_workers_or_back(self, away: bool) -> None:
        self.system.away = away
        self.system.restart()

    @rule()
    def the_reading_process_restarts(self) -> None:
        self.run(self.system.reader.presence.close())
        self.run(self.system.reader.reads.close())
        self.system.begin_reading()

    # What must be true.

    @rule(limits=st.lists(st.integers(1, 7), min_size=1, max_size=3))
    def everything_is_handled_and_every_feed_is_the_oracles(self, limits: list[int]) -> None:
        self.run(self.system.quiet())
        oracle = self.run(self.system.oracle())
        since_ms = self.now_ms() - self.system.settings.retention_ms
        counts = oracle.follower_counts()
        for viewer in EVERYONE:
            if viewer in oracle.left:
                with pytest.raises(UserNotFound):
                    self.run(self.system.reader.page(viewer))
                continue
            feed = oracle.feed(viewer, since_ms=since_ms)
            assert self.run(self.system.shown(viewer, limits)) == feed
            self.relevance_shows_some_of(viewer, {post.post_id for post in feed})
            user = self.run(self.system.user(viewer))
            assert user.follower_count == counts[viewer]
            assert user.asleep == (viewer in oracle.asleep)
            assert user.post_count == sum(
                not oracle.posts[post_id]["deleted"] for post_id in oracle.by_author[viewer]
            )
        assert self.run(self.system.dead_letters()) == []

    def relevance_shows_some_of(self, viewer: str, feed: set[str]) -> None:
        items = self.run(self.system.reader.whole(viewer, ranking="relevance"))
        shown = [str(item.post_id) for item in items]
        assert len(shown) == len(set(shown))
        assert set(shown) <= feed
        if len(feed) <= 5:
            assert set(shown) == feed

    @rule()
    def crossings_alternate(self) -> None:
        """Each crossing has one id, however often and by however many workers it was appended."""
        announced: dict[UUID, Any] = {}
        for crossing in self.run(self.system.crossings()):
            assert announced.setdefault(crossing.event_id, crossing) == crossing
        for star in STARS:
            sides = [c.delivery for c in announced.values() if c.author_id == star]
            assert sides == [("pull", "push")[n % 2] for n in range(len(sides))]


TestWhole = Whole.TestCase
TestWhole.settings = examples(200, in_check=10, stateful_step_count=40)
