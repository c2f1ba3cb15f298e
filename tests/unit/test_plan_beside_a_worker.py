"""The planner's simulation beside a real worker at a small size: the same posts at the same moments.

The worker is real, and its tables are the embedded ones. Its time is the CPU that this process uses, so other work on the machine delays
nothing. The test takes the batches, with the limits and the pause of Faust's agents. `make bench ONLY=s` does the same on the
engines, by the clock.
"""

from __future__ import annotations

import asyncio
import gc
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from random import Random
from statistics import median
from typing import Any, cast
from uuid import UUID

import pytest

from bench.crowd import new_post, reader_id, seed_author
from fanfold.adapters.memory import memory_stores
from fanfold.core.buckets import FollowerBucket
from fanfold.core.clock import SystemClock
from fanfold.core.events import COMMANDS, POSTS, Event
from fanfold.core.ports import Jobs, SliceDone
from fanfold.core.ports.log import EventLog, Record
from fanfold.core.settings import Settings
from fanfold.ops.plan.curve import Curve
from fanfold.ops.plan.queues import Arrival, Queues, Service, percentile
from fanout_service.worker import Worker
from tests.support.fanout import a_record
from tests.support.virtual_loop import VirtualLoop

SETTINGS = Settings(bucket_followers=500)
AUDIENCES = (20, 400, 2_000)
"""The last has slices."""
OF_HUNDRED = (80, 18, 2)
AUTHORS = 20
MANY = (300, 100, 20)
BUSY = 0.4
POSTS_IN_ALL = 1_000
BURST = 100
ROUNDS = 7
MOST_ROUNDS = 21
"""On a machine whose speed changes while a round runs."""
WITHIN = 0.25


@dataclass
class Work:
    """One worker on embedded tables, and the records that wait for it."""

    loop: asyncio.AbstractEventLoop
    waiting: dict[str, deque[Record]] = field(
        default_factory=lambda: {POSTS: deque(), COMMANDS: deque()}
    )
    arrived: defaultdict[str, asyncio.Event] = field(
        default_factory=lambda: defaultdict(asyncio.Event)
    )
    slices_left: dict[UUID, int] = field(default_factory=dict)
    done_s: dict[UUID, float] = field(default_factory=dict)
    offsets: Any = field(default_factory=count)
    waited_for: int = 0
    """Posts of this and all earlier runs."""
    all_done: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        clock = SystemClock()
        stores = memory_stores(SETTINGS, clock=clock)
        self.stores = replace(stores, jobs=cast("Jobs", RecordingJobs(stores.jobs, self)))
        log = cast("EventLog", self)
        self.handlers = Worker(SETTINGS, log=log, stores=self.stores, clock=clock).handlers()

    async def append_many(self, events: Sequence[Event]) -> list[None]:
        """What the worker asks of the log: its commands wait for it like posts."""
        for event in events:
            self.append(event)
        return []

    def append(self, event: Event) -> None:
        self.put(a_record(event, offset=next(self.offsets)))

    def put(self, record: Record) -> None:
        self.waiting[record.topic].append(record)
        self.arrived[record.topic].set()

    async def agent(self, topic: str, limit: int) -> None:
        """As the worker's: what waits, as soon as something does."""
        queue = self.waiting[topic]
        while True:
            if not queue:
                self.arrived[topic].clear()
                await self.arrived[topic].wait()
            batch = [queue.popleft() for _ in range(min(limit, len(queue)))]
            await self.handlers[topic](batch)

    def post_done(self, post_id: UUID) -> None:
        self.done_s[post_id] = self.loop.time()
        if len(self.done_s) == self.waited_for:
            self.all_done.set()

    async def ages(self, arrivals: Sequence[Arrival]) -> list[float]:
        """Seconds from each arrival until the last slice is recorded as done."""
        agents = [
            asyncio.create_task(self.agent(POSTS, SETTINGS.take_events)),
            asyncio.create_task(self.agent(COMMANDS, 4 * SETTINGS.slices_in_flight)),
        ]
        # Made beforehand: this is no part of the worker's work, which shares the time with it.
        posts = [
            new_post(_name(round(arrival.followers), number % AUTHORS), now_ms=_now_ms())
            for number, arrival in enumerate(arrivals)
        ]
        records = [a_record(post, offset=next(self.offsets)) for post in posts]
        ids = [post.post_id for post in posts]
        self.all_done.clear()
        self.waited_for += len(arrivals)
        began_s = self.loop.time()
        for record, arrival in zip(records, arrivals, strict=True):
            if (wait_s := began_s + arrival.at_s - self.loop.time()) > 0:
                await asyncio.sleep(wait_s)
            self.put(record)
        await self.all_done.wait()
        for task in agents:
            task.cancel()
        await asyncio.gather(*agents, return_exceptions=True)
        return [
            self.done_s[post_id] - began_s - arrival.at_s
            for post_id, arrival in zip(ids, arrivals, strict=True)
        ]


class RecordingJobs:
    """The jobs, with the moment at which a post's last slice was done."""

    def __init__(self, jobs: Jobs, work: Work) -> None:
        self._jobs = jobs
        self._work = work

    def __getattr__(self, name: str) -> Any:
        return getattr(self._jobs, name)

    async def finish_slice(
        self, post_id: UUID, bucket: FollowerBucket, done: SliceDone, *, offset: int
    ) -> None:
        await self._jobs.finish_slice(post_id, bucket, done, offset=offset)
        left = self._work.slices_left.get(post_id)
        if left is None:
            plan = await self._jobs.plan(post_id)
            assert plan is not None
            left = plan.slices_total
        self._work.slices_left[post_id] = left - 1
        if left == 1:
            self._work.post_done(post_id)


def _name(audience: int, number: int) -> str:
    return f"of-{audience}-{number:02}"


def _now_ms() -> int:
    return SystemClock().now_ms()


@dataclass(frozen=True)
class Takes:
    """Seconds: a post of each audience when many wait, and a small one alone."""

    many: tuple[float, ...]
    alone: float


async def _takes(work: Work) -> Takes:
    many = []
    for audience, number in zip(AUDIENCES, MANY, strict=True):
        ages = await work.ages([Arrival(0.0, audience)] * number)
        many.append(max(ages) / number)
    alone = await work.ages([Arrival(number * 0.1, AUDIENCES[0]) for number in range(40)])
    return Takes(tuple(many), median(alone))


def _service(before: Takes, after: Takes) -> Service:
    many = [(one + two) / 2 for one, two in zip(before.many, after.many, strict=True)]
    alone = (before.alone + after.alone) / 2
    curve = Curve.of(zip(AUDIENCES[:2], many[:2], strict=True))
    return Service(
        post_s=curve.at,
        pulled_s=0.0,
        slice_s=lambda followers: followers * many[2] / AUDIENCES[2],
        bucket=SETTINGS.bucket_followers,
        latency_s=max(0.0, alone - many[0]),
        batch=SETTINGS.take_events,
        slices=4 * SETTINGS.slices_in_flight,
    )


def _arrivals(takes: Takes, random: Random) -> list[Arrival]:
    """At random moments, as many as keep the worker busy, with a burst of small posts in the middle."""
    mean_s = sum(share / 100 * each_s for share, each_s in zip(OF_HUNDRED, takes.many, strict=True))
    arrivals, at_s = [], 0.0
    for _ in range(POSTS_IN_ALL - BURST):
        at_s += random.expovariate(BUSY / mean_s)
        (audience,) = random.choices(AUDIENCES, weights=OF_HUNDRED)
        arrivals.append(Arrival(at_s, audience))
    return sorted([*arrivals, *[Arrival(at_s / 2, AUDIENCES[0])] * BURST])


async def _ratios(work: Work, number: int) -> list[float]:
    """Simulated age / real age: of the median, and of the 99th percentile."""
    random = Random(number)
    before = await _takes(work)
    arrivals = _arrivals(before, random)
    real = await work.ages(arrivals)
    service = _service(before, await _takes(work))
    queues = Queues(1, service, random=random)
    queues.run(arrivals, until_s=arrivals[-1].at_s)
    simulated = queues.ages(until_s=1e6)
    return [percentile(simulated, share) / percentile(real, share) for share in (0.5, 0.99)]


async def _measured(work: Work) -> list[list[float]]:
    for audience in AUDIENCES:
        readers = [reader_id(number) for number in range(audience)]
        for number in range(AUTHORS):
            await seed_author(work.stores, _name(audience, number), readers, SETTINGS)
    await _takes(work)
    rounds: list[list[float]] = []
    while len(rounds) < ROUNDS or (len(rounds) < MOST_ROUNDS and not _within(rounds)):
        rounds.append(await _ratios(work, len(rounds)))
    return rounds


def _within(rounds: list[list[float]]) -> bool:
    """Whether the simulation is right: the median over the rounds, of either age."""
    return all(1 - WITHIN <= median(ratios) <= 1 + WITHIN for ratios in zip(*rounds, strict=True))


@pytest.mark.alone
def test_simulated_ages_are_those_of_a_real_worker_within_a_quarter() -> None:
    # A collection of all tables would be a long pause at some moment, and no part of the worker's work.
    gc.disable()
    try:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            work = Work(runner.get_loop())
            rounds = runner.run(_measured(work))
    finally:
        gc.enable()
    assert _within(rounds), rounds
