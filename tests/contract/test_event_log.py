"""What every `EventLog` promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from fanfold.core.clock import SystemClock
from fanfold.core.errors import Unavailable, Undecodable
from fanfold.core.events import DEAD_LETTERS, GRAPH, POSTS
from fanfold.core.ports.log import EventLog, Position, Record
from tests.support.logs import (
    STACKS,
    LogUnderTest,
    a_follow,
    a_post,
    everything,
    followers,
    log_under_test,
    read,
)


@pytest.fixture(params=STACKS)
async def under_test(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[LogUnderTest]:
    async with log_under_test(request.param, request, tmp_path) as opened:
        yield opened


@pytest.fixture
def log(under_test: LogUnderTest) -> EventLog:
    return under_test.log


async def test_an_appended_event_is_read_back_at_the_position_that_append_returned(
    log: EventLog,
) -> None:
    before_ms = SystemClock().now_ms()
    event = a_post(by="bob", content="Hällo 👋")

    position = await log.append(event)

    (record,) = await everything(log, 1, [POSTS])
    assert record.event() == event
    assert record.position == position
    assert record.key == b"bob"
    assert before_ms - 1000 <= record.appended_at_ms <= SystemClock().now_ms() + 1000


async def test_a_record_carries_its_event_as_a_cloud_event(log: EventLog) -> None:
    event = a_post()
    await log.append(event)

    (record,) = await everything(log, 1, [POSTS])

    assert record.headers["ce_specversion"] == b"1.0"
    assert record.headers["ce_type"] == b"fanfold.PostCreated.v1"
    assert record.headers["ce_id"] == str(event.post_id).encode()
    assert record.headers["ce_source"] == b"test"


async def test_events_of_one_key_are_in_one_partition_in_the_order_of_appending(
    under_test: LogUnderTest,
) -> None:
    log = under_test.log
    positions = [await log.append(a_follow(of="bob", by=f"u{n}")) for n in range(5)]

    found = [position for position in positions if position is not None]
    assert len({position.partition for position in found}) == 1
    assert [position.offset - under_test.first for position in found] == [0, 1, 2, 3, 4]
    assert followers(await everything(log, 5)) == ["u0", "u1", "u2", "u3", "u4"]


async def test_many_events_keep_their_order_within_each_key(log: EventLog) -> None:
    await log.append_many([a_follow(of=f"v{n % 7}", by=f"u{n:03}") for n in range(500)])

    records = await everything(log, 500)

    assert len(records) == 500
    for key in {record.key for record in records}:
        of_key = followers([record for record in records if record.key == key])
        assert of_key == sorted(of_key)


async def test_concurrent_appends_are_all_kept_at_different_positions(
    log: EventLog,
) -> None:
    positions = await asyncio.gather(
        *(log.append(a_follow(of=f"v{n % 5}", by=f"u{n}")) for n in range(100))
    )

    assert len(set(positions)) == 100
    assert len(await everything(log, 100)) == 100


async def test_a_cancelled_append_cancels_no_other_append(log: EventLog) -> None:
    appends = [asyncio.create_task(log.append(a_follow(by=f"u{n}"))) for n in range(20)]
    await asyncio.sleep(0)
    appends[3].cancel()

    done = await asyncio.gather(*appends, return_exceptions=True)

    assert sum(isinstance(position, Position) for position in done) >= 19
    kept = set(followers(await everything(log, 19)))
    assert kept >= {f"u{n}" for n in range(20) if n != 3}
    assert await log.append(a_follow(by="later")) is not None


async def test_appending_no_events_appends_nothing(log: EventLog) -> None:
    await log.append_many([])
    await log.append(a_follow(by="alice"))
    assert followers(await everything(log, 1)) == ["alice"]


@pytest.mark.slow
async def test_a_tail_starts_at_the_first_record_since_its_time(log: EventLog) -> None:
    await log.append(a_follow(by="early"))
    (early,) = await everything(log, 1)
    late = early
    while late.appended_at_ms == early.appended_at_ms:
        await log.append(a_follow(by="late"))
        late = (await everything(log, 2))[-1]

    found = await everything(log, 1, since_ms=late.appended_at_ms)

    assert found[0] == late
    assert "early" not in followers(found)


async def test_a_tail_returns_each_record_once(log: EventLog) -> None:
    async with log.tail([GRAPH], since_ms=0) as tail:
        for n in range(3):
            await log.append(a_follow(by=f"u{n}"))
            assert followers(await read(tail, 1)) == [f"u{n}"]


@pytest.mark.slow
async def test_a_tail_follows_only_its_topics(log: EventLog) -> None:
    await log.append(a_post())
    await log.append(a_follow())

    assert {record.topic for record in await everything(log, 1, [GRAPH])} == {GRAPH}
    assert {record.topic for record in await everything(log, 2, [GRAPH, POSTS])} == {GRAPH, POSTS}


@pytest.mark.slow
async def test_an_idle_tail_returns_nothing_and_is_not_behind(log: EventLog) -> None:
    await log.append(a_follow())
    async with log.tail([GRAPH, POSTS], since_ms=0) as tail:
        await read(tail, 1)
        for _ in range(5):
            assert await tail.read() == []
            assert tail.behind_s() < 0.5


async def test_a_dead_letter_keeps_the_raw_record_its_origin_and_the_reason(
    log: EventLog,
) -> None:
    poison = Record(GRAPH, 3, 42, b"bob", b"\xff not JSON", {"ce_type": b"\xfe?"}, 0)

    await log.dead_letter(poison, "unknown event type — ?")

    (letter,) = await everything(log, 1, [DEAD_LETTERS])
    assert (letter.key, letter.value) == (b"bob", b"\xff not JSON")
    assert letter.headers == {
        "ce_type": b"\xfe?",
        "ff_topic": b"graph.v1",
        "ff_partition": b"3",
        "ff_offset": b"42",
        "ff_appended_at_ms": b"0",
        "ff_reason": "unknown event type — ?".encode(),
    }
    with pytest.raises(Undecodable):
        letter.event()


async def test_an_acknowledgement_shows_the_skew_of_the_clock(log: EventLog) -> None:
    await log.append(a_follow())

    skew_ms = log.clock_skew_ms()

    assert skew_ms is not None
    assert abs(skew_ms) < 1000


async def test_an_open_log_answers_a_ping(log: EventLog) -> None:
    assert await answers(log)


async def answers(log: EventLog) -> bool:
    try:
        await log.ping()
    except Unavailable:
        return False
    return True


@pytest.mark.parametrize("stack", STACKS)
async def test_a_closed_log_is_unavailable(
    stack: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    async with log_under_test(stack, request, tmp_path) as opened:
        log = opened.log

    with pytest.raises(Unavailable):
        await log.append(a_follow())
    with pytest.raises(Unavailable):
        await log.ping()


async def test_a_record_is_read_by_its_position(log: EventLog) -> None:
    events = [a_follow(of="bob", by=f"u{n}") for n in range(3)]
    positions = [await log.append(event) for event in events]
    for event, position in zip(events, positions, strict=True):
        assert position is not None
        record = await log.read(Position.parse(str(position)))
        assert record is not None
        assert (record.event(), record.position) == (event, position)


async def test_reading_a_position_that_the_log_does_not_hold_returns_none(log: EventLog) -> None:
    position = await log.append(a_post(by="bob"))
    assert position is not None
    beyond = (
        replace(position, offset=position.offset + 1),
        replace(position, offset=10**17),
        replace(position, partition=10_000),
        Position("no.such.topic", 0, 0),
    )
    assert [await log.read(position) for position in beyond] == [None] * len(beyond)
    assert await log.read(position) is not None


@pytest.mark.parametrize(
    "text", ["", "posts.v1", "posts.v1/0", "posts.v1/0/-1", "posts.v1/00/1", "a/0/1/2", "A/0/1"]
)
def test_a_malformed_position_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="topic/partition/offset"):
        Position.parse(text)


async def test_a_replayed_record_comes_after_all_others_of_its_key_and_names_its_origin(
    log: EventLog,
) -> None:
    await log.append_many([a_follow(by="u1"), a_follow(by="u2")])
    first, *_ = await everything(log, 2)

    await log.replay([first])

    *_, again = await everything(log, 3)
    assert (again.topic, again.partition, again.key, again.value) == (
        first.topic,
        first.partition,
        first.key,
        first.value,
    )
    assert again.offset > first.offset
    assert again.headers == {**first.headers, "ff_replay_of": str(first.position).encode()}
