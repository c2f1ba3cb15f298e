"""Any likes, in any batches, delivered again by workers that die or linger: counts and lists say what the log says."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fanfold.core.events import ENGAGEMENT, PostCreated, PostLiked, PostUnliked
from fanfold.core.ports import Like, LikeCount, RecentLike
from fanfold.core.ports.log import Record
from fanout_service.worker import Worker
from tests.support.clock import START_MS
from tests.support.crashes import Killed, Life
from tests.support.examples import examples
from tests.support.fanout import Pipeline, a_like, a_pipeline, a_post, a_record, an_unlike
from tests.support.stores import like_count

DAY_MS = 24 * 3600 * 1000
READERS = ("bob", "carl", "dave")


@dataclass
class Model:
    """What happened to two posts, and what it comes to by the plainest of rules."""

    posts: list[PostCreated] = field(
        default_factory=lambda: [
            a_post(ms=START_MS - 2 * DAY_MS),
            a_post(by="zoe", ms=START_MS - 2 * DAY_MS),
        ]
    )
    events: list[PostLiked | PostUnliked] = field(default_factory=list)

    def liked(self, post: PostCreated) -> dict[str, int]:
        """The users who like it in the end, and since when."""
        since: dict[str, int] = {}
        liking: set[str] = set()
        for event in self.events:
            if event.post_id != post.post_id:
                continue
            begins = isinstance(event, PostLiked)
            happened_at = event.liked_at if isinstance(event, PostLiked) else event.unliked_at
            happened_at_ms = round(happened_at.timestamp() * 1000)
            first = since.setdefault(event.user_id, happened_at_ms)
            if begins and event.user_id not in liking and happened_at_ms >= first + DAY_MS:
                since[event.user_id] = happened_at_ms
            (liking.add if begins else liking.discard)(event.user_id)
        return {user_id: since[user_id] for user_id in liking}

    def recent(self, reader: str) -> list[RecentLike]:
        entries = [
            RecentLike(liked[reader], post.post_id, post.author_id)
            for post in self.posts
            if reader in (liked := self.liked(post))
        ]
        return sorted(entries, reverse=True)


@st.composite
def histories(draw: st.DrawFn) -> Model:
    model = Model()
    for _ in range(draw(st.integers(1, 25))):
        post, reader = draw(st.sampled_from(model.posts)), draw(st.sampled_from(READERS))
        # The clocks of two servers are not in the log's order, and may agree.
        ms = START_MS - draw(st.sampled_from([0, DAY_MS])) + draw(st.integers(0, 4))
        happens = draw(st.sampled_from([True, True, False]))
        model.events.append((a_like if happens else an_unlike)(post, reader, ms=ms))
    return model


@dataclass(frozen=True)
class Step:
    """One batch: how long, what of it comes again, and after how many writes the worker dies."""

    limit: int
    redelivers: int
    writes: int | None


steps = st.lists(
    st.builds(
        Step,
        limit=st.integers(1, 12),
        redelivers=st.integers(0, 12),
        writes=st.none() | st.integers(0, 12),
    ),
    max_size=12,
)


@examples(60)
@given(histories(), steps)
async def test_likes_are_exact_in_any_batches_after_any_repetition_and_crash(
    model: Model, taken: Sequence[Step]
) -> None:
    async with a_pipeline() as pipeline:
        await pipeline.append(*model.posts, *model.events)
        worker = pipeline.worker()
        for step in taken:
            try:
                dying = worker if step.writes is None else pipeline.worker(Life(step.writes))
                await pipeline.step(dying, ENGAGEMENT, limit=step.limit, redelivers=step.redelivers)
            except Killed:
                worker = pipeline.worker()
        await pipeline.drain(worker)
        await check(pipeline, model)


class Dawdling:
    """Likes that take a given number of turns of the loop before each call, and between the rows of a write."""

    def __init__(self, likes: Any, turns: Iterator[int]) -> None:
        self._likes = likes
        self._turns = turns

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._likes, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            await self._dawdle()
            return await method(*args, **kwargs)

        return call

    async def counts(self, post_ids: Any) -> dict[Any, LikeCount]:
        found: dict[Any, LikeCount] = {}
        for post_id in sorted(post_ids):
            await self._dawdle()
            found |= await self._likes.counts([post_id])
        return found

    async def of_pairs(self, pairs: Any) -> dict[Any, Like]:
        found: dict[Any, Like] = {}
        for pair in sorted(pairs):
            await self._dawdle()
            found |= await self._likes.of_pairs([pair])
        return found

    async def write_counts(self, counts: Mapping[Any, LikeCount]) -> None:
        for post_id, count in counts.items():
            await self._dawdle()
            await self._likes.write_counts({post_id: count})

    async def write_recent(self, entries: Sequence[Any]) -> None:
        for entry in entries:
            await self._dawdle()
            await self._likes.write_recent([entry])

    async def write(self, likes: Sequence[Like]) -> None:
        for like in likes:
            await self._dawdle()
            await self._likes.write([like])

    async def _dawdle(self) -> None:
        for _ in range(next(self._turns, 0)):
            await asyncio.sleep(0)


@examples(100)
@given(
    model=histories(),
    start=st.integers(0, 25),
    zombies=st.integers(1, 12),
    cut=st.integers(1, 12),
    turns=st.tuples(*[st.lists(st.integers(0, 12), max_size=60)] * 2),
)
async def test_likes_are_exact_while_a_replaced_worker_runs_beside_its_successor(
    model: Model, start: int, zombies: int, cut: int, turns: tuple[list[int], list[int]]
) -> None:
    async with a_pipeline() as pipeline:
        await pipeline.handle(*model.posts)
        records = [a_record(event, offset=n) for n, event in enumerate(model.events)]
        if acknowledged := records[:start]:
            await pipeline.worker().handlers()[ENGAGEMENT](acknowledged)
        left = records[start:]
        zombie, successor = (a_dawdling_worker(pipeline, turn) for turn in turns)
        batches = [left[n : n + cut] for n in range(0, len(left), cut)]
        await asyncio.gather(
            handle(zombie, [left[:zombies]] if left else []), handle(successor, batches)
        )
        await check(pipeline, model)


def a_dawdling_worker(pipeline: Pipeline, turns: Sequence[int]) -> Worker:
    likes: Any = Dawdling(pipeline.stores.likes, iter(turns))
    stores = replace(pipeline.stores, likes=likes)
    return Worker(pipeline.settings, log=pipeline.log, stores=stores, clock=pipeline.clock)


async def handle(worker: Worker, batches: Sequence[Sequence[Record]]) -> None:
    for batch in batches:
        await worker.handlers()[ENGAGEMENT](batch)


async def check(pipeline: Pipeline, model: Model) -> None:
    assert await pipeline.dead_letters() == []
    likes = pipeline.stores.likes
    for post in model.posts:
        liked = model.liked(post)
        count = await like_count(likes, post.post_id)
        assert count == LikeCount(len(liked), count.offset)
        judged = await likes.of_post(post.post_id, READERS)
        found = {name: like.liked_at_ms for name, like in judged.items() if like.active}
        assert found == liked
    for reader in READERS:
        recent = await likes.recent(reader, limit=100)
        assert recent == model.recent(reader)
        posts = [post.post_id for post in model.posts]
        assert await likes.of_user(reader, posts) == {like.post_id for like in recent}
