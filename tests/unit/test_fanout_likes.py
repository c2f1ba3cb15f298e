"""The projection of likes: what is written, how often, and what a death or a rival changes about it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from fanfold.core.errors import Rejected
from fanfold.core.events import ENGAGEMENT, Event, PostCreated, PostLiked, PostUnliked
from fanfold.core.ports import Like, LikeCount
from fanfold.core.settings import Settings
from fanout_service.fold_likes import fold_likes, like_change
from fanout_service.worker import Worker
from tests.support.clock import START_MS
from tests.support.crashes import Killed, Life
from tests.support.fanout import Pipeline, a_like, a_pipeline, a_post, a_record, an_unlike
from tests.support.stores import like_count

IN_ONE_BATCH = Settings(take_events=500)
LIKERS = ("bob", "carl", "dave")


class CountedLikes:
    """A store of likes that counts its calls, and the rows of each write, by name."""

    def __init__(self, likes: Any) -> None:
        self._likes = likes
        self.calls: Counter[str] = Counter()
        self.rows: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._likes, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            self.calls[name] += 1
            if name.startswith("write"):
                self.rows[name] += len(args[0])
            return await method(*args, **kwargs)

        return call


def a_worker(pipeline: Pipeline, likes: Any) -> Worker:
    stores = replace(pipeline.stores, likes=likes)
    return Worker(pipeline.settings, log=pipeline.log, stores=stores, clock=pipeline.clock)


async def count(pipeline: Pipeline, post: PostCreated) -> int:
    return (await like_count(pipeline.stores.likes, post.post_id)).likes


async def test_the_row_of_a_viral_post_is_written_once_a_batch() -> None:
    async with a_pipeline(IN_ONE_BATCH) as pipeline:
        post, likes = a_post(), CountedLikes(pipeline.stores.likes)
        await pipeline.append(post, *[a_like(post, f"fan-{n}") for n in range(1000)])
        await pipeline.drain(a_worker(pipeline, likes))
        assert await count(pipeline, post) == 1000
        # 1,000 events in batches of 500: the row is read and written twice, and nothing else of the post at all.
        assert likes.calls["counts"] == likes.rows["write_counts"] == 2
        assert likes.calls["of_pairs"] == likes.calls["write"] == 2
        assert likes.rows["write_recent"] == likes.rows["write"] == 1000


async def test_likes_that_change_nothing_write_no_lists_and_repetitions_write_nothing() -> None:
    async with a_pipeline(IN_ONE_BATCH) as pipeline:
        post, likes = a_post(), CountedLikes(pipeline.stores.likes)
        worker = a_worker(pipeline, likes).handlers()[ENGAGEMENT]
        again: list[Event] = [a_like(post, "bob"), a_like(post, "bob"), an_unlike(post, "carl")]
        records = [a_record(event, offset=n) for n, event in enumerate(again)]
        await worker(records)
        assert likes.rows["write_recent"] == 1
        assert await like_count(pipeline.stores.likes, post.post_id) == LikeCount(1, 2)
        await worker(records)
        assert (likes.rows["write_counts"], likes.rows["write_recent"]) == (1, 1)


async def test_even_a_like_that_changes_nothing_writes_its_offset() -> None:
    async with a_pipeline() as pipeline:
        post = a_post()
        await pipeline.handle(post, a_like(post, "bob"), a_like(post, "bob", ms=START_MS + 1))
        await pipeline.handle(an_unlike(post, "carl"))
        likes = await pipeline.stores.likes.of_post(post.post_id, ["bob", "carl"])
        assert likes["bob"] == Like("bob", post.post_id, "alice", True, START_MS, offset=1)
        assert likes["carl"] == Like("carl", post.post_id, "alice", False, START_MS, offset=2)


async def test_likes_that_come_before_their_post_are_counted_on_it() -> None:
    async with a_pipeline() as pipeline:
        post = a_post()
        await pipeline.handle(a_like(post, "bob"))
        await pipeline.handle(post)
        [row] = (await pipeline.stores.posts.get([post.post_id])).values()
        assert (row.content, row.like_count) == (post.content, 1)
        assert await pipeline.dead_letters() == []


async def test_likes_of_different_posts_are_read_and_written_together() -> None:
    async with a_pipeline(IN_ONE_BATCH) as pipeline:
        posts, likes = [a_post() for _ in range(20)], CountedLikes(pipeline.stores.likes)
        events = [a_like(post, fan) for post in posts for fan in LIKERS]
        records = [a_record(event, offset=n) for n, event in enumerate(events)]
        await a_worker(pipeline, likes).handlers()[ENGAGEMENT](records)
        assert set(likes.calls.values()) == {1}
        assert [await count(pipeline, post) for post in posts] == [3] * 20


async def test_a_like_that_the_store_rejects_takes_no_other_of_its_batch_along() -> None:
    async with a_pipeline(IN_ONE_BATCH) as pipeline:
        good, bad = a_post(), a_post()

        class RejectsOne(CountedLikes):
            async def write_counts(self, counts: dict[UUID, LikeCount]) -> None:
                if bad.post_id in counts:
                    raise Rejected("no such post")
                await self._likes.write_counts(counts)

        worker = a_worker(pipeline, RejectsOne(pipeline.stores.likes)).handlers()[ENGAGEMENT]
        events = [a_like(good, "bob"), a_like(bad, "bob"), a_like(good, "carl")]
        await worker([a_record(event, offset=n) for n, event in enumerate(events)])
        assert (await count(pipeline, good), await count(pipeline, bad)) == (2, 0)
        [dead] = await pipeline.dead_letters()
        assert "no such post" in str(dead)


async def tables(pipeline: Pipeline, post: PostCreated) -> dict[str, Any]:
    likes = pipeline.stores.likes
    return {
        "count": await like_count(likes, post.post_id),
        "likes": await likes.of_post(post.post_id, LIKERS),
        "recent": {name: await likes.recent(name, limit=10) for name in LIKERS},
        "dead letters": await pipeline.dead_letters(),
    }


@pytest.mark.parametrize("taken", [1, 2, 3, 500])
async def test_a_worker_that_dies_anywhere_leaves_the_same_likes(
    taken: int,
) -> None:
    settings = Settings(take_events=taken)
    post, lived = a_post(), Life()
    before: list[Event] = [post, a_like(post, "bob"), a_like(post, "carl")]
    events: list[Event] = [
        an_unlike(post, "bob"),
        a_like(post, "dave", ms=START_MS + 1),
        a_like(post, "bob", ms=START_MS + 2),
        a_like(post, "carl", ms=START_MS + 3),
        an_unlike(post, "dave"),
    ]
    async with a_pipeline(settings) as pipeline:
        await pipeline.handle(*before)
        await pipeline.append(*events)
        await pipeline.drain(pipeline.worker(lived))
        expected = await tables(pipeline, post)
        assert expected["count"] == LikeCount(2, 6)
    assert lived.written > 5
    for writes in range(lived.written):
        async with a_pipeline(settings) as pipeline:
            await pipeline.handle(*before)
            await pipeline.append(*events)
            with pytest.raises(Killed):
                await pipeline.drain(pipeline.worker(Life(writes)))
            await pipeline.drain()
            assert await tables(pipeline, post) == expected, f"after {writes} writes"


async def test_a_worker_that_reads_likes_ahead_of_the_count_reads_again() -> None:
    async with a_pipeline() as pipeline:
        post = a_post()
        records = [a_record(a_like(post, name), offset=n) for n, name in enumerate(LIKERS)]
        read, go_on = asyncio.Event(), asyncio.Event()

        class StopsAfterTheCount(CountedLikes):
            async def counts(self, post_ids: Collection[UUID]) -> dict[UUID, LikeCount]:
                found: dict[UUID, LikeCount] = await self._likes.counts(post_ids)
                self.calls["counts"] += 1
                read.set()
                await go_on.wait()
                return found

        likes = StopsAfterTheCount(pipeline.stores.likes)
        zombie = asyncio.ensure_future(a_worker(pipeline, likes).handlers()[ENGAGEMENT](records))
        await read.wait()
        successor = pipeline.worker().handlers()[ENGAGEMENT]
        await successor(records[:2])
        go_on.set()
        await zombie
        assert likes.calls["counts"] == 2
        await successor(records[2:])
        assert await count(pipeline, post) == 3


def test_a_fold_gives_the_same_result_however_it_is_cut() -> None:
    post = a_post()
    events: list[PostLiked | PostUnliked] = [
        a_like(post, "bob"),
        a_like(post, "carl"),
        an_unlike(post, "bob"),
        a_like(post, "bob"),
    ]
    changes = [like_change(event, n) for n, event in enumerate(events)]
    whole = fold_likes(LikeCount(0, None), {}, changes)
    for cut in range(len(changes) + 1):
        first = fold_likes(LikeCount(0, None), {}, changes[:cut])
        stored = {like.user_id: like for like in first.likes}
        second = fold_likes(first.count, stored, changes[cut:])
        assert second.count == whole.count
        assert [*first.entries, *second.entries] == whole.entries
        assert stored | {like.user_id: like for like in second.likes} == {
            like.user_id: like for like in whole.likes
        }
