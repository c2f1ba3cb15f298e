"""Reads that must see given writes: which rows they wait for, for how long, and what they report when a row is late."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from fanfold.core.events import (
    POSTS,
    PROJECTED_TOPICS,
    Event,
    PostLiked,
    UserBlocked,
    UserFellAsleep,
    UserLeft,
    UserMuted,
    UserUnblocked,
    UserUnfollowed,
    UserUnmuted,
    UserWoke,
    from_ms,
)
from fanfold.core.ids import new_post_id
from fanfold.core.ports import FollowerEdge, Like, LikeCount, ListedLike, RecentLike, User
from fanfold.core.ports.log import Position, Record
from fanfold.http.after_writes import NOTHING_AWAITED, WITHIN_S, AfterWrites, Awaited
from fanfold.http.positions import Written
from tests.support.clock import START_MS, ManualClock
from tests.support.feed import Change, Records, World
from tests.support.stores import write_edges

AT = from_ms(START_MS)
BEHIND = Awaited((), behind=True)


@dataclass
class Waiting:
    """The use case over a world whose changes the test projects."""

    world: World = field(default_factory=lambda: World(clock=ManualClock(autojump=True)))
    log: Records = field(default_factory=Records)

    async def after(self, *written: Written, viewer: str = "alice") -> Awaited:
        wait = AfterWrites(self.log, self.world.stores, self.world.clock)  # type: ignore[arg-type]
        return await wait(viewer, written)

    async def check(self, change: Change) -> None:
        """Behind before the change is projected, and seen after it: by a write's answer and by a position alone."""
        answered = as_written(change)
        alone = Written(self.log.keep(change.event, change.offset))
        for written in (answered, alone):
            assert await self.after(written) == BEHIND
        await change.project()
        for written in (answered, alone):
            seen = await self.after(written)
            assert seen == Awaited(change.event.changes(), behind=False)


def as_written(change: Change) -> Written:
    """What the write answered, as the client sends it."""
    position = Position(change.event.topic, 0, change.offset)
    return Written.parse(str(Written(position, change.event.changes())))


@pytest.fixture
def it() -> Waiting:
    return Waiting()


async def test_what_a_write_answered_is_not_looked_up_in_the_log(it: Waiting) -> None:
    change = it.world.a_post("bob")
    await change.project()
    it.log.away = True
    assert await it.after(as_written(change)) == Awaited(change.event.changes(), behind=False)


async def test_no_store_is_asked_without_positions(it: Waiting) -> None:
    it.log.away = True
    assert await it.after() == NOTHING_AWAITED


async def test_a_post_is_seen_once_it_is_listed_and_its_author_is_pulled(it: Waiting) -> None:
    change = it.world.a_post("bob", strategy=None)
    await it.check(change)
    assert (await it.after(as_written(change))).authors == {"bob"}


async def test_an_edit_and_a_deletion_are_seen_once_the_post_s_row_shows_them(it: Waiting) -> None:
    post_id = await it.world.post("bob")
    await it.check(it.world.an_edit(post_id, "edited"))
    await it.check(it.world.a_deletion(post_id))


async def test_a_follow_and_an_unfollow_are_seen_by_their_follower(it: Waiting) -> None:
    await it.check(it.world.a_follow("alice", "bob"))
    await it.check(it.world.an_unfollow("alice", "bob"))


async def test_an_unfollow_without_a_follow_is_seen_once_it_is_counted(it: Waiting) -> None:
    """A block ends both follows, though mostly there was none: then there is no edge that could show it."""
    stores = it.world.stores
    event = UserUnfollowed(follower_id="alice", followee_id="bob", unfollowed_at=AT)
    await stores.users.write_follower_count(User("bob"), offset=6)
    await it.check(
        _change(event, 7, lambda: stores.users.write_follower_count(User("bob"), offset=7))
    )


async def test_an_active_follow_is_not_taken_for_ended_because_its_end_is_counted(
    it: Waiting,
) -> None:
    stores = it.world.stores
    follow, unfollow = it.world.a_follow("alice", "bob"), it.world.an_unfollow("alice", "bob")
    await follow.project()
    await stores.users.write_follower_count(User("bob"), offset=unfollow.offset)
    assert await it.after(as_written(unfollow)) == BEHIND


def _change(event: Event, offset: int, project: Callable[[], Awaitable[None]]) -> Change:
    return Change(event, offset, project)


async def test_mutes_and_blocks_are_seen_by_both_users(it: Waiting) -> None:
    stores = it.world.stores

    def tie(
        method: str, a: str, b: str, *, active: bool, offset: int
    ) -> Callable[[], Awaitable[None]]:
        return lambda: getattr(stores.ties, method)(
            a, b, active=active, since_ms=START_MS, offset=offset
        )

    mute = UserMuted(user_id="alice", target_id="bob", muted_at=AT)
    unmute = UserUnmuted(user_id="alice", target_id="bob", unmuted_at=AT)
    block = UserBlocked(user_id="bob", target_id="alice", blocked_at=AT)
    unblock = UserUnblocked(user_id="bob", target_id="alice", unblocked_at=AT)
    await it.check(_change(mute, 1, tie("write_mute", "alice", "bob", active=True, offset=1)))
    await it.check(_change(unmute, 2, tie("write_mute", "alice", "bob", active=False, offset=2)))
    await it.check(_change(block, 3, tie("write_block", "bob", "alice", active=True, offset=3)))
    await it.check(_change(unblock, 4, tie("write_block", "bob", "alice", active=False, offset=4)))


async def test_a_like_is_seen_once_the_liker_s_row_shows_it(it: Waiting) -> None:
    likes, post_id = it.world.stores.likes, new_post_id(START_MS)
    event = PostLiked(post_id=post_id, author_id="bob", user_id="alice", liked_at=AT)

    async def project() -> None:
        await likes.write_counts({post_id: LikeCount(1, 7)})
        await likes.write_recent(
            [ListedLike("alice", RecentLike(START_MS, post_id, "bob"), True, 7)]
        )
        assert await it.after(Written(it.log.keep(event, 7))) == BEHIND
        await likes.write([Like("alice", post_id, "bob", True, START_MS, 7)])

    await it.check(_change(event, 7, project))


async def test_another_user_s_like_is_seen_once_the_post_counts_it(it: Waiting) -> None:
    """The users who like a post are private, so no request may find them out by waiting for a like."""
    likes, post_id = it.world.stores.likes, await it.world.post("bob")
    await likes.write([Like("carol", post_id, "bob", True, START_MS, 7)])
    event = PostLiked(post_id=post_id, author_id="bob", user_id="carol", liked_at=AT)
    await it.check(_change(event, 7, lambda: likes.write_counts({post_id: LikeCount(1, 7)})))


async def test_a_name_is_seen_once_the_user_s_row_shows_it(it: Waiting) -> None:
    await it.check(it.world.a_name("bob", "Bob"))
    await it.check(it.world.a_name("bob", "Bob"))


async def test_a_departure_and_a_sleep_are_seen_in_the_user_s_row(it: Waiting) -> None:
    stores = it.world.stores
    left = UserLeft(user_id="bob", left_at=AT)
    asleep = UserFellAsleep(user_id="alice", fell_asleep_at=AT)
    await it.check(_change(left, 1, lambda: stores.users.leave("bob", offset=1)))
    await it.check(
        _change(asleep, 9, lambda: stores.users.set_asleep("alice", asleep=True, offset=9))
    )


async def test_a_viewer_does_not_wait_for_events_that_change_nothing_in_their_feed(
    it: Waiting,
) -> None:
    follow = it.world.a_follow("carol", "bob")
    mute = UserMuted(user_id="carol", target_id="alice", muted_at=AT)
    woke = UserWoke(user_id="alice", woke_at=AT)
    written = [Written(it.log.keep(event, n)) for n, event in enumerate((follow.event, mute, woke))]
    assert not (await it.after(*written)).behind


async def test_a_read_waits_for_a_write_that_is_projected_meanwhile(it: Waiting) -> None:
    clock = it.world.clock = ManualClock()
    change = it.world.a_follow("alice", "bob")
    reading = asyncio.create_task(it.after(as_written(change)))
    while not clock.sleeping:  # noqa: ASYNC110
        await asyncio.sleep(0)
    await change.project()
    clock.advance(0.1)
    assert not (await reading).behind


async def test_one_late_write_makes_the_read_behind_and_the_others_are_still_seen(
    it: Waiting,
) -> None:
    post, follow = it.world.a_post("bob"), it.world.a_follow("alice", "bob")
    await post.project()
    seen = await it.after(as_written(post), as_written(follow))
    assert seen == Awaited(post.event.changes(), behind=True)
    assert sum(it.world.clock.slept_s) <= WITHIN_S


@pytest.mark.parametrize("topic", PROJECTED_TOPICS)
async def test_a_position_without_a_record_is_behind(it: Waiting, topic: str) -> None:
    assert await it.after(Written(Position(topic, 0, 10**9))) == BEHIND


async def test_unavailable_engines_make_a_read_behind_and_raise_no_error(it: Waiting) -> None:
    change = it.world.a_follow("alice", "bob")
    written = Written(it.log.keep(change.event, change.offset))
    await change.project()
    it.log.away = True
    assert await it.after(written) == BEHIND
    it.log.away = False
    it.world.graph.away.add("follows_of")
    assert await it.after(written) == BEHIND


async def test_a_record_that_is_no_event_is_behind_at_once(it: Waiting) -> None:
    position = Position(POSTS, 0, 3)
    it.log.records[position] = Record(POSTS, 0, 3, b"bob", b"{", {}, START_MS)
    assert await it.after(Written(position)) == BEHIND
    assert sum(it.world.clock.slept_s) < 0.1


async def test_an_edge_of_an_earlier_follow_is_not_mistaken_for_a_later_follow(it: Waiting) -> None:
    edge = FollowerEdge("alice", 0, True, START_MS, 1, 1)
    await write_edges(it.world.stores, "bob", [edge])
    it.world.offset = 5
    await it.check(it.world.a_follow("alice", "bob"))
