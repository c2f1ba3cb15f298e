"""A block and the follows that race it, their steps interleaved in every order: none stays across the block."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfold.core.events import GRAPH, TIES, Event, UserUnfollowed
from tests.property.test_fanout_races import race, records
from tests.support.crashes import Killed, Life
from tests.support.examples import examples
from tests.support.fanout import (
    SMALL,
    Pipeline,
    a_block,
    a_follow,
    a_pipeline,
    a_record,
    an_unblock,
    an_unfollow,
)

MOST_STEPS = 8
"""Store calls of a follow, and of a block: not more than these."""
BLOCK: list[Event] = [
    an_unfollow("bob", "alice"),
    an_unfollow("alice", "bob"),
    a_block("alice", "bob"),
]
"""As the API appends it. The first two lie on the topic of follows, the third on that of ties."""


def orders() -> Iterator[tuple[str, ...]]:
    steps = 2 * MOST_STEPS
    for blocks in combinations(range(steps), MOST_STEPS):
        yield tuple(TIES if n in blocks else GRAPH for n in range(steps))


async def unfollows(pipeline: Pipeline) -> int:
    rows = await pipeline.log.rows([GRAPH], after=0, limit=1000)
    return sum(isinstance(row.record.event(), UserUnfollowed) for row in rows)


async def assert_none_follows(pipeline: Pipeline, *users: str) -> None:
    for user in users:
        assert await pipeline.followers(user) == []
        assert (await pipeline.user(user)).follower_count == 0
        follows = await pipeline.stores.follows.following(user)
        assert not any(follow.active for follow in follows.values())


@pytest.mark.slow
async def test_a_follow_that_races_a_block_is_ended_in_every_order_in_either_direction() -> None:
    tried: set[tuple[str, ...]] = set()
    async with a_pipeline() as pipeline:
        for n, order in enumerate(orders()):
            if n % 41:
                continue
            alice, bob = f"alice-{n}", f"bob-{n}"
            follower, followee = (bob, alice) if n % 2 else (alice, bob)
            turns = await race(
                pipeline,
                iter(order),
                (TIES, records(a_block(alice, bob), offset=0)),
                (GRAPH, records(a_follow(follower, followee), offset=0)),
            )
            tried.add(tuple(turns.taken))
            await drain_after(pipeline)
            assert not any(
                follow.active
                for follow in (await pipeline.stores.follows.following(follower)).values()
            ), order
            assert (await pipeline.user(followee)).follower_count == 0, order
    assert len(tried) > 100


async def drain_after(pipeline: Pipeline) -> None:
    """Project the unfollows that a race appended, later in the log than the race's own records."""
    rows = await pipeline.log.rows([GRAPH], after=pipeline.acknowledged[GRAPH], limit=100)
    if rows:
        worker = pipeline.worker()
        later = [
            a_record(row.record.event(), offset=1000 + number) for number, row in enumerate(rows)
        ]
        await worker.handlers()[GRAPH](later)
        pipeline.acknowledged[GRAPH] = rows[-1].seq


history = st.lists(
    st.sampled_from(["bob follows", "alice follows", "block", "unblock"]), max_size=7
)


@examples(100)
@given(history=history, cuts=st.lists(st.sampled_from([GRAPH, TIES]), max_size=30))
async def test_no_follow_is_active_across_an_active_block_in_the_end(
    history: list[str], cuts: list[str]
) -> None:
    """Whatever the two topics' batches are, and though the log takes follows after the block."""
    async with a_pipeline() as pipeline:
        for step in history:
            if step == "block":
                await pipeline.append(*BLOCK)
            elif step == "unblock":
                await pipeline.append(an_unblock("alice", "bob"))
            else:
                pair = ("bob", "alice") if step == "bob follows" else ("alice", "bob")
                await pipeline.append(a_follow(*pair))
        worker = pipeline.worker()
        for topic in cuts:
            await pipeline.step(worker, topic, limit=1)
        await pipeline.drain(worker)
        blocks = [step for step in history if step.endswith("block")]
        if blocks and blocks[-1] == "block":
            await assert_none_follows(pipeline, "alice", "bob")


async def test_a_follow_of_the_second_after_a_block_is_ended_and_shows_nothing_after_an_unblock() -> (
    None
):
    async with a_pipeline() as pipeline:
        await pipeline.handle(*BLOCK)
        await pipeline.handle(a_follow("bob", "alice"))
        await assert_none_follows(pipeline, "alice", "bob")
        await pipeline.handle(an_unblock("alice", "bob"))
        await assert_none_follows(pipeline, "alice", "bob")


async def test_a_follow_after_an_unblock_lasts() -> None:
    async with a_pipeline() as pipeline:
        await pipeline.handle(*BLOCK, an_unblock("alice", "bob"))
        await pipeline.handle(a_follow("bob", "alice"))
        assert await pipeline.followers("alice") == ["bob"]


async def test_a_worker_that_dies_anywhere_leaves_no_follow_across_the_block() -> None:
    events: list[Event] = [*BLOCK, a_follow("bob", "alice"), a_follow("alice", "bob")]
    for first in (GRAPH, TIES):
        lived = Life()
        async with a_pipeline() as pipeline:
            await pipeline.append(*events)
            await pipeline.step(pipeline.worker(lived), first, limit=10)
            await pipeline.drain(pipeline.worker(lived))
        assert lived.written > 10
        for writes in range(lived.written):
            async with a_pipeline() as pipeline:
                await pipeline.append(*events)
                dying = pipeline.worker(Life(writes))
                try:
                    await pipeline.step(dying, first, limit=10)
                    await pipeline.drain(dying)
                    raise AssertionError("the worker outlived its writes")
                except Killed:
                    pass
                await pipeline.drain()
                await assert_none_follows(pipeline, "alice", "bob")


async def test_a_redelivery_after_the_follow_has_ended_appends_nothing() -> None:
    async with a_pipeline() as pipeline:
        await pipeline.handle(a_block("alice", "bob"), a_follow("bob", "alice"))
        ended = await unfollows(pipeline)
        assert ended == 1
        for topic in (GRAPH, TIES, GRAPH, TIES):
            rows = await pipeline.log.rows([topic], after=0, limit=100)
            await pipeline.worker().handlers()[topic]([row.record for row in rows])
        await pipeline.drain()
        assert await unfollows(pipeline) == ended


async def test_a_redelivery_before_the_end_is_projected_appends_one_unfollow_each() -> None:
    async with a_pipeline() as pipeline:
        await pipeline.append(a_block("alice", "bob"), a_follow("bob", "alice"))
        worker = pipeline.worker()
        await pipeline.step(worker, TIES, limit=1)
        for delivery in range(1, 4):
            await pipeline.step(worker, GRAPH, limit=1, redelivers=1)
            assert await unfollows(pipeline) == delivery
        await pipeline.drain(worker)
        await assert_none_follows(pipeline, "alice", "bob")


async def test_a_rebuild_that_meets_a_block_before_its_end_keeps_the_follow_after_it() -> None:
    """The tables are empty again, and the topics are read at different speeds."""
    async with a_pipeline() as pipeline:
        history: list[Event] = [*BLOCK, an_unblock("alice", "bob"), a_follow("bob", "alice")]
        await pipeline.append(*history)
        pipeline.clock.advance(3600)
        worker = pipeline.worker()
        await pipeline.step(worker, TIES, limit=1)
        await pipeline.step(worker, GRAPH, limit=10)
        await pipeline.drain(worker)
        assert await pipeline.followers("alice") == ["bob"]
        assert await unfollows(pipeline) == 2


async def test_two_hundred_follows_are_checked_in_one_read() -> None:
    async with a_pipeline(SMALL.model_copy(update={"take_events": 200})) as pipeline:
        await pipeline.handle(*(a_block("alice", f"user-{n}") for n in range(0, 200, 50)))
        asked: list[int] = []
        blocks_with = pipeline.stores.ties.blocks_with

        async def counted(user_id: str, other_ids: object) -> object:
            asked.append(len(other_ids))  # type: ignore[arg-type]
            return await blocks_with(user_id, other_ids)  # type: ignore[arg-type]

        pipeline.stores.ties.blocks_with = counted  # type: ignore[method-assign,assignment]
        await pipeline.handle(*(a_follow(f"user-{n}") for n in range(200)))
        assert asked == [200]
        assert (await pipeline.user("alice")).follower_count == 196
