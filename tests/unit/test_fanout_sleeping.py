"""Users who sleep are skipped, users who wake up miss nothing, and no old event undoes a newer one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import REGISTRY

from fanfold.core.buckets import buckets_up_to
from fanfold.core.events import (
    ACTIVITY,
    COMMANDS,
    GRAPH,
    POSTS,
    Event,
    MaterialiseTimeline,
    PostCreated,
    UnderWay,
)
from fanfold.core.ids import new_post_id
from fanfold.core.settings import Settings
from fanout_service.worker import Worker
from tests.support.clock import START_MS
from tests.support.crashes import Killed, Life
from tests.support.fanout import (
    SMALL,
    Pipeline,
    a_follow,
    a_pipeline,
    a_post,
    a_record,
    an_unfollow,
)
from tests.support.feed import FaultyStore, Graph
from tests.support.sleeping import a_sleep, an_awakening, found_by

PUSHED = SMALL.model_copy(update={"pull_threshold": 1000, "take_events": 200})


async def marks(pipeline: Pipeline, author: str = "alice") -> tuple[list[str], int]:
    """The users that a fan-out would deliver to, sorted, and how many it would leave out."""
    user = await pipeline.user(author)
    audiences = [
        await pipeline.stores.follows.audience(author, bucket)
        for bucket in buckets_up_to(user.generation)
    ]
    return sorted(name for audience in audiences for name in audience.awake_ids), sum(
        audience.asleep for audience in audiences
    )


def saved() -> float:
    return REGISTRY.get_sample_value("fanfold_fanout_saved_deliveries_total") or 0


# --- sleep ---------------------------------------------------------------------------------------------


async def test_a_fan_out_skips_sleeping_followers_and_counts_the_saved_deliveries() -> None:
    async with a_pipeline(PUSHED) as pipeline:
        names = ["bob", "carl", "dave", "erin", "frank"]
        await pipeline.handle(*(a_follow(name) for name in names), a_sleep("bob"), a_sleep("erin"))
        before, post = saved(), a_post()
        await pipeline.handle(post)
        assert saved() - before == 2
        assert await pipeline.progress(post.post_id) == ("push", 5, 3, True)
        for name in names:
            delivered = await pipeline.timeline(name) == [post.post_id]
            assert delivered == (name not in {"bob", "erin"})
            assert await found_by(pipeline.stores, name) == {post.post_id}


async def test_a_sleeping_user_is_marked_in_every_generation_of_buckets() -> None:
    async with a_pipeline(PUSHED) as pipeline:
        names = [f"reader-{n}" for n in range(9)]
        await pipeline.handle(*(a_follow(name) for name in names[:2]))
        await pipeline.handle(*(a_follow(name) for name in names[2:]))
        assert (await pipeline.user("alice")).generation == 1
        await pipeline.handle(*(a_sleep(name) for name in names))
        assert await marks(pipeline) == ([], 9)
        await pipeline.handle(*(an_awakening(name) for name in names))
        assert await marks(pipeline) == (names, 0)


async def test_marks_stand_only_where_there_is_an_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest generation of an author's buckets is one partition: a row there for each sleeper would have no bound."""
    async with a_pipeline(PUSHED) as pipeline:
        stores = pipeline.stores
        marked: set[tuple[str, str, int]] = set()
        mark_asleep = stores.follows.mark_asleep

        async def noting(follower_id: str, edges: Sequence[tuple[str, int]], **to: Any) -> None:
            marked.update((follower_id, *edge) for edge in edges)
            await mark_asleep(follower_id, edges, **to)

        monkeypatch.setattr(stores.follows, "mark_asleep", noting)
        names = [f"reader-{n}" for n in range(9)]
        await pipeline.handle(*(a_follow(name) for name in names[:2]))
        await pipeline.handle(*(a_follow(name) for name in names[2:]))
        await pipeline.handle(*(a_sleep(name) for name in names))
        places = {(name, "alice", 0 if name in names[:2] else 1) for name in names}
        assert marked == places
        marked.clear()
        await pipeline.handle(*(an_awakening(name) for name in names))
        assert marked == places


async def test_the_sleep_and_awakening_of_a_user_who_follows_nobody_write_only_the_row() -> None:
    async with a_pipeline() as pipeline:
        await pipeline.handle(a_sleep())
        assert (await pipeline.user("bob")).asleep
        await pipeline.handle(an_awakening())
        assert not (await pipeline.user("bob")).asleep


async def test_the_awakening_of_a_user_who_is_awake_copies_nothing() -> None:
    async with a_pipeline(PUSHED) as pipeline:
        await pipeline.handle(a_follow("bob"), a_post(), an_awakening(), an_awakening())
        assert not await pipeline.log.rows([COMMANDS], after=0, limit=10)
        user = await pipeline.user("bob")
        assert (user.asleep, user.asleep_offset) == (False, 1)


# --- awakening -----------------------------------------------------------------------------------------


async def test_an_awakening_copies_the_missed_posts_into_the_timeline() -> None:
    async with a_pipeline(PUSHED) as pipeline:
        await pipeline.handle(a_follow("bob"), a_follow("bob", "zoe"), a_sleep())
        missed = [a_post(ms=START_MS - 2), a_post(by="zoe", ms=START_MS - 1)]
        await pipeline.handle(*missed)
        assert await pipeline.timeline("bob") == []
        await pipeline.handle(an_awakening())
        assert not (await pipeline.user("bob")).asleep
        assert await pipeline.timeline("bob") == [post.post_id for post in reversed(missed)]
        later = a_post(ms=START_MS)
        await pipeline.handle(later)
        assert (await pipeline.timeline("bob"))[0] == later.post_id


async def test_pulled_posts_are_not_copied() -> None:
    async with a_pipeline() as pipeline:
        names = ["bob", "carl", "dave"]  # a celebrity's, by these settings
        await pipeline.handle(*(a_follow(name) for name in names), a_sleep())
        pipeline.clock.advance(120)
        post = a_post()
        await pipeline.append(post)
        records = [row.record for row in await pipeline.log.rows([POSTS], after=0, limit=1)]
        assert records[0].appended_at_ms > START_MS + 100_000
        await pipeline.drain()
        await pipeline.handle(an_awakening())
        assert await pipeline.timeline("bob") == []
        assert await found_by(pipeline.stores, "bob") == {post.post_id}


async def test_many_followees_and_long_histories_are_copied_in_steps_of_bounded_size() -> None:
    async with a_pipeline(PUSHED) as pipeline:
        authors = [f"author-{n:03}" for n in range(225)]
        prolific = {"author-003": 250, "author-099": 99, "author-100": 100, "author-224": 101}
        await pipeline.handle(*(a_follow("bob", author) for author in authors), a_sleep())
        posts = [
            a_post(by=author, ms=START_MS - n)
            for author in authors
            for n in range(prolific.get(author, 1))
        ]
        await pipeline.handle(*posts)
        await pipeline.handle(an_awakening())
        assert sorted(await pipeline.timeline("bob")) == sorted(post.post_id for post in posts)
        commands = [
            command
            for row in await pipeline.log.rows([COMMANDS], after=0, limit=1000)
            if isinstance(command := row.record.event(), MaterialiseTimeline)
        ]
        assert 4 <= len(commands) <= 6
        under_way = [{step.followee_id for step in command.under_way} for command in commands]
        assert under_way[:3] == [set(), {"author-003"}, {"author-003", "author-100"}]


async def test_a_follow_while_asleep_and_one_that_is_renewed_are_whole_after_the_awakening() -> (
    None
):
    async with a_pipeline(PUSHED) as pipeline:
        first = a_post(ms=START_MS - 9)
        await pipeline.handle(first, a_follow("bob"), a_follow("bob", "zoe"), a_sleep())
        await pipeline.handle(an_unfollow("bob", "zoe"), a_follow("bob", "yuri"))
        posts = [a_post(by=by, ms=START_MS - 8 + n) for n, by in enumerate(["zoe", "yuri"])]
        await pipeline.handle(*posts)
        await pipeline.handle(a_follow("bob", "zoe"))
        more = [a_post(by=by, ms=START_MS - 4 + n) for n, by in enumerate(["zoe", "yuri"])]
        await pipeline.handle(*more)
        everything = {post.post_id for post in (first, *posts, *more)}
        assert await found_by(pipeline.stores, "bob") == everything
        await pipeline.handle(an_awakening())
        assert not (await pipeline.user("bob")).asleep
        assert set(await pipeline.timeline("bob")) == everything


# --- old events ----------------------------------------------------------------------------------------


async def test_the_end_of_an_old_awakening_does_not_undo_a_later_sleep() -> None:
    async with a_pipeline(PUSHED) as pipeline:
        await pipeline.handle(a_follow("bob"), a_sleep())
        await pipeline.append(an_awakening(), a_sleep())
        worker = pipeline.worker()
        await pipeline.step(worker, ACTIVITY, limit=1)  # woke, and its steps are queued
        await pipeline.step(worker, ACTIVITY, limit=1)  # asleep again
        post = a_post()
        await pipeline.append(post)
        await pipeline.step(worker, POSTS, limit=1)
        await pipeline.drain()  # only now the steps of the awakening
        user = await pipeline.user("bob")
        assert (user.asleep, user.asleep_offset, user.woke_offset) == (True, 2, 1)
        assert await marks(pipeline) == ([], 1)
        assert await found_by(pipeline.stores, "bob") == {post.post_id}


async def test_the_steps_of_an_awakening_that_has_ended_are_not_repeated() -> None:
    async with a_pipeline(PUSHED) as pipeline:
        await pipeline.handle(a_follow("bob"), a_sleep(), a_post(), an_awakening(), an_awakening())
        user = await pipeline.user("bob")
        assert (user.asleep, user.asleep_offset) == (False, 2)
        life = Life()
        again = a_record(MaterialiseTimeline(user_id="bob", woke_offset=1))
        await pipeline.worker(life).handlers()[COMMANDS]([again])
        assert life.written == 0
        assert (await pipeline.user("bob")).asleep_offset == 2


async def test_a_step_of_an_awakening_that_these_tables_have_not_begun_is_left_to_its_event() -> (
    None
):
    """After a replay into new tables, steps may wait that were queued while the old ones were in use."""
    async with a_pipeline(PUSHED) as pipeline:
        await pipeline.handle(a_follow("bob"), a_sleep("bob"))
        await pipeline.append(MaterialiseTimeline(user_id="bob", woke_offset=1))
        while await pipeline.step(pipeline.worker(), COMMANDS, limit=10):
            pass
        assert (await pipeline.user("bob")).asleep
        missed = a_post()
        await pipeline.handle(missed)
        await pipeline.handle(an_awakening("bob"))
        assert await marks(pipeline) == (["bob"], 0)
        late = a_post(ms=START_MS + 1)
        await pipeline.handle(late)
        assert await pipeline.timeline("bob") == [late.post_id, missed.post_id]


async def test_events_of_activity_delivered_again_change_nothing() -> None:
    async with a_pipeline(PUSHED) as pipeline:
        events: list[Event] = [a_sleep(), an_awakening(), a_sleep(), an_awakening()]
        await pipeline.handle(a_follow("bob"), a_post(), *events)
        before = await pipeline.user("bob"), await pipeline.timeline("bob"), await marks(pipeline)
        for first in range(len(events)):
            pipeline.acknowledged[ACTIVITY] = 0
            await pipeline.step(pipeline.worker(), ACTIVITY, limit=first + 1)
            await pipeline.drain()
            now = await pipeline.user("bob"), await pipeline.timeline("bob"), await marks(pipeline)
            assert now == before


# --- races, step by step -------------------------------------------------------------------------------


def held_up(pipeline: Pipeline) -> tuple[Worker, FaultyStore]:
    """A worker whose calls to the graph a test can hold up."""
    door = FaultyStore(Graph(pipeline.stores))
    stores = replace(pipeline.stores, users=door, follows=door, ties=door)
    worker = Worker(pipeline.settings, log=pipeline.log, stores=stores, clock=pipeline.clock)
    return worker, door


async def test_a_zombie_marks_no_follow_that_began_after_the_awakening() -> None:
    async with a_pipeline(PUSHED) as pipeline:
        await pipeline.handle(a_follow("bob"))
        zombie, door = held_up(pipeline)
        go_on = door.pause_before("followee_ids")
        asleep = asyncio.ensure_future(zombie.handlers()[ACTIVITY]([a_record(a_sleep())]))
        await door.until_paused("followee_ids")
        # Another worker has taken its place, and does the same and all that follows.
        await pipeline.handle(a_sleep(), an_awakening())
        await pipeline.handle(a_follow("bob", "yuri"))
        go_on()
        await asleep
        post = a_post(by="yuri")
        await pipeline.handle(post)
        assert await marks(pipeline, "yuri") == (["bob"], 0)
        assert await found_by(pipeline.stores, "bob") == {post.post_id}


async def test_a_follow_renewed_while_its_old_mark_is_cleared_loses_no_post() -> None:
    async with a_pipeline(PUSHED) as pipeline:
        await pipeline.handle(a_follow("bob"), an_unfollow("bob"), a_sleep())
        worker, door = held_up(pipeline)
        go_on = door.pause_before("write_following")
        again = asyncio.ensure_future(
            worker.handlers()[GRAPH]([a_record(a_follow("bob"), offset=2)])
        )
        # The edge is active as alice sees it and nothing was found to backfill; bob's side is not written.
        await door.until_paused("write_following")
        post = a_post()
        await pipeline.handle(post)
        assert await pipeline.timeline("bob") == []
        await pipeline.handle(an_awakening())
        go_on()
        await again
        assert not (await pipeline.user("bob")).asleep
        assert await found_by(pipeline.stores, "bob") == {post.post_id}


# --- crashes -------------------------------------------------------------------------------------------

READERS = ("bob", "carl")


def a_sleep_of_two() -> tuple[list[Event], list[Event]]:
    return [a_follow(name) for name in READERS], [a_sleep("bob"), a_sleep("carl"), a_post()]


def an_awakening_in_steps() -> tuple[list[Event], list[Event]]:
    authors = ["alice", *(f"author-{n:02}" for n in range(22))]
    before: list[Event] = [
        *(a_follow("bob", author) for author in authors),
        a_follow("carl"),
        a_sleep(),
    ]
    missed = [a_post(ms=START_MS - n) for n in range(101)]
    missed += [a_post(by=author, ms=START_MS - 200) for author in authors[-4:]]
    return [*before, *missed], [an_awakening()]


def in_and_out_of_sleep() -> tuple[list[Event], list[Event]]:
    before: list[Event] = [
        *(a_follow(name) for name in READERS),
        a_post(ms=START_MS - 5),
        a_sleep(),
    ]
    events: list[Event] = [
        a_post(ms=START_MS - 4),
        an_awakening(),
        a_sleep(),
        an_awakening(),
        a_sleep("carl"),
    ]
    return before, [*events, an_unfollow("bob"), a_follow("bob"), a_post(ms=START_MS - 3)]


async def tables(pipeline: Pipeline, posts: Sequence[PostCreated]) -> dict[str, Any]:
    """All that a crash must not change once everything is handled."""
    return {
        "users": [await pipeline.user(name) for name in READERS],
        "marks": await marks(pipeline),
        "found": [await found_by(pipeline.stores, name) for name in READERS],
        "timelines": [
            await pipeline.timeline(name)
            for name in READERS
            if not (await pipeline.user(name)).asleep
        ],
        "dead letters": await pipeline.dead_letters(),
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("story", "settings"),
    [
        (a_sleep_of_two, PUSHED),
        (a_sleep_of_two, SMALL),
        (an_awakening_in_steps, PUSHED),
        (in_and_out_of_sleep, PUSHED),
        (in_and_out_of_sleep, SMALL),
    ],
)
async def test_a_worker_that_dies_anywhere_in_a_sleep_or_an_awakening_leaves_the_same_tables(
    story: Callable[[], tuple[list[Event], list[Event]]], settings: Settings
) -> None:
    before, events = story()
    posts = [event for event in (*before, *events) if isinstance(event, PostCreated)]
    lived = Life()
    async with a_pipeline(settings) as pipeline:
        await pipeline.handle(*before)
        await pipeline.append(*events)
        await pipeline.drain(pipeline.worker(lived))
        expected = await tables(pipeline, posts)
        assert expected["dead letters"] == []
        assert all(found == {post.post_id for post in posts} for found in expected["found"][:1])

    assert lived.written > 5
    # The story in steps copies row by row what is alike: every fifth write is a sample of it.
    for writes in range(0, lived.written, 1 if len(posts) < 100 else 5):
        async with a_pipeline(settings) as pipeline:
            await pipeline.handle(*before)
            await pipeline.append(*events)
            with pytest.raises(Killed):
                await pipeline.drain(pipeline.worker(Life(writes)))
            await pipeline.drain()
            assert await tables(pipeline, posts) == expected, f"after {writes} writes"


async def test_wherever_a_worker_dies_the_sources_of_a_sleeping_users_feed_hold_every_post() -> (
    None
):
    """A reader reads at once, also while the worker that died is not back yet."""
    story: list[Event] = [a_sleep(), an_awakening(), a_sleep(), an_awakening()]
    writes, dies = 0, True
    while dies:
        async with a_pipeline(PUSHED) as pipeline:
            await pipeline.handle(a_follow("bob"), a_follow("bob", "zoe"))
            life, posts, dies = Life(writes), [], False
            mortal, immortal = pipeline.worker(life), pipeline.worker()
            for n, event in enumerate(story):
                await pipeline.append(event)
                for topic in (ACTIVITY, COMMANDS):
                    try:
                        await pipeline.step(mortal, topic, limit=1)
                    except Killed:
                        dies = True
                    post = a_post(by=["alice", "zoe"][n % 2], ms=START_MS + 10 * n)
                    posts.append(post.post_id)
                    await pipeline.append(post)
                    await pipeline.step(immortal, POSTS, limit=1)
                    assert await found_by(pipeline.stores, "bob") == set(posts), writes
        writes += 1
    assert writes > 10


# --- what is wrong in itself ---------------------------------------------------------------------------


@pytest.mark.parametrize("after", [None, "alice"])
async def test_a_step_with_a_followee_under_way_that_was_not_reached_is_dead_lettered(
    after: str | None,
) -> None:
    under_way = (UnderWay("bob", new_post_id(START_MS)),)
    step = MaterialiseTimeline(user_id="zoe", woke_offset=1, after=after, under_way=under_way)
    async with a_pipeline() as pipeline:
        await pipeline.worker().handlers()[COMMANDS]([a_record(step)])
        [(_, reason)] = await pipeline.dead_letters()
        assert "not reached yet" in reason
