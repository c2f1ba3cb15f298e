"""(r) What the read tier must reach, measured in one run of some fourteen minutes: three rounds, each figure beside its target.

Sections (b), (g) and (h) measure more of each; this one measures just what has a target.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from bench.feed_reads import check_page
from bench.figures import figure, ratio
from bench.http_load import Connection, Request, as_many_as_go, at_rate, connections
from bench.live_streams import open_streams, write_world
from bench.open_world import FirstReads, Rounds
from bench.others_writes import (
    RATE,
    a_like,
    a_post,
    arrivals,
    beside_writes,
    pull,
    settled,
    share_of_a_core,
)
from bench.readers import FULL as CLOSED
from bench.readers import QUICK as CLOSED_QUICK
from bench.readers import Readers
from bench.redis import OwnRedis, own_redis
from bench.report import Section
from bench.stack import Bench, System, running
from bench.statements import Statements
from bench.wide_world import FULL, QUICK, WideWorld
from fanfold.adapters.redis.opened import redis_shared_cache
from fanfold.core.clock import SystemClock
from fanfold.core.settings import Settings
from tests.support.probes import free_port

OPEN_RATE = 100
"""First reads a second with a cache; without one a quarter, which the tables sustain."""

CELEBRITIES = 100
PULLED_AUTHORS = 100_000
STREAMS, ARRIVALS = 1_000, 50
IN_FLIGHT, FILLING = 32, 4
CHECKED = 300
RANKINGS = ("relevance", "chronological")


class Target(NamedTuple):
    """`met` says whether a median reaches it."""

    words: str
    said: str
    met: Callable[[float], bool]


def at_most(limit: float, unit: str) -> Callable[[str], Target]:
    return lambda words: Target(words, f"≤ {limit:g} {unit}", lambda found: found <= limit)


def at_least(limit: float, unit: str) -> Callable[[str], Target]:
    return lambda words: Target(words, f"≥ {limit:g} {unit}", lambda found: found >= limit)


TARGETS: dict[str, Target] = {
    "filled p50": at_most(5, "ms")("open world, first read of each reader at 100/s, relevance: p50"),
    "filled p99": at_most(25, "ms")("the same: p99"),
    "filled feed µs": at_most(1_500, "µs")("the same: CPU of feed_service a feed"),
    "filled cassandra µs": at_most(1_000, "µs")("the same: CPU of Cassandra a feed"),
    "filled most": at_least(550, "/s")("the same at saturation: feeds/s"),
    "filled statements": at_most(10, "")("the same at saturation: statements a feed"),
    "none feed µs": at_most(5_000, "µs")("without a cache, at 25/s: CPU of feed_service a feed"),
    "away feed µs": at_most(5_000, "µs")("with a cache that is away, at 25/s: the same"),
    "none statements": at_most(30, "")("without a cache: statements a feed"),
    "relevance, 0": at_least(1_000, "/s")("closed world, warm, relevance: feeds/s"),
    "chronological, 0": at_least(1_700, "/s")("closed world, warm, chronological: feeds/s"),
    "celebrities": at_most(1.5, "times")("closed world, relevance: none against 100 followed celebrities"),
    "idle": at_most(2, "%")(f"a process without readers, {PULLED_AUTHORS:,} pulled authors: of a core"),
    "posts": at_most(2, "%")(f"the same beside {RATE:,} posts a second"),
    "likes": at_most(2, "%")(f"the same beside {RATE:,} likes a second"),
    "likes, ten times": at_most(2, "%")("the same beside ten times as many likes, or as many as the log takes"),
    "streams, p50": at_most(500, "ms")(f"{STREAMS:,} live feeds beside {RATE:,} posts a second: a delivery shows, p50"),
    "streams, p99": at_most(500, "ms")("the same, p99"),
}  # fmt: skip


async def read_targets(bench: Bench) -> Section:
    found: Rounds = defaultdict(list)
    open_settings, closed_settings, written_settings = [await bench.new_system() for _ in range(3)]
    wide = WideWorld(bench.pick(FULL, QUICK))
    readers = Readers(bench.pick(CLOSED, CLOSED_QUICK))
    async with running(bench, open_settings) as own:
        bench.say(f"writing {wide.size.authors:,} authors and {wide.size.readers:,} readers")
        await wide.write(own, bench.say)
    async with running(bench, closed_settings) as own:
        bench.say("writing the closed world")
        await readers.write(own)
    async with running(bench, written_settings) as own:
        bench.say(f"writing {PULLED_AUTHORS:,} pulled authors")
        await pull(own, 0, bench.pick(PULLED_AUTHORS, 1_000))
    with own_redis() as redis:
        await _Open(bench, open_settings, wide, redis).fill()
        for number in range(bench.rounds):
            bench.say(f"round {number + 1} of {bench.rounds}: the open world")
            await _Open(bench, open_settings, wide, redis).measure(found)
            bench.say("the closed world")
            await _closed(bench, closed_settings, readers, redis, found)
            bench.say("others' writes")
            await _others(bench, written_settings, found)
            bench.say(f"{STREAMS:,} live feeds")
            await _streams(bench, redis, found)
    found["celebrities"] = [*ratio(found["relevance, 0"], found["relevance, 100"]).rounds]
    return section_of(found)


@dataclass(frozen=True, slots=True)
class _Open:
    bench: Bench
    settings: Settings
    world: WideWorld
    redis: OwnRedis

    async def fill(self) -> None:
        """Every reader's first page once, by another process: each is found as by a reader who comes back within the hour."""
        async with running(self.bench, self._with(self.redis.url), "feed_service") as system:
            reads = self._reads(system, OPEN_RATE)
            cold, rest = reads.divided(self.bench.pick(10.0, 2.0))
            # A few at a time: a process that has too much to do refuses some.
            async with connections(system.services["feed_service"].url, FILLING) as pool:
                requests = iter(_requests([*cold, *rest], "relevance"))
                await asyncio.gather(*(_ask_all(connection, requests) for connection in pool))

    async def measure(self, found: Rounds) -> None:
        pick = self.bench.pick
        async with running(self.bench, self._with(self.redis.url), "feed_service") as system:
            reads = self._reads(system, OPEN_RATE)
            cold, rest = reads.divided(pick(10.0, 2.0))
            into: Rounds = defaultdict(list)
            await reads.warm_up()
            await reads.at_rate(cold, into)
            seconds = pick(6.0, 1.0)
            executed = await self._statements(reads.at_saturation(rest, into, seconds=seconds))
            into["statements"].append(executed / (into["most"][-1] * seconds))
            await reads.checked(cold[:CHECKED])
            _take(found, "filled", into)
        for name, url in (("none", "none"), ("away", f"redis://127.0.0.1:{free_port()}")):
            async with running(self.bench, self._with(url), "feed_service") as system:
                reads = self._reads(system, OPEN_RATE // 4)
                cold, _ = reads.divided(pick(8.0, 2.0))
                into = defaultdict(list)
                await reads.warm_up()
                executed = await self._statements(reads.at_rate(cold, into))
                into["statements"].append(executed / len(cold))
                await reads.checked(cold[: CHECKED // 3])
                _take(found, name, into)

    async def _statements(self, measuring: Awaitable[None]) -> float:
        """How many Cassandra executes meanwhile."""
        statements = await asyncio.to_thread(Statements, self.settings)
        try:
            before = await asyncio.to_thread(statements.so_far)
            await measuring
            return await asyncio.to_thread(statements.so_far) - before
        finally:
            await asyncio.to_thread(statements.close)

    def _with(self, cache: str) -> Settings:
        return self.settings.model_copy(update={"cache": cache})

    def _reads(self, system: System, rate: int) -> FirstReads:
        return FirstReads(self.bench, system, self.world, self.redis, "relevance", rate)


def _take(found: Rounds, name: str, into: Rounds) -> None:
    for measured, rounds in into.items():
        found[f"{name} {measured}"] += rounds


async def _closed(
    bench: Bench, settings: Settings, readers: Readers, redis: OwnRedis, found: Rounds
) -> None:
    cached = settings.model_copy(update={"cache": redis.url})
    seconds = bench.pick(5.0, 1.0)
    for celebrities in (0, CELEBRITIES):
        async with running(bench, cached, "feed_service") as system:
            url = system.services["feed_service"].url
            names = readers.named(celebrities)
            async with connections(url, IN_FLIGHT) as pool:
                for number in range(0, len(names), max(1, len(names) // 10)):
                    await check_page(pool[0].get, readers, number, celebrities)
                for ranking in RANKINGS:
                    requests = _requests(names, ranking)
                    await at_rate(pool, requests, bench.pick(200, 50))
                    most = await as_many_as_go(pool, partial(_one_of, requests), seconds)
                    found[f"{ranking}, {celebrities}"].append(most)


async def _ask_all(connection: Connection, requests: Iterator[Request]) -> None:
    for path, name in requests:
        await connection.get(path, name)


def _one_of(requests: Sequence[Request], number: int) -> Request:
    return requests[number % len(requests)]


def _requests(names: Sequence[str], ranking: str) -> list[Request]:
    return [(f"/users/{name}/feed?ranking={ranking}", name) for name in names]


async def _others(bench: Bench, settings: Settings, found: Rounds) -> None:
    seconds = bench.pick(6.0, 2.0)
    async with running(bench, settings, "feed_service") as system:
        await settled(system)
        found["idle"].append(await share_of_a_core(system, seconds))
        found["posts"].append(await beside_writes(system, a_post, seconds))
        found["likes"].append(await beside_writes(system, a_like, seconds))
        ten_times = await beside_writes(system, a_like, seconds / 2, rate=10 * RATE)
        found["likes, ten times"].append(ten_times)


async def _streams(bench: Bench, redis: OwnRedis, found: Rounds) -> None:
    settings = await bench.new_system(cache=redis.url)
    count = bench.pick(STREAMS, 50)
    async with (
        running(bench, settings, "feed_service") as system,
        redis_shared_cache(settings, clock=SystemClock(), epoch=lambda: None) as cache,
    ):
        await write_world(system.stores, count)
        async with open_streams(system.services["feed_service"].url, count) as streams:
            # The second look of each, and what else follows from its opening.
            await asyncio.sleep(bench.pick(12.0, 3.0))
            seconds = bench.pick(30.0, 8.0)
            async with asyncio.TaskGroup() as tasks:
                beside = tasks.create_task(beside_writes(system, a_post, seconds, cache))
                await arrivals(system, streams[: bench.pick(ARRIVALS, 5)], cache, found)
            found["streams, % of a core"].append(beside.result())


def section_of(found: Rounds) -> Section:
    """The table. Pure."""
    section = Section("r", "The read tier's targets, one feed process")
    for name, target in TARGETS.items():
        measured = figure(found[name])
        section.rows.append(
            {
                "what": target.words,
                "target": target.said,
                "measured": measured,
                "reached": "yes" if target.met(measured.median) else "no",
            }
        )
    section.notes = [
        "Checked: feeds of both worlds against what was written, with the cache, without it and while it is away.",
        "The shared cache of the open world was filled by another process, as for a reader who comes back within the hour.",
        "A read that the process refuses for overload is sent again after 50 ms, and counts once, from when it was due.",
        f"With the live feeds, the process takes {figure(found['streams, % of a core'])} % of a core, for which there is no target.",
        "The load generator, the service, the cache and the engines share the cores. A target counts as reached by the median of the rounds.",
    ]
    return section
