"""(g) Feed reads in an open world: the first read of each reader, where readers share little.

Without the shared cache; with it empty; and with it filled by another process, as for a reader who comes back within the hour.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from itertools import product

import orjson

from bench.fan_outs import WrongResult
from bench.figures import figure
from bench.http_load import Connection, Request, as_many_as_go, at_rate, connections
from bench.processes import Costs, memory_bytes
from bench.redis import OwnRedis, own_redis
from bench.report import Section
from bench.stack import Bench, System, running
from bench.wide_world import FULL, QUICK, WideWorld

RANKINGS = ("relevance", "chronological")
CACHES = ("none", "empty", "filled")
RATES = {"none": 25, "empty": 25, "filled": 100}
"""First reads a second: a rate that each variant still sustains, so that latencies include no queue."""

SECONDS = 15.0
IN_FLIGHT = 32
WARMING, WARMING_RATE = 20, 5
"""Readers before the measured ones, so that the process is cold but has run its code."""

Rounds = dict[str, list[float]]
Variant = tuple[str, str]


async def open_world(bench: Bench) -> Section:
    settings = await bench.new_system()
    world = WideWorld(bench.pick(FULL, QUICK))
    async with running(bench, settings) as own:
        bench.say(f"writing {world.size.authors:,} authors and {world.size.readers:,} readers")
        await world.write(own, bench.say)
    found: dict[Variant, Rounds] = {
        (ranking, cache): defaultdict(list) for cache in CACHES for ranking in RANKINGS
    }
    with own_redis() as redis:
        for number in range(bench.rounds):
            for ranking, cache in product(RANKINGS, CACHES):
                bench.say(f"round {number + 1} of {bench.rounds}: {ranking}, cache: {cache}")
                if cache == "empty":
                    await redis.empty()
                url = "none" if cache == "none" else redis.url
                chosen = settings.model_copy(update={"cache": url})
                # A fresh process each time, so that every read is its reader's first there.
                async with running(bench, chosen, "feed_service") as system:
                    reads = FirstReads(bench, system, world, redis, ranking, RATES[cache])
                    await _measure(reads, found[ranking, cache])
    return _section(found, world)


class _Checked:
    """A connection that compares every answer with the posts that were written."""

    def __init__(self, connection: Connection, world: WideWorld, ranking: str) -> None:
        self._connection = connection
        self._world = world
        self._ranking = ranking

    async def get(self, path: str, user: str) -> bytes:
        body = await self._connection.get(path, user)
        page = orjson.loads(body)
        shown = [item["post_id"] for item in page["items"]]
        newest = self._world.newest(user, 100)
        right = (
            newest[:10] if self._ranking == "chronological" else [p for p in newest if p in shown]
        )
        if not page["complete"] or len(shown) != 10 or (sorted(shown) != sorted(right)):
            raise WrongResult(f"the feed of {user} is not what was written")
        return body


@dataclass(frozen=True, slots=True)
class FirstReads:
    """The measurement of one fresh process."""

    bench: Bench
    system: System
    world: WideWorld
    redis: OwnRedis
    ranking: str
    rate: int

    @property
    def _pids(self) -> dict[str, int]:
        feed, redis = self.system.pid("feed_service"), self.redis.pid
        return {"feed": feed, "redis": redis, **self.bench.engine_pids}

    def _requests(self, names: Sequence[str]) -> list[Request]:
        return [(f"/users/{name}/feed?ranking={self.ranking}", name) for name in names]

    def _connections(self) -> AbstractAsyncContextManager[list[Connection]]:
        return connections(self.system.services["feed_service"].url, IN_FLIGHT)

    def divided(self, seconds: float) -> tuple[Sequence[str], Sequence[str]]:
        """The readers of so many seconds at the rate, and the rest; without those that warm the process up."""
        names = self.world.readers
        count = min(int(self.rate * seconds), len(names) // 3)
        return names[WARMING : WARMING + count], names[WARMING + count :]

    async def warm_up(self) -> None:
        """Let the process run its code, for others than those who are measured."""
        async with self._connections() as pool:
            await at_rate(pool, self._requests(self.world.readers[:WARMING]), WARMING_RATE)

    async def at_rate(self, names: Sequence[str], into: Rounds) -> None:
        """The first read of each."""
        async with self._connections() as pool:
            asked, before = await self.redis.commands(), Costs.now(self._pids)
            latencies = await at_rate(pool, self._requests(names), self.rate)
            spent = Costs.now(self._pids).since(before).of
        into["p50"].append(latencies.ms_at(0.5))
        into["p99"].append(latencies.ms_at(0.99))
        for engine in ("feed", "cassandra", "redis"):
            into[f"{engine} µs"].append(spent[engine] / len(names) * 1e6)
        into["commands"].append((await self.redis.commands() - asked) / len(names))

    async def at_saturation(self, names: Sequence[str], into: Rounds, *, seconds: float) -> None:
        async with self._connections() as pool:
            before = Costs.now(self._pids)
            first_reads = self._requests(names)
            most = await as_many_as_go(pool, lambda i: first_reads[i % len(names)], seconds)
            spent = Costs.now(self._pids).since(before).of
        into["most"].append(most)
        into["most feed µs"].append(spent["feed"] / (most * seconds) * 1e6)
        into["repeats"].append(most * seconds / len(names))
        into["MB"].append(memory_bytes(self._pids["feed"])[0] / 1e6)
        into["redis MB"].append(memory_bytes(self.redis.pid)[0] / 1e6)

    async def checked(self, names: Sequence[str]) -> None:
        """Compare the feeds of these readers with what was written."""
        async with self._connections() as pool:
            checked = [_Checked(connection, self.world, self.ranking) for connection in pool]
            await at_rate(checked, self._requests(names), self.rate)  # type: ignore[arg-type]

    async def again(self, names: Sequence[str], into: Rounds, *, seconds: float) -> None:
        """The same readers again, with everything that they read in the process's memory."""
        async with self._connections() as pool:
            warm = self._requests(names[:100])
            await at_rate(pool, warm, self.rate)
            into["warm most"].append(
                await as_many_as_go(pool, lambda i: warm[i % len(warm)], seconds)
            )


async def _measure(reads: FirstReads, into: Rounds) -> None:
    pick = reads.bench.pick
    cold, rest = reads.divided(pick(SECONDS, 2.0))
    await reads.warm_up()
    await reads.at_rate(cold, into)
    await reads.at_saturation(rest, into, seconds=pick(10.0, 1.0))
    await reads.checked(cold)
    await reads.again(cold, into, seconds=pick(5.0, 1.0))


def _section(found: dict[Variant, Rounds], world: WideWorld) -> Section:
    size = world.size
    section = Section("g", "Feed reads in an open world: first page of ten, one process")
    for name, words in _WORDS.items():
        row: dict[str, object] = {"what": words}
        row |= {
            f"{ranking}, {cache}": figure(rounds[name])
            for (ranking, cache), rounds in found.items()
        }
        section.rows.append(row)  # type: ignore[arg-type]
    section.notes = [
        (
            f"{size.readers:,} readers follow {size.follows} of {size.authors:,} authors, by a power law of exponent "
            f"{size.exponent}; {size.posts} posts each within {size.days} days."
        ),
        (
            "The shared cache: none; empty at first; filled by the process measured before. Rates: "
            + ", ".join(f"{cache} {rate}/s" for cache, rate in RATES.items())
            + "."
        ),
        "Checked: every feed of the first part again, against what was written.",
        "The load generator, the service and Cassandra share the cores.",
    ]
    return section


_WORDS = {
    "p50": "first read of each reader, p50, ms",
    "p99": "first read of each reader, p99, ms",
    "feed µs": "CPU of feed_service a first read, µs",
    "cassandra µs": "CPU of Cassandra a first read, µs",
    "redis µs": "CPU of the cache a first read, µs",
    "commands": "commands of the cache a first read",
    "most": f"first reads/s, {IN_FLIGHT} connections (closed loop)",
    "most feed µs": "CPU of feed_service a first read at saturation, µs",
    "repeats": "times that each reader was read at saturation",
    "MB": "resident memory of feed_service, MB",
    "redis MB": "resident memory of the cache, MB",
    "warm most": f"the same readers again, feeds/s, {IN_FLIGHT} connections",
}
