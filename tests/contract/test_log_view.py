"""What every `LogView` promises."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fanfold.core.events import COMMANDS, GRAPH, POSTS, PROJECTED_TOPICS, DeliverSlice, PostCreated
from fanfold.core.ports.log import Record
from fanfold.core.ports.log_view import Backlog, Span
from fanfold.core.topics import load_topics
from tests.support.eventually import eventually
from tests.support.logs import (
    STACKS,
    LogUnderTest,
    Seen,
    a_follow,
    a_post,
    log_under_test,
    running,
)

MANY = 1_000


@pytest.fixture(params=STACKS)
async def under_test(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[LogUnderTest]:
    async with log_under_test(request.param, request, tmp_path) as opened:
        yield opened


async def test_the_backlog_counts_what_no_worker_has_acknowledged(under_test: LogUnderTest) -> None:
    log, view = under_test.log, under_test.view
    declared, consumed = load_topics(), (*PROJECTED_TOPICS, COMMANDS)
    empty = await view.backlog(most_commands=MANY)
    assert Counter(lag.topic for lag in empty.lags) == {
        topic: declared[topic].partitions["few"] for topic in consumed
    }
    assert list(empty.lags) == sorted(empty.lags)
    assert (waiting(empty), empty.dead_letters, empty.commands) == ({}, 0, ())
    assert empty.all_commands

    post = a_post(by="bob")
    await log.append(post)
    await log.append_many([a_follow(by=f"u{n}") for n in range(3)])
    commands = [
        DeliverSlice(post_id=post.post_id, author_id="bob", generation=1, bucket=n)
        for n in range(5)
    ]
    await log.append_many(commands)
    await log.dead_letter(Record(POSTS, 0, 0, b"k", b"{", {}, 0), "unreadable")

    full = await view.backlog(most_commands=MANY)
    assert (waiting(full), full.dead_letters) == ({POSTS: 1, GRAPH: 3, COMMANDS: 5}, 1)
    assert sorted(record.position.offset for record in full.commands) == sorted(
        offset
        for lag in full.lags
        if lag.topic == COMMANDS
        for offset in range(lag.committed, lag.end)
    )
    assert full.all_commands
    assert not (await view.backlog(most_commands=1)).all_commands

    seen = Seen()
    async with running(under_test.consumer(2), {GRAPH: seen}):
        await seen.until(3)

        async def acknowledged() -> bool:
            return GRAPH not in waiting(await view.backlog(most_commands=0))

        await eventually(acknowledged, within_s=30, what="the acknowledgement of the follows")


def waiting(backlog: Backlog) -> dict[str, int]:
    """Records that wait, by topic."""
    found: Counter[str] = Counter()
    for lag in backlog.lags:
        found[lag.topic] += lag.records
    return {topic: records for topic, records in found.items() if records}


async def test_records_are_read_by_their_offsets_and_found_by_their_time(
    under_test: LogUnderTest,
) -> None:
    log, view, first = under_test.log, under_test.view, under_test.first
    assert set((await view.spans(POSTS)).values()) == {Span(first, first)}
    for n in range(3):
        await log.append(a_post(by="bob", content=f"early {n}"))
    await asyncio.sleep(0.05)
    (early,) = [span for span in (await view.spans(POSTS)).items() if span[1].end > first]
    until_ms = max(r.appended_at_ms for r in await view.records(POSTS, dict([early])))
    await asyncio.sleep(0.05)
    for n in range(2):
        await log.append(a_post(by="bob", content=f"late {n}"))

    number = early[0]
    spans = await view.spans(POSTS)
    assert spans[number] == Span(first, first + 5)
    assert sum(span.end - first for span in spans.values()) == 5
    assert (await view.spans(POSTS, until_ms=until_ms))[number] == Span(first, first + 3)
    assert (await view.spans(POSTS, until_ms=0))[number] == Span(first, first)

    middle = await view.records(POSTS, {number: Span(first + 1, first + 4)})
    assert [(record.partition, record.offset) for record in middle] == [
        (number, first + n) for n in (1, 2, 3)
    ]
    assert [contents(record) for record in middle] == ["early 1", "early 2", "late 0"]
    assert await view.records(POSTS, {number: Span(first + 5, first + 5)}) == []


def contents(record: Record) -> str:
    event = record.event()
    assert isinstance(event, PostCreated)
    return event.content
