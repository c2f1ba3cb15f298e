"""A post and the follows that race it, their steps interleaved in every order that hypothesis thinks of."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfold.core.events import GRAPH, POSTS, Event
from fanfold.core.ports.log import Record
from fanfold.core.settings import Settings
from fanout_service.worker import Worker
from tests.support.crashes import Turns, turned
from tests.support.examples import examples
from tests.support.fanout import (
    SMALL,
    Pipeline,
    a_follow,
    a_pipeline,
    a_post,
    a_record,
    an_unfollow,
)

SUDDEN = SMALL.model_copy(update={"overlap_s": 0})
PUSHED = SMALL.model_copy(update={"pull_threshold": 1000})
POST, FOLLOW = "post", "follow"
LAST_OF_THE_FIRST = 2
"""So many followers are in the first bucket; one more opens the next sixteen."""
MOST_STEPS = 9
"""Store calls of a fan-out to one bucket, and of a group of follows with its backfill: not more than these."""


async def race(
    pipeline: Pipeline, order: Iterator[str], *batches: tuple[str, list[Record]]
) -> Turns:
    """Handle batches of different topics at once, in that order of their store calls."""
    turns = Turns(order, {topic for topic, _ in batches})
    worker = Worker(
        pipeline.settings,
        log=pipeline.log,
        stores=turned(pipeline.stores, turns),
        clock=pipeline.clock,
    )
    handlers = worker.handlers()
    await asyncio.gather(
        *(
            asyncio.create_task(turns.run(topic, handlers[topic](records)))
            for topic, records in batches
        )
    )
    return turns


def records(*events: Event, offset: int) -> list[Record]:
    return [a_record(event, offset=offset + n) for n, event in enumerate(events)]


def orders(steps: int) -> Iterator[tuple[str, ...]]:
    """Every way of interleaving that many steps of a post and of a group of follows."""
    for posts in combinations(range(2 * steps), steps):
        yield tuple(POSTS if n in posts else GRAPH for n in range(2 * steps))


@pytest.mark.slow
async def test_a_follower_who_is_added_during_a_fan_out_gets_the_post_in_every_order() -> None:
    tried: set[tuple[str, ...]] = set()
    async with a_pipeline() as pipeline:
        for n, order in enumerate(orders(MOST_STEPS)):
            if n % 37:
                continue  # 48,620 orders: a sample of them takes a second or two
            author = f"author-{n}"
            post = a_post(by=author)
            turns = await race(
                pipeline,
                iter(order),
                (POSTS, records(post, offset=0)),
                (GRAPH, records(a_follow("bob", author), offset=0)),
            )
            tried.add(tuple(turns.taken))
            assert post.post_id in await pipeline.timeline("bob"), order
    assert len(tried) > 500


@pytest.mark.slow
async def test_a_follower_who_opens_the_next_generation_during_the_planning_gets_the_post_in_every_order() -> (
    None
):
    """The plan names the newest generation: read before the post is there to be backfilled, it would miss theirs."""
    opened = 0
    async with a_pipeline(PUSHED) as pipeline:
        for n, order in enumerate(orders(MOST_STEPS)):
            if n % 487:
                continue
            author = f"author-{n}"
            before = [a_follow(f"reader-{m}", author) for m in range(LAST_OF_THE_FIRST)]
            await pipeline.handle(*before)
            post = a_post(by=author)
            await race(
                pipeline,
                iter(order),
                (POSTS, records(post, offset=1000)),
                (GRAPH, records(a_follow("bob", author), offset=1000)),
            )
            await pipeline.drain()
            opened += (await pipeline.user(author)).generation
            assert post.post_id in await pipeline.timeline("bob"), order
    assert opened == 100


names = st.sampled_from(["bob", "carl", "dave", "erin"])
changes = st.lists(
    st.builds(lambda follows, name: (follows, name), st.booleans(), names), min_size=1, max_size=8
)


@examples(150)
@given(
    before=changes,
    during=changes,
    order=st.lists(st.sampled_from([POSTS, GRAPH]), max_size=40),
    rules=st.sampled_from([SMALL, SUDDEN]),
)
async def test_every_follower_in_the_end_has_the_post_pushed_or_pulled(
    before: list[tuple[bool, str]],
    during: list[tuple[bool, str]],
    order: list[str],
    rules: Settings,
) -> None:
    async with a_pipeline(rules) as pipeline:
        first = [a_follow(name) if follows else an_unfollow(name) for follows, name in before]
        then = [a_follow(name) if follows else an_unfollow(name) for follows, name in during]
        await pipeline.worker().handlers()[GRAPH](records(*first, offset=0))
        post = a_post()
        await race(
            pipeline,
            iter(order),
            (POSTS, records(post, offset=0)),
            (GRAPH, records(*then, offset=len(first))),
        )
        await pipeline.drain()
        following = {
            name for name, follows in {n: f for f, n in before + during}.items() if follows
        }
        assert await pipeline.followers("alice") == sorted(following)
        assert (await pipeline.user("alice")).follower_count == len(following)
        pulled = await pipeline.pulled("alice")
        for name in following:
            assert post.post_id in {*await pipeline.timeline(name), *pulled}
