"""Whatever happened, a whole feed is the sorted set of the posts that it should hold, and each post is in it once.

The model is a set of posts, and sets of follows, mutes, blocks, likes and users who left. The tables are written as the
worker would write them: some authors are pushed, some pulled, some both; backfills have finished or not; pointers of
authors who are no longer followed are left over. The reader keeps what it has read in memory, as the product does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any
from uuid import UUID

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fanfold.core.events import PostCreated
from fanfold.core.ports.engines import Engines
from fanfold.core.settings import Settings
from fanfold.http.problems import UserNotFound
from feed_service.caches.cache import SHARED_S
from tests.support.examples import examples
from tests.support.explained import explained
from tests.support.feed import Reader, World
from tests.support.liking import a_departure, a_like, an_unlike

USERS = ("alice", "bob", "carol", "star", "comet")
CELEBRITIES = {"star", "comet"}
DEPTH = 12
MOST_LEAVERS = 2
users = st.sampled_from(USERS)
limits = st.lists(st.integers(1, 7), min_size=1, max_size=4)


class Feeds(RuleBasedStateMachine):
    cached = False

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        settings = Settings(feed_depth=DEPTH, relevance_window=10, retention_days=1)
        self.world = World(settings=settings, celebrities=set(CELEBRITIES), cached=self.cached)
        # So few likes are cached that older ones have to be looked up.
        self.reader = Reader(self.world, listed_likes=1, kept_s=SHARED_S)
        self.authors: dict[UUID, str] = {}
        self.contents: dict[UUID, str] = {}
        self.following: set[tuple[str, str]] = set()
        self.unfinished: set[tuple[str, str]] = set()
        self.ties: dict[str, set[tuple[str, str]]] = {"mute": set(), "block": set()}
        self.likes: set[tuple[str, UUID]] = set()
        self.left: set[str] = set()
        self.turn = 0
        # Starts with a feed, because most sequences would end before there is one.
        for n, author in enumerate(USERS):
            self.a_post(author, 100 * n, "usual")
            for reader in USERS[:n]:
                self.a_follow(reader, author, backfilled=True)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.run(self.reader.reads.close())
            self.loop.close()

    # Events.

    @rule(
        author=users,
        ago_s=st.integers(0, 90_000),
        strategy=st.sampled_from(["usual", "both", None]),
    )
    def a_post(self, author: str, ago_s: int, strategy: str | None) -> None:
        # A post not planned yet is in no timeline, so only its author may be asked about it.
        if strategy is None and any(followee == author for _, followee in self.following):
            strategy = "usual"
        change = self.world.a_post(
            author,
            content="as created",
            ago_s=ago_s,
            strategy="" if strategy == "usual" else strategy,
        )
        self.run(self.world.happen(change))
        assert isinstance(change.event, PostCreated)
        post_id = change.event.post_id
        if strategy is None:
            self.run(
                self.world.stores.posts.set_delivery(author, post_id, "push", offset=change.offset)
            )
        self.authors[post_id], self.contents[post_id] = author, "as created"

    @rule(follower=users, followee=users, backfilled=st.booleans())
    def a_follow(self, follower: str, followee: str, backfilled: bool) -> None:
        if follower == followee or (follower, followee) in self.following:
            return
        self.run(self.world.follow(follower, followee, backfilled=backfilled))
        self.following.add((follower, followee))
        if not backfilled:
            self.unfinished.add((follower, followee))

    @precondition(lambda self: self.unfinished)
    @rule(data=st.data())
    def a_backfill_finishes(self, data: st.DataObject) -> None:
        edge = data.draw(st.sampled_from(sorted(self.unfinished)))
        self.run(self.world.backfill(*edge))
        self.unfinished.discard(edge)

    @precondition(lambda self: self.following)
    @rule(data=st.data())
    def an_unfollow(self, data: st.DataObject) -> None:
        edge = data.draw(st.sampled_from(sorted(self.following)))
        self.run(self.world.happen(self.world.an_unfollow(*edge)))
        self.following.discard(edge)
        self.unfinished.discard(edge)

    @precondition(lambda self: self.contents)
    @rule(data=st.data(), content=st.sampled_from(["once", "twice"]))
    def an_edit(self, data: st.DataObject, content: str) -> None:
        post_id = data.draw(st.sampled_from(sorted(self.contents)))
        by = self.authors[post_id]
        self.run(self.world.happen(self.world.an_edit(post_id, content, by=by)))
        self.contents[post_id] = content

    @precondition(lambda self: self.contents)
    @rule(data=st.data())
    def a_deletion(self, data: st.DataObject) -> None:
        post_id = data.draw(st.sampled_from(sorted(self.contents)))
        change = self.world.a_deletion(post_id, by=self.authors[post_id])
        self.run(self.world.happen(change))
        del self.contents[post_id]

    @rule(kind=st.sampled_from(["mute", "block"]), user=users, other=users)
    def a_tie(self, kind: str, user: str, other: str) -> None:
        if user != other:
            self.run(self.world.happen(self.world.a_tie(kind, user, other)))
            self.ties[kind].add((user, other))

    @precondition(lambda self: any(self.ties.values()))
    @rule(data=st.data())
    def a_tie_ends(self, data: st.DataObject) -> None:
        made = sorted((kind, *tie) for kind, ties in self.ties.items() for tie in ties)
        kind, *tie = data.draw(st.sampled_from(made))
        self.run(self.world.happen(self.world.a_tie(f"un{kind}", *tie)))
        self.ties[kind].discard((tie[0], tie[1]))

    @precondition(lambda self: self.contents)
    @rule(user=users, data=st.data())
    def someone_likes_a_post(self, user: str, data: st.DataObject) -> None:
        post_id = data.draw(st.sampled_from(sorted(self.contents)))
        by = self.authors[post_id]
        self.run(self.world.happen(a_like(self.world, user, post_id, by=by)))
        self.likes.add((user, post_id))

    @precondition(lambda self: self.contents)
    @rule(user=users, data=st.data())
    def a_like_ends(self, user: str, data: st.DataObject) -> None:
        liked = sorted(post_id for by, post_id in self.likes if by == user)
        post_id = data.draw(st.sampled_from(liked or sorted(self.contents)))
        by = self.authors[post_id]
        self.run(self.world.happen(an_unlike(self.world, user, post_id, by=by)))
        self.likes.discard((user, post_id))

    @precondition(lambda self: len(self.left) < MOST_LEAVERS)
    @rule(user=users)
    def someone_leaves(self, user: str) -> None:
        self.run(self.world.happen(a_departure(self.world, user)))
        self.left.add(user)

    @rule(seconds=st.sampled_from([0.1, 2, 70, 5000]))
    def time_passes(self, seconds: float) -> None:
        self.world.clock.advance(seconds)

    # Reads.

    def model(self, viewer: str) -> list[UUID]:
        since_ms = self.world.clock.now_ms() - self.world.settings.retention_ms
        return sorted(
            (
                post_id
                for post_id in self.contents
                for author in [self.authors[post_id]]
                if author == viewer or (viewer, author) in self.following
                if author not in self.left and not self.hidden(viewer, author)
                if post_id.int >> 80 >= since_ms
            ),
            reverse=True,
        )

    def hidden(self, viewer: str, author: str) -> bool:
        blocks = self.ties["block"]
        return (viewer, author) in self.ties["mute"] | blocks or (author, viewer) in blocks

    def item(self, viewer: str, post_id: UUID) -> tuple[object, ...]:
        likers = {user for user, liked in self.likes if liked == post_id}
        return post_id, self.contents[post_id], len(likers), viewer in likers

    def refreshed(self) -> None:
        # The pulled authors are at most a second old; a push and a pull overlap for longer than that. So are the cache's outages.
        self.world.clock.advance(1)
        self.run(self.world.cache_epoch.read())

    @invariant()
    def each_viewer_in_turn_sees_the_model(self) -> None:
        if hasattr(self, "turn"):
            self.turn += 1
            self.check(USERS[self.turn % len(USERS)], [5])

    def gone(self, viewer: str) -> bool:
        """Whether the viewer has left; then there is no feed."""
        if viewer not in self.left:
            return False
        with pytest.raises(UserNotFound):
            self.run(self.reader.page(viewer))
        return True

    @rule(viewer=users, turns=limits)
    def a_chronological_feed_is_the_model(self, viewer: str, turns: list[int]) -> None:
        self.check(viewer, turns)

    def check(self, viewer: str, turns: list[int]) -> None:
        self.refreshed()
        if self.gone(viewer):
            return
        items = self.run(self.reader.whole(viewer, limits=turns))
        assert [
            (item.post_id, item.content, item.like_count, item.liked_by_me) for item in items
        ] == [self.item(viewer, post_id) for post_id in self.model(viewer)[:DEPTH]]

    @rule(viewer=users)
    def a_post_is_explained_as_in_the_feed_if_and_only_if_the_feed_shows_it(
        self, viewer: str
    ) -> None:
        self.refreshed()
        engines = Engines(None, self.world.stores, self.world.cache)  # type: ignore[arg-type]
        settings, clock = self.world.settings, self.world.clock
        shown = set(self.model(viewer)[:DEPTH]) if viewer not in self.left else set()
        for post_id in self.authors:
            found = self.run(explained(engines, viewer, post_id, settings=settings, clock=clock))
            assert (found.in_feed, found.wrong) == (post_id in shown, False), found

    @rule(viewer=users, turns=limits)
    def a_relevance_feed_shows_no_post_twice_and_none_that_is_not_in_the_feed(
        self, viewer: str, turns: list[int]
    ) -> None:
        self.refreshed()
        if self.gone(viewer):
            return
        items = self.run(self.reader.whole(viewer, ranking="relevance", limits=turns))
        shown = [item.post_id for item in items]
        assert len(shown) == len(set(shown))
        feed = self.model(viewer)
        assert set(shown) <= set(feed)
        pulled = [item.author_id for item in items if item.source == "pull"]
        assert all(pulled.count(author) <= 5 for author in pulled)
        if len(feed) <= 5:
            assert set(shown) == set(feed)
            if not self.likes:
                assert shown == feed


class FeedsThroughTheSharedCache(Feeds):
    """The same through the shared cache, with what can happen to it."""

    cached = True

    @rule(data=st.data())
    def a_key_is_evicted(self, data: st.DataObject) -> None:
        kept = self.world.cache_server.kept
        if kept:
            del kept[data.draw(st.sampled_from(sorted(kept)))]

    @rule()
    def the_cache_is_saved(self) -> None:
        self.snapshot = self.world.cache_server.snapshot()

    @rule()
    def the_cache_restarts_from_what_was_saved(self) -> None:
        self.world.cache_server.restart(getattr(self, "snapshot", {}))

    @rule(away=st.booleans())
    def the_cache_is_away_for_the_worker_or_back(self, away: bool) -> None:
        self.world.telling.away = {"forget", "push"} if away else set()


TestFeeds = Feeds.TestCase
TestFeedsThroughTheSharedCache = FeedsThroughTheSharedCache.TestCase
TestFeedsThroughTheSharedCache.settings = examples(60, stateful_step_count=40)
TestFeeds.settings = examples(60, stateful_step_count=40)
