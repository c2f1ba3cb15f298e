"""How much a backfill copies: not more than a feed shows, and nothing for a follow that has ended. Rows are counted as written."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import pytest

from fanfold.core.events import COMMANDS, GRAPH, BackfillFollow, Event, PostCreated
from fanfold.core.ports import Pointer
from tests.support.clock import START_MS
from tests.support.crashes import Killed, Life
from tests.support.fanout import (
    SMALL,
    Pipeline,
    a_deletion,
    a_follow,
    a_pipeline,
    a_post,
    an_unfollow,
)

SHALLOW = SMALL.model_copy(update={"feed_depth": 250})


def posts_of_alice(count: int) -> list[PostCreated]:
    """Newest first."""
    return [a_post(ms=START_MS - n) for n in range(count)]


def count_rows(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows of each write into timelines, as they are written."""
    rows: list[int] = []
    push = pipeline.stores.timelines.push

    async def counted(pointers: Sequence[Pointer], reader_ids: Sequence[str]) -> int:
        rows.append(await push(pointers, reader_ids))
        return rows[-1]

    monkeypatch.setattr(pipeline.stores.timelines, "push", counted)
    return rows


async def materialised(pipeline: Pipeline, name: str) -> bool:
    return (await pipeline.stores.follows.following(name))["alice"].materialised


async def backfill_steps(pipeline: Pipeline) -> int:
    rows = await pipeline.log.rows([COMMANDS], after=0, limit=1000)
    return sum(isinstance(row.record.event(), BackfillFollow) for row in rows)


async def test_a_backfill_copies_as_many_posts_as_a_feed_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with a_pipeline(SHALLOW) as pipeline:
        posts = posts_of_alice(600)
        await pipeline.handle(*posts)
        rows = count_rows(pipeline, monkeypatch)
        await pipeline.handle(a_follow("bob"))
        assert rows == [100, 100, 50]
        assert await pipeline.timeline("bob") == [post.post_id for post in posts[:250]]
        assert await materialised(pipeline, "bob")
        assert await backfill_steps(pipeline) == 3


@pytest.mark.parametrize("count", [250, 251, 300])
async def test_a_backfill_ends_with_the_post_that_fills_the_feed(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_pipeline(SHALLOW) as pipeline:
        await pipeline.handle(*posts_of_alice(count))
        rows = count_rows(pipeline, monkeypatch)
        await pipeline.handle(a_follow("bob"))
        assert sum(rows) == 250
        assert await materialised(pipeline, "bob")


async def test_deleted_posts_are_not_copied_and_take_no_place_of_older_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with a_pipeline(SHALLOW) as pipeline:
        posts = posts_of_alice(400)
        await pipeline.handle(*posts)
        await pipeline.handle(*(a_deletion(of=post) for post in posts[:130]))
        rows = count_rows(pipeline, monkeypatch)
        await pipeline.handle(a_follow("bob"))
        assert sum(rows) == 250
        assert await pipeline.timeline("bob") == [post.post_id for post in posts[130:380]]


async def test_ten_follows_that_end_before_their_backfills_write_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with a_pipeline() as pipeline:
        await pipeline.handle(*posts_of_alice(600))
        rows = count_rows(pipeline, monkeypatch)
        worker = pipeline.worker()
        for _ in range(10):
            await pipeline.append(a_follow("bob"), an_unfollow("bob"))
            await pipeline.step(worker, GRAPH, limit=1)
            await pipeline.step(worker, GRAPH, limit=1)
        assert await backfill_steps(pipeline) == 10
        await pipeline.drain(worker)
        assert rows == []
        assert await backfill_steps(pipeline) == 10
        assert not await materialised(pipeline, "bob")


async def test_of_ten_follows_in_a_row_only_the_last_is_backfilled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with a_pipeline() as pipeline:
        posts = posts_of_alice(600)
        await pipeline.handle(*posts)
        rows = count_rows(pipeline, monkeypatch)
        worker = pipeline.worker()
        await pipeline.append(a_follow("bob"))
        await pipeline.step(worker, GRAPH, limit=1)
        for _ in range(9):
            await pipeline.append(an_unfollow("bob"), a_follow("bob"))
            await pipeline.step(worker, GRAPH, limit=1)
            await pipeline.step(worker, GRAPH, limit=1)
        await pipeline.drain(worker)
        assert sum(rows) == 600
        assert await pipeline.timeline("bob") == [post.post_id for post in posts]
        assert await materialised(pipeline, "bob")


async def test_a_follow_that_ends_between_two_steps_is_left_out_of_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with a_pipeline() as pipeline:
        await pipeline.handle(*posts_of_alice(300))
        rows = count_rows(pipeline, monkeypatch)
        worker = pipeline.worker()
        await pipeline.append(a_follow("bob"), a_follow("carl"))
        await pipeline.step(worker, GRAPH, limit=2)
        await pipeline.step(worker, COMMANDS, limit=1)
        assert rows == [200]
        await pipeline.append(an_unfollow("bob"))
        await pipeline.drain(worker)
        assert rows == [200, 100, 100]
        assert await materialised(pipeline, "carl")
        assert not await materialised(pipeline, "bob")


@pytest.mark.slow
async def test_a_worker_that_dies_between_steps_and_toggles_leaves_the_last_follow_whole() -> None:
    """Whatever is left out, the follow that lasts is marked, and only with all of its posts."""
    toggles: list[Event] = [a_follow("bob"), an_unfollow("bob"), a_follow("bob"), a_follow("carl")]
    settings = SMALL.model_copy(update={"take_events": 1, "feed_depth": 150})
    posts = posts_of_alice(210)
    for writes in range(0, 420, 23):
        async with a_pipeline(settings) as pipeline:
            await pipeline.handle(*posts)
            await pipeline.append(*toggles)
            with contextlib.suppress(Killed):
                await pipeline.drain(pipeline.worker(Life(writes)))
            await pipeline.drain()
            for name in ("bob", "carl"):
                assert await materialised(pipeline, name), f"after {writes} writes"
                shown = (await pipeline.timeline(name))[:150]
                assert shown == [post.post_id for post in posts[:150]], f"after {writes} writes"
