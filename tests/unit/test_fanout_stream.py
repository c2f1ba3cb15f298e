"""What the worker takes from Faust, and what it leaves: without a broker."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.structs import TopicPartition
from faust.types import TP
from intervaltree import IntervalTree  # type: ignore[import-untyped]
from mode.utils.queues import FlowControlEvent, ThrowableQueue

from fanfold.core.settings import Settings
from fanout_service.quick_consumer import Fetched, QuickConsumer
from fanout_service.stream import FaustConsumer

POSTS = TP("fanfold.posts.v1", 3)
OTHERS = TP("fanfold.posts.v1", 4)
GENERATION = 7
ROOM = 10


class App:
    """The parts of a Faust app that are looked at: one topic, whose queue has room for so many fetches."""

    def __init__(self) -> None:
        self.consumer_generation_id = GENERATION
        self.flow_control = FlowControlEvent()
        self.flow_control.resume()
        self.queue: ThrowableQueue[Fetched] = ThrowableQueue(ROOM, flow_control=self.flow_control)
        self.topics = SimpleNamespace(
            _tp_index=defaultdict(lambda: [SimpleNamespace(queue=self.queue)])
        )
        self.consumer = Unconnected(self)
        self.in_recovery = False

    @property
    def stream(self) -> Any:
        return SimpleNamespace(app=self, channel=SimpleNamespace(queue=self.queue))


class Unconnected(QuickConsumer):
    """A consumer whose fetches are those of a test."""

    flow_active = True
    should_stop = False

    def __init__(self, app: App) -> None:
        self._of = app
        self._on_pressure = {}
        self._read_offset = defaultdict(lambda: None)
        self._committed_offset = defaultdict(lambda: None)
        self._acked = defaultdict(list)
        self._acked_index = defaultdict(set)
        self._gap = defaultdict(IntervalTree)
        self._unacked_messages = set()
        self._waiting_for_ack = None
        self._buffered_partitions = set()
        self._paused_partitions = set()
        self._active_partitions = {POSTS, OTHERS}
        self.suspend_flow = asyncio.Event()
        self.seeks = 0
        self.fetches: list[dict[TopicPartition, list[Any]]] = []

    @property
    def app(self) -> Any:
        return self._of

    @app.setter
    def app(self, _: Any) -> None:
        raise NotImplementedError

    async def _wait_next_records(self, timeout: float) -> Any:
        return self.fetches.pop(0), self._active_partitions

    async def perform_seek(self) -> None:
        self.seeks += 1

    async def wait_first(self, *waited: Any, timeout: Any = None) -> Any:
        tasks = [asyncio.ensure_future(one) for one in waited]
        _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()

    async def fetched(self, *offsets: int, of: TP = POSTS) -> None:
        """A fetch that returns records with these offsets."""
        self.fetches.append({TopicPartition(*of): [a_record(offset, of) for offset in offsets]})
        await self._fetch()

    def committed_next(self, of: TP = POSTS) -> int | None:
        """The offset that Faust would commit now."""
        return self._new_offset(of)


def a_record(offset: int, of: TP = POSTS) -> Any:
    return SimpleNamespace(offset=offset, partition=of.partition)


@pytest.fixture
async def app() -> App:
    return App()


async def taken(app: App, most: int = 3, left: list[Fetched] | None = None) -> Any:
    async with asyncio.timeout(5):
        return await FaustConsumer(Settings())._take(app.stream, most, [] if left is None else left)


def offsets_of(parts: Iterable[Fetched]) -> list[int]:
    return [record.offset for part in parts for record in part.records]


async def test_a_batch_is_what_has_been_fetched_and_no_more_than_a_batch(app: App) -> None:
    await app.consumer.fetched(0, 1)
    await app.consumer.fetched(2, 3, 4, 5, 6, 7)
    left: list[Fetched] = []
    batches = [offsets_of((await taken(app, left=left)).parts) for _ in range(3)]
    assert batches == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert left == []


async def test_a_batch_waits_for_its_first_record_only(app: App) -> None:
    waiting = asyncio.create_task(taken(app))
    await asyncio.sleep(0)
    assert not waiting.done()
    await app.consumer.fetched(4)
    assert offsets_of((await waiting).parts) == [4]


async def test_a_rebalance_waits_for_what_is_taken(app: App) -> None:
    await app.consumer.fetched(1, 2)
    batch = await taken(app)
    assert app.consumer.unacked == {batch}
    assert not batch.acked
    app.consumer.acknowledge(batch)
    assert app.consumer.unacked == set()
    assert batch.acked


async def test_records_from_before_a_rebalance_are_neither_handled_nor_acknowledged(
    app: App,
) -> None:
    left: list[Fetched] = []
    await app.consumer.fetched(1, 2, 3, 4)
    await app.consumer.fetched(5)
    assert offsets_of((await taken(app, 3, left)).parts) == [1, 2, 3]
    app.consumer_generation_id += 1
    app.consumer._read_offset[POSTS] = 4  # as a seek to what is committed sets it
    await app.consumer.fetched(4)
    batch = await taken(app, 3, left)
    assert offsets_of(batch.parts) == [4]
    assert [part.generation_id for part in batch.parts] == [GENERATION + 1]


async def test_during_a_rebalance_nothing_is_taken(app: App) -> None:
    await app.consumer.fetched(1)
    app.flow_control.suspend()
    waiting = asyncio.create_task(taken(app))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    app.flow_control.resume()
    await app.consumer.fetched(2)
    assert offsets_of((await waiting).parts) == [2]


# --- handing over --------------------------------------------------------------------------------------


async def test_what_a_fetch_returned_is_one_item_of_the_queue(app: App) -> None:
    await app.consumer.fetched(1, 2, 3)
    assert app.queue.qsize() == 1


async def test_before_the_flow_begins_records_wait_and_none_is_lost(app: App) -> None:
    app.flow_control.suspend()
    fetching = asyncio.create_task(app.consumer.fetched(1, 2))
    await asyncio.sleep(0.01)
    assert (fetching.done(), app.queue.qsize()) == (False, 0)
    app.flow_control.resume()
    await fetching
    assert offsets_of((await taken(app)).parts) == [1, 2]


async def test_what_a_rebalance_interrupts_is_not_handed_over(app: App) -> None:
    app.flow_control.suspend()
    fetching = asyncio.create_task(app.consumer.fetched(1, 2))
    await asyncio.sleep(0.01)
    app.consumer.flow_active = False
    app.consumer.suspend_flow.set()
    await fetching
    assert app.queue.qsize() == 0
    assert app.consumer._read_offset[POSTS] is None


async def test_what_was_fetched_for_another_generation_is_not_handed_over(app: App) -> None:
    app.flow_control.suspend()
    fetching = asyncio.create_task(app.consumer.fetched(1, 2))
    await asyncio.sleep(0.01)
    app.consumer_generation_id += 1
    app.flow_control.resume()
    await fetching
    assert app.queue.qsize() == 0


async def test_what_a_fetch_returns_during_a_rebalance_is_fetched_again(app: App) -> None:
    app.consumer.flow_active = False
    await app.consumer.fetched(1)
    assert (app.consumer.seeks, app.queue.qsize()) == (1, 0)


async def test_records_of_a_partition_that_is_no_longer_this_worker_s_are_left_out(
    app: App,
) -> None:
    app.consumer._active_partitions.discard(POSTS)
    await app.consumer.fetched(1)
    assert app.queue.qsize() == 0


async def test_records_before_the_offset_that_was_sought_are_left_out(app: App) -> None:
    app.consumer._read_offset[POSTS] = 5
    await app.consumer.fetched(3, 4, 5, 6)
    await app.consumer.fetched(4)
    assert offsets_of((await taken(app)).parts) == [5, 6]
    assert app.queue.empty()


async def test_a_full_queue_pauses_its_partitions_until_it_is_emptied(app: App) -> None:
    for offset in range(ROOM):
        await app.consumer.fetched(offset)
    await app.consumer.fetched(0, of=OTHERS)
    assert app.consumer._active_partitions == set()
    # Still taken: it was fetched before the pause, and would not be fetched again.
    await app.consumer.fetched(ROOM)
    assert len(offsets_of((await taken(app, most=100)).parts)) == ROOM + 2
    assert app.consumer._active_partitions == {POSTS, OTHERS}
    # As at a rebalance and at a stop. Faust checks what is in the set.
    app.consumer.pause_partitions({POSTS})
    assert app.consumer._active_partitions == {OTHERS}


# --- acknowledging -------------------------------------------------------------------------------------


async def acknowledged(app: App, *fetches: Sequence[int]) -> int | None:
    for offsets in fetches:
        await app.consumer.fetched(*offsets)
    app.consumer.acknowledge(await taken(app, most=100))
    return app.consumer.committed_next()


async def test_a_commit_includes_what_is_acknowledged(app: App) -> None:
    assert await acknowledged(app, [0, 1, 2], [3]) == 4


async def test_each_partition_is_committed_for_itself(app: App) -> None:
    await app.consumer.fetched(7, of=OTHERS)
    assert await acknowledged(app, [0, 1]) == 2
    assert app.consumer.committed_next(OTHERS) == 8


async def test_what_is_taken_and_not_acknowledged_is_not_committed(app: App) -> None:
    await app.consumer.fetched(0, 1, 2, 3)
    left: list[Fetched] = []
    app.consumer.acknowledge(await taken(app, 2, left))
    await taken(app, 2, left)
    assert app.consumer.committed_next() == 2


async def test_offsets_that_the_log_does_not_hold_hold_up_no_commit(app: App) -> None:
    assert await acknowledged(app, [1, 2], [5, 9, 10], [12]) == 13


async def test_offsets_that_the_log_does_not_hold_right_behind_its_first_one(app: App) -> None:
    app.consumer._committed_offset[POSTS] = await acknowledged(app, [0])
    assert await acknowledged(app, [5, 6]) == 7


async def test_offsets_that_the_log_does_not_hold_right_after_the_committed_one(app: App) -> None:
    app.consumer._committed_offset[POSTS] = app.consumer._read_offset[POSTS] = 5
    assert await acknowledged(app, [5, 7]) == 8


async def test_a_record_that_is_acknowledged_twice_counts_once(app: App) -> None:
    await app.consumer.fetched(0, 1)
    batch = await taken(app)
    app.consumer.acknowledge(batch)
    app.consumer.acknowledge(batch)
    assert app.consumer._acked[POSTS] == [0, 1]
    assert app.consumer.committed_next() == 2
    app.consumer._committed_offset[POSTS] = 2
    app.consumer.acknowledge(batch)
    assert app.consumer._acked[POSTS] == []
