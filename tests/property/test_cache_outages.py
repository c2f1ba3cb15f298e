"""A reader of the shared cache never finds an old value, whatever fails, dies or is late between the worker, the cache and the tables."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfold.adapters.memory import memory_stores
from fanfold.adapters.memory.shared_cache import MemoryCacheServer, MemorySharedCache
from fanfold.adapters.telling_stores import telling
from fanfold.core.cache_keys import name_key
from fanfold.core.errors import Unavailable
from fanfold.core.ports import CacheSwitch, Stores
from fanfold.core.ports.cache_epoch import CacheEpoch
from fanfold.core.ports.cache_switch import OFF_S
from fanfold.core.ports.shared_cache import Lease
from fanfold.core.settings import Settings
from tests.support.clock import START_MS, ManualClock
from tests.support.examples import examples
from tests.support.scheduled import Schedule, Scheduled

SETTINGS = Settings()
AT_ONCE_S = 1.0
WRITES = 12
WORKERS = {"one": ("alice", "bob"), "two": ("carl",)}
"""Each user's name is changed by one worker, one change after another; those of one worker at the same time."""
USERS = [user for users in WORKERS.values() for user in users]
PAUSES = (0, 0, 5, 20, 80)
"""Steps between two writes of a user: reads come between them."""
PASSING_S = (0.1, 0.3, 0.6, 1.1, 15.0, 25.0, 45.0, 61.0)


class OrderedSwitch:
    """Calls of one writer take effect in the order in which they were made, however late: as timestamps do it in Cassandra."""

    def __init__(self, switch: CacheSwitch, schedule: Schedule) -> None:
        self._switch = switch
        self._schedule = schedule
        self._calls = 0
        self._applied: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.outages = Scheduled(switch, schedule, engine="tables").outages

    async def begin(self, writer_id: str, epoch: UUID) -> None:
        await self._in_order("begin", writer_id, epoch)

    async def end(self, writer_id: str, epoch: UUID) -> None:
        await self._in_order("end", writer_id, epoch)

    async def _in_order(self, verb: str, writer_id: str, epoch: UUID) -> None:
        self._calls = number = self._calls + 1

        async def apply() -> None:
            if number > self._applied[verb, writer_id]:
                self._applied[verb, writer_id] = number
                await getattr(self._switch, verb)(writer_id, epoch)

        await self._schedule.call("tables", apply)


class World:
    """Two workers that rename users, and readers of their names, over one cache and one set of tables."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.clock = ManualClock()
        self.schedule = Schedule(
            self.rng,
            failing=self.rng.choice((0.0, 0.05, 0.3)),
            slow=self.rng.choice((frozenset(), frozenset(WORKERS))),
        )
        self.tables = memory_stores(SETTINGS, clock=self.clock)
        switch: Any = OrderedSwitch(self.tables.cache_switch, self.schedule)
        self.scheduled = replace(
            self.tables,
            users=Scheduled(self.tables.users, self.schedule, engine="tables"),
            cache_switch=switch,
        )
        self.server = MemoryCacheServer()
        self.written: dict[str, int] = dict.fromkeys(USERS, -1)
        self.returned: dict[str, list[float]] = {user: [] for user in USERS}
        self.lives: dict[str, int] = dict.fromkeys(WORKERS, 0)
        self.cached = 0

    def client(self, epoch: CacheEpoch | None = None) -> MemorySharedCache:
        return MemorySharedCache(
            SETTINGS, clock=self.clock, epoch=epoch or (lambda: None), server=self.server
        )

    def start_worker(self, name: str) -> None:
        """A process, which goes on with the writes that did not return in the last one."""
        self.lives[name] += 1
        cache: Any = Scheduled(self.client(), self.schedule, engine="cache")
        writer_id = f"{name}-{self.lives[name]}"
        stores = telling(self.scheduled, cache, writer_id=writer_id, clock=self.clock)
        for user in WORKERS[name]:
            self.schedule.start(name, self.rename(stores, user))

    async def rename(self, stores: Stores, user: str) -> None:
        while (offset := self.written[user] + 1) < WRITES:
            for _ in range(self.rng.choice(PAUSES)):
                await self.schedule.step()  # reads between two writes
            try:
                await stores.users.register(
                    user, str(offset), registered_at_ms=START_MS, offset=offset
                )
            except Unavailable:
                continue
            self.written[user] = offset
            self.returned[user].append(self.clock.monotonic_s())

    async def watch(self, epoch: CacheEpoch) -> None:
        while True:
            try:
                await epoch.read()
            except Unavailable:
                continue

    async def read(self, epoch: CacheEpoch) -> None:
        cache = self.client(epoch)
        while True:
            user = self.rng.choice(USERS)
            await self.schedule.step()
            [found] = await cache.look_up([name_key(user)])
            if isinstance(found, bytes):
                self.cached += 1
                self.check(user, int(found))
                continue
            try:
                shown = (await self.scheduled.users.get(user)).display_name or "-1"
            except Unavailable:
                continue
            if isinstance(found, Lease):
                await self.schedule.step()
                await cache.fill([(found, shown.encode())])

    def check(self, user: str, shown: int) -> None:
        at_s = self.clock.monotonic_s() - AT_ONCE_S
        due = sum(returned_s < at_s for returned_s in self.returned[user]) - 1
        assert shown >= due, f"{user}: {shown} was shown a second after {due} was written"


async def run(seed: int) -> int:
    """A history of the world. Returns how many reads the cache answered."""
    world = World(seed)
    schedule, rng = world.schedule, world.rng
    for name in WORKERS:
        world.start_worker(name)
    epochs = [CacheEpoch(world.scheduled.cache_switch, clock=world.clock) for _ in range(2)]
    for number, epoch in enumerate(epochs):
        schedule.start(f"reader-{number}", world.watch(epoch))
        schedule.start(f"reader-{number}", world.read(epoch))
    troubles, passing = rng.choice((0.0, 0.02, 0.06)), rng.choice((0.03, 0.1, 0.3))
    for _ in range(10_000):
        if min(world.written.values()) == WRITES - 1:
            break
        if rng.random() < passing:
            world.clock.advance(rng.choice(PASSING_S[: rng.randint(1, len(PASSING_S))]))
        if rng.random() < troubles:
            await trouble(world)
        await schedule.release()
    else:
        raise AssertionError("the writes never ended")
    schedule.away.clear()
    schedule.failing = 0.0
    world.clock.advance(OFF_S)
    for _ in range(60):
        await schedule.release()
    assert all(epoch() is not None for epoch in epochs), "an outage never ended"
    for process in (*WORKERS, "", "reader-0", "reader-1"):
        await schedule.kill(process)
    return world.cached


async def trouble(world: World) -> None:
    name = world.rng.choice(list(WORKERS))
    match world.rng.randrange(4):
        case 0:
            await world.schedule.kill(name)
            world.start_worker(name)
        case 1:
            world.schedule.away ^= {(name, "cache")}
        case 2:
            world.schedule.away.add((name, "cache"))
        case _:
            world.schedule.away -= {(name, "cache")}


@pytest.mark.slow
@examples(150)
@given(seed=st.integers(0, 2**32))
async def test_a_second_after_a_write_returned_no_reader_finds_an_older_value(seed: int) -> None:
    await run(seed)


async def test_the_cache_is_used_in_these_histories() -> None:
    assert sum([await run(seed) for seed in range(5)]) > 100
