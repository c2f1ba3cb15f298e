"""The tail: which events it applies, and when the caches may be trusted. The log is scripted, and time is virtual."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from fanfold.adapters.memory import memory_stores
from fanfold.adapters.sqlite.log import SqliteLog
from fanfold.core.errors import Unavailable
from fanfold.core.events import PROJECTED_TOPICS, Event, encode, from_ms
from fanfold.core.events import UserRegistered as Registered
from fanfold.core.ports.engines import Engines
from fanfold.core.ports.log import Record, Tail
from fanfold.core.settings import Settings
from feed_service.consistency.log_tail import WARM_UP_S, LogTail, WarmingUp
from feed_service.feed_reader import feed_reader
from tests.support.clock import START_MS, ManualClock


def a_record(user_id: str, offset: int) -> Record:
    event = Registered(user_id=user_id, display_name="x", registered_at=from_ms(START_MS))
    topic, key, value, headers = encode(event, source="test", now_ms=START_MS)
    return Record(topic, 0, offset, key, value, dict(headers), START_MS)


NONSENSE = Record("graph.v1", 0, 1, b"k", b"{", {"ce_type": b"fanfold.UserFollowed.v1"}, START_MS)


class ScriptedLog:
    """A log with a scripted tail: the test sets its answers, and how far it is behind."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.answers: asyncio.Queue[Sequence[Record] | Unavailable] = asyncio.Queue()
        self.opened: list[tuple[Sequence[str], int]] = []
        self.level_at_s = 0.0
        self.refuses = False

    @asynccontextmanager
    async def tail(self, topics: Sequence[str], *, since_ms: int) -> AsyncIterator[Tail]:
        self.opened.append((topics, since_ms))
        if self.refuses:
            raise Unavailable("the log is away")
        self.level_at_s = self.clock.monotonic_s()
        yield self

    async def read(self) -> Sequence[Record]:
        answer = await self.answers.get()
        if isinstance(answer, Unavailable):
            raise answer
        return answer

    def behind_s(self) -> float:
        return self.clock.monotonic_s() - self.level_at_s

    def level(self) -> None:
        self.level_at_s = self.clock.monotonic_s()


class Setting:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.log = ScriptedLog(self.clock)
        self.tail = LogTail(self.log, settings=Settings(), clock=self.clock)  # type: ignore[arg-type]
        self.applied: list[tuple[Event, int]] = []

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.tail.follow(lambda *seen: self.applied.append(seen)))
        await settle()
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def answer(self, *answers: Sequence[Record] | Unavailable) -> None:
        for answer in answers:
            self.log.answers.put_nowait(answer)
        await settle()

    async def catch_up(self) -> None:
        self.clock.advance(0.2)
        self.log.level()
        await self.answer([])


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_the_tail_starts_five_minutes_back() -> None:
    it = Setting()
    async with it.following():
        assert it.log.opened == [(PROJECTED_TOPICS, START_MS - 300_000)]


async def test_events_are_applied_with_their_offsets_and_nonsense_is_skipped() -> None:
    it = Setting()
    async with it.following():
        await it.answer([a_record("a", 7), NONSENSE, a_record("b", 9)])
    assert [(event.key, offset) for event, offset in it.applied] == [("a", 7), ("b", 9)]
    position = a_record("b", 9).position
    assert it.tail.recent(position) == it.applied[-1][0]
    assert it.tail.recent(replace(position, offset=8)) is None


async def test_the_caches_are_not_trusted_before_the_tail_has_caught_up_once() -> None:
    it = Setting()
    assert not it.tail.trusted()
    async with it.following():
        # A new tail reports that it is not behind; that proves nothing.
        assert it.log.behind_s() == 0
        assert not it.tail.trusted()
        it.clock.advance(0.5)
        await it.answer([a_record("a", 1)])
        assert not it.tail.trusted()
        await it.catch_up()
        assert it.tail.trusted()


async def test_the_caches_are_bypassed_while_the_tail_is_more_than_a_second_behind() -> None:
    it = Setting()
    async with it.following():
        await it.catch_up()
        it.clock.advance(1)
        assert it.tail.trusted()
        it.clock.advance(0.01)
        assert not it.tail.trusted()
        it.log.level()
        assert it.tail.trusted()


async def test_a_log_that_does_not_answer_is_asked_again() -> None:
    it = Setting()
    async with it.following():
        await it.answer(Unavailable("gone"), [a_record("a", 1)])
        assert it.applied == []
        it.clock.advance(0.2)
        await settle()
        assert len(it.applied) == 1


async def test_a_tail_that_fails_to_open_is_opened_again_from_the_same_time() -> None:
    it = Setting()
    it.log.refuses = True
    async with it.following():
        assert not it.tail.trusted()
        it.log.refuses = False
        it.clock.advance(0.2)
        await settle()
        assert it.log.opened == [(PROJECTED_TOPICS, START_MS - 300_000)] * 2
        await it.catch_up()
        assert it.tail.trusted()
    assert it.tail.behind_s() == float("inf")
    # At once, even if the last answer would have been valid for longer.
    assert not it.tail.trusted()


async def test_a_new_process_is_not_ready_until_it_has_caught_up_once() -> None:
    it = Setting()
    async with it.following():
        with pytest.raises(WarmingUp):
            await it.tail.warm()
        await it.catch_up()
        await it.tail.warm()
        # Once is enough: a tail that falls behind later makes reads slower, and unreadiness would not help.
        it.clock.advance(10)
        assert not it.tail.trusted()
        await it.tail.warm()


async def test_a_new_process_is_ready_after_a_while_even_without_the_log() -> None:
    it = Setting()
    it.log.refuses = True
    async with it.following():
        it.clock.advance(WARM_UP_S)
        with pytest.raises(WarmingUp):
            await it.tail.warm()
        it.clock.advance(0.1)
        await it.tail.warm()


async def test_the_read_side_follows_a_real_log_and_leaves_nothing_running(tmp_path: Path) -> None:
    clock = ManualClock()
    settings = Settings()
    async with SqliteLog(tmp_path / "log.db", clock=clock, source="test") as log:
        engines = Engines(log, memory_stores(settings, clock=clock))
        running = asyncio.all_tasks()
        async with feed_reader(settings, engines, clock=clock) as reader:
            page, missing = await reader.feeds.page(
                "alice", ranking="relevance", limit=10, cursor=None
            )
            assert (page.items, missing) == ([], [])
        assert asyncio.all_tasks() == running
