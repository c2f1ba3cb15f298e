"""An author's number of posts: each post once, also where a table is older than the others."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from fanfold.core.events import POSTS
from tests.support.fanout import Pipeline, a_deletion, a_pipeline, a_post


async def count(pipeline: Pipeline) -> int:
    return (await pipeline.user("alice")).post_count


async def replay(pipeline: Pipeline) -> None:
    pipeline.acknowledged[POSTS] = 0
    await pipeline.drain()


async def test_a_post_that_was_published_twice_under_one_id_is_counted_once() -> None:
    async with a_pipeline() as pipeline:
        post = a_post()
        await pipeline.handle(post, post)
        assert await count(pipeline) == 1
        [_, again] = await pipeline.log.rows([POSTS], after=0, limit=3)
        assert (await pipeline.user("alice")).post_offset == again.record.offset
        await pipeline.handle(a_deletion(post), a_deletion(post), post)
        assert await count(pipeline) == 0
        await replay(pipeline)
        assert await count(pipeline) == 0


async def test_a_replay_counts_again_where_the_row_of_the_author_is_lost() -> None:
    async with a_pipeline() as pipeline, a_pipeline() as empty:
        first, second = a_post(), a_post()
        await pipeline.handle(first, second, a_deletion(first))
        # The plans are there and name the events, and the author's row is from before them.
        pipeline.stores = replace(pipeline.stores, users=empty.stores.users)
        assert await count(pipeline) == 0
        await replay(pipeline)
        assert await count(pipeline) == 1


async def test_a_post_that_a_version_without_counts_has_planned_is_counted_when_it_comes_again() -> (
    None
):
    async with a_pipeline() as pipeline, a_pipeline() as empty:
        post = a_post()
        await pipeline.handle(post)
        plan = await pipeline.stores.jobs.plan(post.post_id)
        assert plan is not None
        await empty.stores.jobs.write_plan(
            post.post_id, replace(plan, counted_offset=None), offset=0
        )
        pipeline.stores = empty.stores
        await pipeline.handle(a_deletion(a_post()))  # dead-lettered: nothing to count
        assert await count(pipeline) == 0
        await replay(pipeline)
        assert await count(pipeline) == 1
        await pipeline.handle(a_deletion(post))
        assert await count(pipeline) == 0


async def test_a_post_is_counted_while_its_delivery_is_recorded_and_planned_after_both(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with a_pipeline() as pipeline:
        stores, both, order = pipeline.stores, asyncio.Barrier(2), list[str]()

        def noted(store: object, method: str, *, meets: bool) -> None:
            write = getattr(store, method)

            async def writing(*arguments: Any, **options: Any) -> None:
                if meets:
                    await both.wait()
                await write(*arguments, **options)
                order.append(method)

            monkeypatch.setattr(store, method, writing)

        noted(stores.users, "write_post_count", meets=True)
        noted(stores.posts, "set_delivery", meets=True)
        noted(stores.jobs, "write_plan", meets=False)
        async with asyncio.timeout(30):
            await pipeline.handle(a_post())
        assert sorted(order[:2]) == ["set_delivery", "write_post_count"]
        assert order[2:] == ["write_plan"]
