"""What every `Consumer` promises."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from fanfold.core.errors import Undecodable
from fanfold.core.events import DEAD_LETTERS, GRAPH, POSTS
from fanfold.core.ports.log import Record
from tests.support.logs import (
    STACKS,
    WITHIN_S,
    LogUnderTest,
    Seen,
    a_follow,
    a_post,
    followers,
    log_under_test,
    running,
)


@pytest.fixture(params=STACKS)
async def under_test(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[LogUnderTest]:
    async with log_under_test(request.param, request, tmp_path) as opened:
        yield opened


async def test_records_of_one_partition_arrive_in_order_one_batch_after_the_other(
    under_test: LogUnderTest,
) -> None:
    await under_test.log.append_many([a_follow(of=f"v{n % 5}", by=f"u{n}") for n in range(100)])
    seen = Seen()
    at_work = 0

    async def one_at_a_time(records: Sequence[Record]) -> None:
        nonlocal at_work
        at_work += 1
        assert at_work == 1
        await asyncio.sleep(0.001)
        at_work -= 1
        await seen(records)

    async with running(under_test.consumer(10), {GRAPH: one_at_a_time}):
        records = await seen.until(100)

    assert max(len(batch) for batch in seen.batches) <= 10
    by_partition = defaultdict(list)
    for record in records:
        by_partition[record.partition].append(record.offset - under_test.first)
    assert all(offsets == list(range(len(offsets))) for offsets in by_partition.values())
    assert sum(len(offsets) for offsets in by_partition.values()) == 100


async def test_a_record_arrives_whole(under_test: LogUnderTest) -> None:
    event = a_post(by="bob")
    position = await under_test.log.append(event)
    seen = Seen()

    async with running(under_test.consumer(10), {POSTS: seen}):
        (record,) = await seen.until(1)

    assert record.event() == event
    assert record.position == position
    assert record.key == b"bob"
    assert abs(record.appended_at_ms - event.created_at.timestamp() * 1000) < 60_000


async def test_a_record_that_is_not_an_event_arrives_raw(under_test: LogUnderTest) -> None:
    poison = Record(GRAPH, 0, 0, b"k", b"\xff\x00", {"x": b"\xfe"}, 0)
    await under_test.log.dead_letter(poison, "poison")
    seen = Seen()

    async with running(under_test.consumer(10), {DEAD_LETTERS: seen}):
        (record,) = await seen.until(1)

    assert (record.key, record.value, record.headers["x"]) == (b"k", b"\xff\x00", b"\xfe")
    with pytest.raises(Undecodable):
        record.event()


async def test_each_topic_goes_to_its_own_handler(under_test: LogUnderTest) -> None:
    await under_test.log.append(a_post())
    await under_test.log.append(a_follow())
    posts, graph = Seen(), Seen()

    async with running(under_test.consumer(10), {POSTS: posts, GRAPH: graph}):
        assert [record.topic for record in await posts.until(1)] == [POSTS]
        assert [record.topic for record in await graph.until(1)] == [GRAPH]


async def test_events_that_handlers_append_are_consumed_too(under_test: LogUnderTest) -> None:
    seen = Seen()

    async def post_for_each_follow(records: Sequence[Record]) -> None:
        await under_test.log.append_many([a_post(by=follower) for follower in followers(records)])

    async with running(under_test.consumer(10), {GRAPH: post_for_each_follow, POSTS: seen}):
        await under_test.log.append_many([a_follow(by=f"u{n}") for n in range(30)])
        posts = await seen.until(30)

    assert {record.key for record in posts} == {f"u{n}".encode() for n in range(30)}


async def test_an_acknowledged_batch_does_not_come_again(under_test: LogUnderTest) -> None:
    await under_test.log.append_many([a_follow(by=f"u{n}") for n in range(10)])
    first, second = Seen(), Seen()
    async with running(under_test.consumer(10), {GRAPH: first}):
        await first.until(10)

    await under_test.log.append(a_follow(by="later"))
    async with running(under_test.consumer(10), {GRAPH: second}):
        records = await second.until(1)

    assert followers(records) == ["later"]


async def test_a_batch_whose_handler_raised_comes_again_and_nothing_before_it(
    under_test: LogUnderTest,
) -> None:
    await under_test.log.append_many([a_follow(by=f"u{n:02}") for n in range(40)])
    acknowledged, seen = Seen(), Seen()

    async def fails_in_the_third_batch(records: Sequence[Record]) -> None:
        if len(acknowledged.batches) == 2:
            raise ConnectionError("the engines are gone")
        await acknowledged(records)

    async with running(under_test.consumer(10), {GRAPH: fails_in_the_third_batch}) as consumer:
        await asyncio.wait({consumer}, timeout=WITHIN_S)
        with pytest.raises(ConnectionError):
            consumer.result()
    async with running(under_test.consumer(10), {GRAPH: seen}):
        again = await seen.until(40 - len(acknowledged.records))

    assert len(acknowledged.batches) == 2
    assert followers(acknowledged.records) + followers(again) == [f"u{n:02}" for n in range(40)]


async def test_a_record_whose_handler_raised_comes_again_before_those_appended_since(
    under_test: LogUnderTest,
) -> None:
    await under_test.log.append(a_post(by="bob"))
    seen = Seen()

    async def fails(records: Sequence[Record]) -> None:
        raise ConnectionError

    async with running(under_test.consumer(10), {POSTS: fails, GRAPH: Seen()}) as consumer:
        await asyncio.wait({consumer}, timeout=WITHIN_S)
        with pytest.raises(ConnectionError):
            consumer.result()
    await under_test.log.append(a_post(by="bob"))
    async with running(under_test.consumer(10), {POSTS: seen, GRAPH: Seen()}):
        records = await seen.until(2)

    assert [record.offset - under_test.first for record in records] == [0, 1]
