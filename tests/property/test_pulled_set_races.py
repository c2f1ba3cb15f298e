"""Authors come into the set of pulled authors while feed processes read it: in any order, with failures, deaths and stops in between.

What must hold: once a worker has stored a pulled post, every feed process that looks a second later knows its author, until the post has expired.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import Any
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from fanfold.adapters.memory.pulled_authors import MemoryPulledAuthors
from fanfold.core.errors import Unavailable
from fanfold.core.ports.pulled_authors import ANNOUNCED_KEPT_MS
from fanout_service.keep_pulled import RENEWED_MS, KeepPulled
from feed_service.caches import pulled_set
from feed_service.caches.pulled_set import READ_AGAIN_S, PulledSet
from tests.support.clock import START_MS, ManualClock
from tests.support.examples import examples
from tests.support.scheduled import Schedule, Scheduled

WORKERS = ("worker-0", "worker-1")
READERS = ("reader-0", "reader-1")
POST_LIVES_MS = 2 * 3_600_000
RESIDENTS = [f"resident-{number}" for number in range(5)]

WEIGHTS = {
    "go_on": 8,
    "post": 4,
    "look": 6,
    "die": 2,
    "restart_a_reader": 1,
    "pass_time": 5,
    "rest": 1,
}
step = st.tuples(
    st.sampled_from([name for name, weight in WEIGHTS.items() for _ in range(weight)]),
    st.integers(0, 12),
)
# Of one length, because Hypothesis would mostly draw short ones. Counterexamples shrink towards steps that rest.
episode = st.lists(step, min_size=25, max_size=25)
LONG_S = (READ_AGAIN_S, ANNOUNCED_KEPT_MS / 1000, RENEWED_MS / 1000 + 3600)
TIMES_S = (0.5, 0.5, 1, 1, 9, 9, 11, 11, 50, 70, *LONG_S)


class Races:
    """Two workers and two feed processes over one table."""

    def __init__(self, seed: int) -> None:
        self.clock = ManualClock()
        self.schedule = Schedule(random.Random(seed), failing=0.1, slow=frozenset(READERS))
        self.tables = MemoryPulledAuthors(clock=self.clock)
        self.authors: Any = Scheduled(self.tables, self.schedule, engine="tables")
        self.keeping = {worker: self.a_worker() for worker in WORKERS}
        self.handled: dict[str, list[str]] = {worker: [] for worker in WORKERS}
        self.sets: dict[str, PulledSet] = {}
        self.stored_until_ms: dict[str, int] = {}
        self.episode = 0

    def a_worker(self) -> KeepPulled:
        return KeepPulled(authors=self.authors, clock=self.clock)

    async def begin(self) -> None:
        for name in RESIDENTS:
            await self.tables.keep(name, until_ms=START_MS + 100 * RENEWED_MS)
        for reader in range(len(READERS)):
            await self.restart_a_reader(reader)

    async def rest(self, _: int) -> None:
        pass

    async def go_on(self, count: int) -> None:
        for _ in range(count % 5 + 1):
            await self.schedule.release()

    async def post(self, number: int) -> None:
        # Before the residents and behind them, page by page; others in each episode, so that most are new.
        worker, author = WORKERS[number % 2], f"{'az'[number % 3 // 2]}-{number}-{self.episode}"
        self.handled[worker].append(author)
        self.schedule.start(worker, self._project(worker, author))

    async def die(self, number: int) -> None:
        """Its records are delivered again."""
        worker = WORKERS[number % 2]
        await self.schedule.kill(worker)
        self.keeping[worker] = self.a_worker()
        for author in self.handled[worker]:
            self.schedule.start(worker, self._project(worker, author))

    async def look(self, number: int) -> None:
        reader = READERS[number % 2]
        self.schedule.start(reader, self._look(self.sets[reader]))

    async def restart_a_reader(self, number: int) -> None:
        reader = READERS[number % 2]
        if reader in self.sets:
            await self.sets[reader].close()
        await self.schedule.kill(reader)
        self.sets[reader] = PulledSet(
            self.authors, clock=self.clock, budget_s=60, chance=lambda: 0.5
        )
        await self.look(number)

    async def pass_time(self, number: int) -> None:
        self.clock.advance(TIMES_S[number])

    async def end(self) -> None:
        self.schedule.failing = 0
        while await self.schedule.release():
            pass

    async def _project(self, worker: str, author: str) -> None:
        expires_ms = self.clock.now_ms() + POST_LIVES_MS
        keeping = self.keeping[worker]
        while True:
            with suppress(Unavailable):
                await keeping.keep(author, until_ms=expires_ms)
                break
        self.stored_until_ms[author] = max(self.stored_until_ms.get(author, 0), expires_ms)

    async def _look(self, pulled: PulledSet) -> None:
        with suppress(Unavailable):
            await pulled.get()

    async def known(self, reader: str) -> set[str]:
        asked = asyncio.create_task(self.sets[reader].get())
        while not asked.done():
            await self.schedule.release()
        return set(asked.result())

    async def close(self) -> None:
        for pulled in self.sets.values():
            await pulled.close()

    async def check(self) -> None:
        """After all is done, and a second later."""
        self.episode += 1
        await self.end()
        self.clock.advance(1)
        now_ms = self.clock.now_ms()
        wanted = {name for name, until_ms in self.stored_until_ms.items() if until_ms > now_ms}
        for reader in READERS:
            assert await self.known(reader) >= wanted


@examples()
@given(seed=st.integers(0, 2**32), episodes=st.lists(episode, min_size=4, max_size=4))
async def test_every_process_knows_the_author_of_every_pulled_post(
    seed: int, episodes: list[list[tuple[str, int]]]
) -> None:
    with patch.object(pulled_set, "PAGE", 2):
        races = Races(seed)
        await races.begin()
        for steps in episodes:
            races.schedule.failing = 0.1
            for name, number in steps:
                await getattr(races, name)(number)
            await races.check()
        await races.close()
