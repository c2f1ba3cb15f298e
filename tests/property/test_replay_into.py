"""`fanfold replay`: tables built from the log are the same whatever the number of workers, and every feed read from them is the oracle's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sortedcontainers import SortedSet

from fanfold.adapters.memory import memory_stores
from fanfold.adapters.memory.cells import ClusteredTable, Table
from fanfold.adapters.sqlite.log import SqliteLog
from fanfold.adapters.sqlite.log_view import SqliteLogView
from fanfold.core.errors import Unavailable
from fanfold.core.events import COMMANDS, PROJECTED_TOPICS, Event, UserLeft
from fanfold.core.ports import Stores
from fanfold.core.ports.log import Record
from fanfold.core.ports.log_view import Span
from fanfold.core.ports.no_shared_cache import NoSharedCache
from fanfold.ops.replay.replay import History, Replay, Replayed
from tests.support.clock import START_MS
from tests.support.examples import examples
from tests.support.fanout import (
    SMALL,
    TOPICS,
    Pipeline,
    a_block,
    a_deletion,
    a_follow,
    a_like,
    a_mute,
    a_pipeline,
    a_post,
    an_edit,
    an_unfollow,
    an_unlike,
    at,
)
from tests.support.feed import Reader
from tests.support.oracle import Oracle
from tests.support.sleeping import a_sleep, an_awakening

STARS = ("alice", "zoe")
READERS = ("bob", "carl", "dave", "erin")
SETTINGS = SMALL.model_copy(update={"max_clock_skew_s": 60, "overlap_s": 0})


class SqliteHistory:
    """See `History`: the embedded log, read partition by partition."""

    def __init__(self, log: SqliteLog) -> None:
        self._view = SqliteLogView(log)

    async def spans(self, topic: str) -> Mapping[int, Span]:
        return await self._view.spans(topic)

    async def batches(
        self, topic: str, partition: int, span: Span, *, size: int
    ) -> AsyncIterator[Sequence[Record]]:
        found = await self._view.records(topic, {partition: span})
        for start in range(0, len(found), size):
            yield found[start : start + size]


def a_replay(history: History, stores: Stores, pipeline: Pipeline, *, workers: int) -> Replay:
    return Replay(
        history=history,
        stores=stores,
        settings=pipeline.settings,
        clock=pipeline.clock,
        workers=workers,
        show=lambda _: None,
    )


async def replayed(pipeline: Pipeline, *, workers: int, into: Stores | None = None) -> Stores:
    stores = into or memory_stores(SETTINGS, clock=pipeline.clock)
    counts = Replayed()
    await a_replay(SqliteHistory(pipeline.log), stores, pipeline, workers=workers).run(counts)
    assert counts.records == counts.total
    return stores


def contents(stores: Stores) -> dict[str, Any]:
    """Every cell with its timestamp."""
    names = [name for name in Stores.__dataclass_fields__ if name != "ping"]
    return {name: _dumped(getattr(stores, name)) for name in names}


def _dumped(held: Any) -> Any:
    match held:
        case Table():
            return dict(held._rows)
        case ClusteredTable():
            return {key: dict(rows) for key, rows in held._partitions.items()}
        case Mapping():
            return {key: _dumped(value) for key, value in held.items()}
        case SortedSet():
            return [repr(value) for value in held]
        case _ if hasattr(held, "__dict__"):
            return {name: _dumped(value) for name, value in vars(held).items() if name != "_clock"}
        case _:
            return repr(held)


things = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "follow",
                "follow",
                "unfollow",
                "post",
                "post",
                "edit",
                "delete",
                "like",
                "unlike",
                "mute",
                "block",
                "sleep",
                "wake",
            ]
        ),
        st.sampled_from(READERS),
        st.sampled_from(STARS),
    ),
    min_size=5,
    max_size=50,
)


def happened(kind: str, reader: str, star: str, posts: list[Any]) -> list[Event]:
    made: dict[str, Callable[[], list[Event]]] = {
        "follow": lambda: [a_follow(reader, star)],
        "unfollow": lambda: [an_unfollow(reader, star)],
        "mute": lambda: [a_mute(reader, star)],
        "block": lambda: [an_unfollow(reader, star), a_block(reader, star)],
        "sleep": lambda: [a_sleep(reader)],
        "wake": lambda: [an_awakening(reader)],
    }
    if kind in made:
        return made[kind]()
    if kind == "post" or not posts:
        posts.append(a_post(by=star, ms=START_MS + len(posts)))
        return [posts[-1]]
    of = posts[-1 - len(reader) % len(posts)]
    match kind:
        case "edit":
            return [an_edit(of, "edited")]
        case "delete":
            return [a_deletion(of)]
        case "like":
            return [a_like(of, reader)]
        case _:
            return [an_unlike(of, reader)]


@examples(30)
@given(things, st.booleans())
async def test_two_replays_are_the_same_and_every_feed_is_the_oracles(
    story: Sequence[tuple[str, str, str]], someone_leaves: bool
) -> None:
    async with a_pipeline(SETTINGS) as pipeline:
        posts: list[Any] = []
        for kind, reader, star in story:
            await pipeline.append(*happened(kind, reader, star, posts))
        if someone_leaves:
            await pipeline.append(UserLeft(user_id="zoe", left_at=at(START_MS)))
        # The workers append crossings, and unfollows.
        await pipeline.drain()
        before = await pipeline.log.rows([*PROJECTED_TOPICS, COMMANDS], after=0, limit=100_000)

        one = await replayed(pipeline, workers=1)
        assert contents(await replayed(pipeline, workers=8)) == contents(one)
        await every_feed_is_the_oracles(pipeline, one)
        # Again into the same tables: each follow copies the posts that are there now, which no feed shows twice.
        await replayed(pipeline, workers=3, into=one)
        await every_feed_is_the_oracles(pipeline, one)
        after = await pipeline.log.rows([*PROJECTED_TOPICS, COMMANDS], after=0, limit=100_000)
        assert len(after) == len(before), "a replay appends nothing"


class Interrupted(SqliteHistory):
    """A log to which others append while it is replayed."""

    def __init__(self, log: SqliteLog, meanwhile: Callable[[], Awaitable[None]]) -> None:
        super().__init__(log)
        self._meanwhile = meanwhile
        self._done = False

    async def batches(
        self, topic: str, partition: int, span: Span, *, size: int
    ) -> AsyncIterator[Sequence[Record]]:
        if not self._done:
            self._done = True
            await self._meanwhile()
        async for batch in super().batches(topic, partition, span, size=size):
            yield batch


@examples(30)
@given(things, things, things)
async def test_workers_that_switch_to_replayed_tables_go_on_without_a_wrong_feed(
    before: Sequence[tuple[str, str, str]],
    meanwhile: Sequence[tuple[str, str, str]],
    after: Sequence[tuple[str, str, str]],
) -> None:
    """The tables in use are written during the replay. Then the workers go on in the new ones, from where the log ended at its start."""
    async with a_pipeline(SETTINGS) as old:
        posts: list[Any] = []

        async def happen(story: Sequence[tuple[str, str, str]]) -> None:
            for kind, reader, star in story:
                await old.append(*happened(kind, reader, star, posts))
            await old.drain()

        await happen(before)
        ends = {topic: old.log.last_seq([topic]) for topic in TOPICS}
        stores = memory_stores(SETTINGS, clock=old.clock)
        history = Interrupted(old.log, lambda: happen(meanwhile))
        await a_replay(history, stores, old, workers=2).run(Replayed())
        await happen(after)

        new = Pipeline(SETTINGS, old.clock, old.log, stores, acknowledged=ends)
        await new.drain()
        await every_feed_is_the_oracles(new, new.stores)
        await every_feed_is_the_oracles(old, old.stores)


async def every_feed_is_the_oracles(pipeline: Pipeline, stores: Stores) -> None:
    rows = await pipeline.log.rows(PROJECTED_TOPICS, after=0, limit=100_000)
    oracle = Oracle().fold(
        (r.topic, r.partition, r.offset, r.headers["ce_type"].decode(), r.value or b"")
        for r in (row.record for row in rows)
    )
    world: Any = SimpleNamespace(
        settings=SETTINGS, clock=pipeline.clock, stores=stores, cache=NoSharedCache()
    )
    reader = Reader(world)
    try:
        for viewer in {*READERS, *STARS} - oracle.left:
            shown = [str(item.post_id) for item in await reader.whole(viewer)]
            assert shown == [post.post_id for post in oracle.feed(viewer)]
    finally:
        await reader.presence.close()
        await reader.reads.close()


async def test_a_large_audience_is_delivered_though_no_worker_takes_commands() -> None:
    settings = SETTINGS.model_copy(update={"pull_threshold": 1000})
    async with a_pipeline(settings) as pipeline:
        readers = [f"reader-{n}" for n in range(40)]
        await pipeline.append(*(a_follow(reader, "alice") for reader in readers))
        post = a_post()
        await pipeline.append(post)
        stores = memory_stores(settings, clock=pipeline.clock)
        await a_replay(SqliteHistory(pipeline.log), stores, pipeline, workers=4).run(Replayed())
        for reader in readers:
            page = await stores.timelines.timeline(reader, before=None, since_ms=0, limit=10)
            assert [entry.post_id for entry in page] == [post.post_id]


async def test_what_cannot_be_handled_is_counted_and_what_is_away_ends_the_replay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with a_pipeline(SETTINGS) as pipeline:
        await pipeline.append(a_follow("bob", "alice"), a_deletion(a_post()))
        counts = Replayed()
        stores = memory_stores(SETTINGS, clock=pipeline.clock)
        replay = a_replay(SqliteHistory(pipeline.log), stores, pipeline, workers=2)
        await replay.run(counts)
        assert (counts.records, counts.dead) == (2, 1)
        assert counts.describe() == "2 of 2 records, 1 of them can't be handled"

        async def away(self: SqliteLogView, topic: str, spans: Mapping[int, Span]) -> list[Record]:
            raise Unavailable(f"{topic} is away")

        monkeypatch.setattr(SqliteLogView, "records", away)
        with pytest.raises(Unavailable):
            await replay.run(Replayed())
