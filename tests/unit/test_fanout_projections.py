"""What each event does to the tables, on the embedded stack."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import REGISTRY

from fanfold.core.buckets import FollowerBucket
from fanfold.core.events import (
    COMMANDS,
    GRAPH,
    POSTS,
    BackfillFollow,
    DeliverSlice,
    UserRegistered,
)
from fanfold.core.ports import FollowerEdge, SliceDone, User
from fanfold.core.ports.log import Record
from fanout_service.worker import Worker
from tests.support.clock import A_DAY_MS, START_MS, ManualClock
from tests.support.fanout import (
    SMALL,
    Pipeline,
    a_deletion,
    a_follow,
    a_pipeline,
    a_post,
    a_record,
    an_edit,
    an_unfollow,
    at,
)
from tests.support.feed import Graph
from tests.support.stores import write_edges

PUSHED = SMALL.model_copy(update={"pull_threshold": 1000})
"""Everybody is pushed, in buckets of two."""


def ages() -> Counter[str]:
    """How many ages of posts were measured so far, and their sums in seconds."""
    return Counter(
        {
            f"{what}{part}": int(
                REGISTRY.get_sample_value(f"fanfold_{what}_age_seconds{sample}") or 0
            )
            for what in ("delivery", "delivery_last_slice")
            for part, sample in (("", "_count"), ("_sum", "_sum"))
        }
    )


# --- posts ---------------------------------------------------------------------------------------------


async def test_an_ordinary_authors_post_is_pushed_to_each_follower() -> None:
    async with a_pipeline() as pipeline:
        await pipeline.handle(a_follow("bob"), a_follow("carl"))
        post = a_post()
        await pipeline.handle(post)
        assert await pipeline.timeline("bob") == [post.post_id]
        assert await pipeline.timeline("carl") == [post.post_id]
        assert await pipeline.mode(post) == "push"
        assert await pipeline.progress(post.post_id) == ("push", 2, 2, True)
        assert await pipeline.pulled("alice") == []


async def test_a_celebritys_post_is_stored_once_and_pulled() -> None:
    async with a_pipeline() as pipeline:
        await pipeline.handle(*(a_follow(name) for name in ("bob", "carl", "dave")))
        pipeline.clock.advance(61)
        post = a_post()
        await pipeline.handle(post)
        assert await pipeline.pulled("alice") == [post.post_id]
        assert await pipeline.timeline("bob") == []
        assert await pipeline.mode(post) == "pull"
        assert await pipeline.progress(post.post_id) == ("pull", 0, 0, True)


async def test_a_post_of_the_overlap_goes_both_ways_and_counts_as_pushed() -> None:
    async with a_pipeline() as pipeline:
        await pipeline.handle(*(a_follow(name) for name in ("bob", "carl", "dave")))
        pipeline.clock.advance(59)
        post = a_post()
        await pipeline.handle(post)
        assert await pipeline.pulled("alice") == [post.post_id]
        assert await pipeline.timeline("bob") == [post.post_id]
        assert await pipeline.mode(post) == "push"
        assert await pipeline.progress(post.post_id) == ("push", 3, 3, True)


async def test_a_post_without_followers_is_done_with_none() -> None:
    async with a_pipeline() as pipeline:
        post = a_post()
        await pipeline.handle(post)
        assert await pipeline.progress(post.post_id) == ("push", 0, 0, True)


async def test_a_large_audience_is_cut_into_slices_on_the_internal_topic() -> None:
    async with a_pipeline(PUSHED) as pipeline:
        names = [f"user-{n}" for n in range(20)]
        await pipeline.handle(*(a_follow(name) for name in names))
        post = a_post()
        await pipeline.handle(post)
        assert (await pipeline.user("alice")).generation == 1
        slices = await pipeline.log.rows([COMMANDS], after=0, limit=100)
        assert sum(isinstance(row.record.event(), DeliverSlice) for row in slices) == 17
        assert await pipeline.progress(post.post_id) == ("push", 20, 20, True)
        assert all([await pipeline.timeline(name) == [post.post_id] for name in names])


async def test_a_slice_that_is_done_is_not_delivered_again() -> None:
    async with a_pipeline(PUSHED) as pipeline:
        await pipeline.handle(*(a_follow(f"user-{n}") for n in range(20)))
        post = a_post()
        await pipeline.handle(post)
        # All the commands once more: who followed meanwhile is the backfill's business, not theirs.
        await pipeline.handle(a_follow("late"))
        before = await pipeline.stores.jobs.slices_done(post.post_id)
        pipeline.clock.advance(10)
        rows = await pipeline.log.rows([COMMANDS], after=0, limit=100)
        await pipeline.worker().handlers()[COMMANDS]([row.record for row in rows])
        assert await pipeline.stores.jobs.slices_done(post.post_id) == before


async def test_the_age_of_a_post_is_measured_at_each_slice_and_once_at_its_last() -> None:
    async with a_pipeline(PUSHED) as pipeline:
        await pipeline.handle(*(a_follow(f"user-{n}") for n in range(20)))
        before = ages()
        await pipeline.append(post := a_post())
        worker = pipeline.worker()
        await pipeline.step(worker, POSTS, limit=1)
        pipeline.clock.advance(2)
        await pipeline.step(worker, COMMANDS, limit=16)
        assert ages() - before == Counter({"delivery": 16, "delivery_sum": 32})
        pipeline.clock.advance(5)
        await pipeline.step(worker, COMMANDS, limit=1, redelivers=1)
        done = {"delivery": 17, "delivery_sum": 39, "delivery_last_slice": 1}
        assert ages() - before == Counter({**done, "delivery_last_slice_sum": 7})
        # Slices that are done are not delivered again.
        await pipeline.drain()
        assert (await pipeline.progress(post.post_id))[3]
        assert ages() - before == Counter({**done, "delivery_last_slice_sum": 7})


async def test_the_age_of_a_post_with_one_slice_is_measured_where_it_is_planned() -> None:
    async with a_pipeline() as pipeline:
        await pipeline.handle(a_follow("bob"))
        before = ages()
        pipeline.clock.advance(3)
        await pipeline.handle(a_post())
        once = {"delivery": 1, "delivery_sum": 3}
        last = {"delivery_last_slice": 1, "delivery_last_slice_sum": 3}
        assert ages() - before == Counter({**once, **last})


async def test_a_rebuild_of_the_tables_measures_no_age() -> None:
    async with a_pipeline() as pipeline:
        await pipeline.append(a_follow("bob"), post := a_post())
        before = ages()
        worker = Worker(
            pipeline.settings,
            log=pipeline.log,
            stores=pipeline.stores,
            clock=pipeline.clock,
            history_until_ms=START_MS + 1,
        )
        await pipeline.drain(worker)
        assert await pipeline.timeline("bob") == [post.post_id]
        assert ages() == before


async def test_only_a_redelivered_post_reads_which_of_its_slices_are_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with a_pipeline() as pipeline:
        await pipeline.handle(a_follow("bob"))
        asked: list[UUID] = []
        slices_done = pipeline.stores.jobs.slices_done

        async def counted(post_id: UUID) -> dict[FollowerBucket, SliceDone]:
            asked.append(post_id)
            return await slices_done(post_id)

        monkeypatch.setattr(pipeline.stores.jobs, "slices_done", counted)
        post = a_post()
        await pipeline.handle(post)
        assert asked == []
        assert await pipeline.timeline("bob") == [post.post_id]
        await pipeline.handle(post)
        assert asked == [post.post_id]


async def test_a_replayed_post_keeps_its_plan() -> None:
    async with a_pipeline() as pipeline:
        await pipeline.handle(a_follow("bob"))
        post = a_post()
        await pipeline.handle(post)
        await pipeline.handle(*(a_follow(name) for name in ("carl", "dave")))
        pipeline.clock.advance(61)
        await pipeline.handle(post)
        assert await pipeline.progress(post.post_id) == ("push", 1, 1, True)
        assert await pipeline.pulled("alice") == []


async def test_old_history_is_listed_by_its_author_and_not_delivered() -> None:
    async with a_pipeline() as pipeline:
        await pipeline.handle(a_follow("bob"))
        old = a_post(ms=START_MS - 31 * A_DAY_MS)
        await pipeline.handle(old)
        assert await pipeline.timeline("bob") == []
        assert await pipeline.progress(old.post_id) == ("push", 0, 0, True)
        assert old.post_id in await pipeline.stores.posts.get([old.post_id])


async def test_a_replay_of_a_post_whose_slices_have_expired_queues_none() -> None:
    settings = SMALL.model_copy(update={"pull_threshold": 1000})
    clock = ManualClock(autojump=True)
    async with a_pipeline(settings, clock) as pipeline:
        await pipeline.handle(*(a_follow(f"fan-{n}") for n in range(9)))
        post = a_post()
        await pipeline.handle(post)
        queued = len(await pipeline.log.rows([COMMANDS], after=0, limit=1000))
        assert queued > 1
        clock.advance(32 * 24 * 3600)
        assert await pipeline.stores.jobs.slices_done(post.post_id) == {}
        await pipeline.handle(post)
        assert len(await pipeline.log.rows([COMMANDS], after=0, limit=1000)) == queued


async def test_a_post_of_someone_unfollowed_is_not_delivered() -> None:
    async with a_pipeline() as pipeline:
        await pipeline.handle(a_follow("bob"), an_unfollow("bob"))
        await pipeline.handle(a_post())
        assert await pipeline.timeline("bob") == []


# --- edits ---------------------------------------------------------------------------------------------


async def the_post(pipeline: Pipeline, post: Any) -> Any:
    return (await pipeline.stores.posts.get([post.post_id]))[post.post_id]


async def test_an_edit_replaces_the_text_and_sets_its_time() -> None:
    async with a_pipeline() as pipeline:
        post = a_post(content="helo")
        await pipeline.handle(post, an_edit(post, "hello"))
        stored = await the_post(pipeline, post)
        assert (stored.content, stored.edited_at_ms) == ("hello", START_MS)


async def test_an_edit_that_changes_nothing_writes_only_its_offset() -> None:
    async with a_pipeline() as pipeline:
        post = a_post(content="hello")
        await pipeline.handle(post, an_edit(post, "hello"))
        stored = await the_post(pipeline, post)
        assert (stored.content, stored.edited_at_ms, stored.offset) == ("hello", None, 1)


async def test_replayed_edits_do_not_bring_back_an_older_text() -> None:
    async with a_pipeline() as pipeline:
        post = a_post(content="one")
        await pipeline.handle(post, an_edit(post, "two"), an_edit(post, "one"))
        stored = await the_post(pipeline, post)
        pipeline.acknowledged = dict.fromkeys(pipeline.acknowledged, 0)
        await pipeline.drain()
        assert await the_post(pipeline, post) == stored
        assert (stored.content, stored.edited_at_ms) == ("one", START_MS)


async def test_a_deletion_is_final() -> None:
    async with a_pipeline() as pipeline:
        post = a_post()
        await pipeline.handle(post, a_deletion(post), an_edit(post, "back?"))
        stored = await the_post(pipeline, post)
        assert (stored.deleted, stored.content) == (True, "hello")


async def test_a_deletion_holds_though_a_later_edit_was_written_through() -> None:
    async with a_pipeline() as pipeline:
        post = a_post()
        await pipeline.handle(post)
        await pipeline.append(a_deletion(post), an_edit(post, "raced"))
        await pipeline.stores.posts.edit(post.post_id, "raced", edited_at_ms=START_MS, offset=2)
        await pipeline.drain()
        assert (await the_post(pipeline, post)).deleted


async def test_edits_and_deletions_of_missing_posts_and_of_other_authors_posts_are_dead_lettered() -> (
    None
):
    async with a_pipeline() as pipeline:
        post, unknown = a_post(), a_post(by="mallory")
        await pipeline.handle(
            post, an_edit(unknown, "x"), an_edit(post, "x", by="eve"), a_deletion(post, by="eve")
        )
        reasons = [reason for _, reason in await pipeline.dead_letters()]
        assert len(reasons) == 3
        assert sum("not the author" in reason for reason in reasons) == 2
        stored = await the_post(pipeline, post)
        assert (stored.content, stored.deleted) == ("hello", False)


# --- follows -------------------------------------------------------------------------------------------


async def test_a_follow_is_counted_stored_backfilled_and_marked() -> None:
    async with a_pipeline() as pipeline:
        posts = [a_post(ms=START_MS - n) for n in range(3)]
        await pipeline.handle(*posts, a_follow("bob"))
        assert (await pipeline.user("alice")).follower_count == 1
        assert await pipeline.followers("alice") == ["bob"]
        assert await pipeline.timeline("bob") == [post.post_id for post in posts]
        follow = (await pipeline.stores.follows.following("bob"))["alice"]
        assert (follow.active, follow.materialised, follow.since_ms) == (True, True, START_MS)


async def test_a_second_follow_changes_only_the_offset() -> None:
    async with a_pipeline() as pipeline:
        await pipeline.handle(a_follow("bob"))
        again = a_follow("bob").model_copy(update={"followed_at": at(START_MS + 5)})
        await pipeline.handle(again)
        assert (await pipeline.user("alice")).follower_count == 1
        follow = (await pipeline.stores.follows.following("bob"))["alice"]
        assert (follow.since_ms, follow.follow_offset, follow.offset) == (START_MS, 0, 1)
        assert follow.materialised


async def test_an_unfollow_without_a_follow_writes_only_the_counts_offset() -> None:
    """A block ends follows that mostly never were: an edge for each would let others grow one's tables without bound."""
    async with a_pipeline() as pipeline:
        await pipeline.handle(an_unfollow("bob"))
        alice = await pipeline.user("alice")
        assert (alice.follower_count, alice.count_offset) == (0, 0)
        assert await pipeline.stores.follows.following("bob") == {}
        assert await pipeline.stores.follows.followers("alice", FollowerBucket(0, 0)) == []


async def test_a_follow_that_ends_in_the_same_batch_leaves_an_inactive_edge() -> None:
    """A worker that lost its partition may yet write the follow alone: the end, which came later, must stay."""
    async with a_pipeline() as pipeline:
        await pipeline.handle(an_unfollow("bob"), a_follow("bob"), an_unfollow("bob"))
        follow = (await pipeline.stores.follows.following("bob"))["alice"]
        assert (follow.active, follow.offset) == (False, 2)


async def test_a_renewed_follow_is_materialised_again() -> None:
    async with a_pipeline() as pipeline:
        await pipeline.handle(a_follow("bob"), an_unfollow("bob"))
        missed = a_post()
        await pipeline.handle(missed)
        assert await pipeline.timeline("bob") == []
        await pipeline.handle(a_follow("bob"))
        assert await pipeline.timeline("bob") == [missed.post_id]
        follow = (await pipeline.stores.follows.following("bob"))["alice"]
        assert (follow.follow_offset, follow.materialised) == (2, True)


async def test_the_follower_count_decides_the_delivery_and_the_row_keeps_the_log_time_of_the_crossing() -> (
    None
):
    async with a_pipeline() as pipeline:
        await pipeline.handle(a_follow("bob"), a_follow("carl"))
        assert (await pipeline.user("alice")).delivery == "push"
        pipeline.clock.advance(7)
        await pipeline.handle(a_follow("dave"))
        alice = await pipeline.user("alice")
        assert (alice.delivery, alice.pull_since_ms) == ("pull", START_MS + 7000)
        await pipeline.handle(an_unfollow("dave"))
        assert (await pipeline.user("alice")).delivery == "push"


async def test_two_hundred_follows_of_one_author_cost_a_handful_of_reads() -> None:
    settings = SMALL.model_copy(update={"take_events": 200})
    async with a_pipeline(settings) as pipeline:
        records = [a_record(a_follow(f"user-{n}"), offset=n) for n in range(200)]
        calls = counted(pipeline)
        await pipeline.worker().handlers()[GRAPH](records)
        assert calls == {
            "get": 1,
            "left": 1,  # whether any of the followers has left meanwhile
            "blocks_with": 1,  # whether a block stands between
            "follower_edges": 1,
            "write_follower_count": 1,
            "write_followers": 1,
            "write_following": 1,
        }
        assert (await pipeline.user("alice")).follower_count == 200


def counted(pipeline: Pipeline) -> dict[str, int]:
    calls: dict[str, int] = {}

    class Counted:
        def __init__(self, port: Any) -> None:
            self._port = port

        def __getattr__(self, name: str) -> Any:
            calls[name] = calls.get(name, 0) + 1
            return getattr(self._port, name)

    graph: Any = Counted(Graph(pipeline.stores))
    pipeline.stores = replace(pipeline.stores, users=graph, follows=graph, ties=graph)
    return calls


async def test_an_edge_left_in_two_generations_by_a_replaced_worker_is_healed() -> None:
    async with a_pipeline(PUSHED) as pipeline:
        await pipeline.handle(*(a_follow(f"user-{n}") for n in range(3)))  # generation 1
        await pipeline.handle(a_follow("bob"))
        zombies = FollowerEdge("bob", 0, True, START_MS, follow_offset=1, offset=1)
        await write_edges(pipeline.stores, "alice", [zombies])
        await pipeline.handle(an_unfollow("bob"))
        assert await pipeline.followers("alice") == ["user-0", "user-1", "user-2"]
        assert (await pipeline.user("alice")).follower_count == 3


async def test_registering_sets_the_name_and_leaves_the_follower_count_alone() -> None:
    async with a_pipeline() as pipeline:
        alice = UserRegistered(user_id="alice", display_name="Alice", registered_at=at(START_MS))
        await pipeline.handle(a_follow("bob"), alice)
        found = await pipeline.user("alice")
        assert found.name_offset is not None
        assert found == User(
            "alice",
            display_name="Alice",
            follower_count=1,
            count_offset=0,
            registered_at_ms=START_MS,
            name_offset=found.name_offset,
        )


# --- backfill ------------------------------------------------------------------------------------------


async def test_the_posts_of_an_author_with_many_are_copied_page_by_page() -> None:
    async with a_pipeline() as pipeline:
        posts = [a_post(ms=START_MS - n) for n in range(250)]
        await pipeline.handle(*posts)
        await pipeline.handle(a_follow("bob"))
        assert await pipeline.timeline("bob") == [post.post_id for post in posts]
        assert (await pipeline.stores.follows.following("bob"))["alice"].materialised
        steps = await pipeline.log.rows([COMMANDS], after=0, limit=100)
        befores = [step_before(row.record) for row in steps]
        assert befores == [None, posts[99].post_id, posts[199].post_id]


def step_before(record: Record) -> Any:
    event = record.event()
    assert isinstance(event, BackfillFollow)
    return event.before


async def test_a_follow_is_not_marked_before_its_last_page() -> None:
    async with a_pipeline() as pipeline:
        await pipeline.handle(*(a_post(ms=START_MS - n) for n in range(100)))
        await pipeline.append(a_follow("bob"))
        worker = pipeline.worker()
        await pipeline.step(worker, GRAPH, limit=5)
        assert not (await pipeline.stores.follows.following("bob"))["alice"].materialised
        await pipeline.drain(worker)
        assert (await pipeline.stores.follows.following("bob"))["alice"].materialised


async def test_an_old_backfill_does_not_vouch_for_a_new_follow() -> None:
    async with a_pipeline() as pipeline:
        await pipeline.handle(*(a_post(ms=START_MS - n) for n in range(100)))
        worker = pipeline.worker()
        await pipeline.append(a_follow("bob"))
        await pipeline.step(worker, GRAPH, limit=1)
        await pipeline.append(an_unfollow("bob"), a_follow("bob"))
        await pipeline.step(worker, GRAPH, limit=2)
        rows = await pipeline.log.rows([COMMANDS], after=0, limit=1)
        (old,) = (row.record for row in rows)
        event = old.event()
        assert isinstance(event, BackfillFollow)
        last_step = event.model_copy(update={"before": a_post(ms=0).post_id})
        await worker.handlers()[COMMANDS]([a_record(last_step)])
        assert not (await pipeline.stores.follows.following("bob"))["alice"].materialised


async def test_a_backfill_copies_pushed_posts_and_leaves_pulled_ones() -> None:
    settings = SMALL.model_copy(update={"overlap_s": 0})
    async with a_pipeline(settings) as pipeline:
        pushed = a_post(ms=START_MS - 1)
        await pipeline.handle(pushed)
        await pipeline.handle(*(a_follow(name) for name in ("bob", "carl", "dave")))
        pipeline.clock.advance(1)
        pulled = a_post()
        await pipeline.handle(pulled)
        await pipeline.handle(a_follow("erin"))
        assert await pipeline.timeline("erin") == [pushed.post_id]
        assert await pipeline.pulled("alice") == [pulled.post_id]


async def test_a_backfill_covers_the_retention_window() -> None:
    clock = ManualClock(autojump=True)
    async with a_pipeline(clock=clock) as pipeline:
        inside = a_post(ms=START_MS)
        await pipeline.handle(a_post(ms=START_MS - A_DAY_MS), inside)
        clock.advance(30 * 24 * 3600)
        await pipeline.handle(a_follow("bob"))
        assert await pipeline.timeline("bob") == [inside.post_id]


@pytest.mark.parametrize("batch", [1, 2, 7])
async def test_the_same_history_in_other_batches_gives_the_same_tables(batch: int) -> None:
    settings = SMALL.model_copy(update={"take_events": batch})
    async with a_pipeline(settings) as pipeline:
        post = a_post()
        await pipeline.handle(
            a_follow("bob"), a_follow("carl"), an_unfollow("bob"), a_follow("bob"), post
        )
        assert await pipeline.followers("alice") == ["bob", "carl"]
        assert (await pipeline.user("alice")).follower_count == 2
        assert await pipeline.timeline("bob") == [post.post_id]
