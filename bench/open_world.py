"""(g) Feed reads in an open world: the first read of each reader, where readers share little."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import orjson

from bench.fan_outs import WrongResult
from bench.figures import figure
from bench.http_load import Connection, Request, as_many_as_go, at_rate, connections
from bench.processes import Costs, memory_bytes
from bench.report import Section
from bench.stack import Bench, System, running
from bench.wide_world import FULL, QUICK, WideWorld

RANKINGS = ("relevance", "chronological")
RATE = 25
"""First reads a second: a rate that the slowest variant still sustains, so that latencies include no queue."""

SECONDS = 15.0
IN_FLIGHT = 32
WARMING = 20
"""Readers before the measured ones, so that the process is cold but has run its code."""

Rounds = dict[str, list[float]]


async def open_world(bench: Bench) -> Section:
    settings = await bench.new_system()
    world = WideWorld(bench.pick(FULL, QUICK))
    async with running(bench, settings) as own:
        bench.say(f"writing {world.size.authors:,} authors and {world.size.readers:,} readers")
        await world.write(own, bench.say)
    found: dict[str, Rounds] = {ranking: defaultdict(list) for ranking in RANKINGS}
    for number in range(bench.rounds):
        for ranking in RANKINGS:
            bench.say(f"round {number + 1} of {bench.rounds}: {ranking}")
            # A fresh process each time, so that every read is its reader's first there.
            async with running(bench, settings, "feed_service") as system:
                await _measure(bench, system, world, ranking, found[ranking])
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


async def _measure(
    bench: Bench, system: System, world: WideWorld, ranking: str, into: Rounds
) -> None:
    pids = {"feed": system.pid("feed_service"), **bench.engine_pids}
    url, names = system.services["feed_service"].url, world.readers
    count = min(int(RATE * bench.pick(SECONDS, 2.0)), len(names) // 3)

    def requests(some: Sequence[str]) -> list[Request]:
        return [(f"/users/{name}/feed?ranking={ranking}", name) for name in some]

    cold, rest = names[WARMING : WARMING + count], names[WARMING + count :]
    async with connections(url, IN_FLIGHT) as pool:
        await at_rate(pool, requests(names[:WARMING]), 5)
    async with connections(url, IN_FLIGHT) as pool:
        before = Costs.now(pids)
        latencies = await at_rate(pool, requests(cold), RATE)
        spent = Costs.now(pids).since(before).of
        into["p50"].append(latencies.ms_at(0.5))
        into["p99"].append(latencies.ms_at(0.99))
        into["feed µs"].append(spent["feed"] / len(cold) * 1e6)
        into["cassandra µs"].append(spent["cassandra"] / len(cold) * 1e6)
    async with connections(url, IN_FLIGHT) as pool:
        before = Costs.now(pids)
        seconds = bench.pick(10.0, 1.0)
        first_reads = requests(rest)
        most = await as_many_as_go(pool, lambda i: first_reads[i % len(rest)], seconds)
        spent = Costs.now(pids).since(before).of
        into["most"].append(most)
        into["most feed µs"].append(spent["feed"] / (most * seconds) * 1e6)
        into["repeats"].append(most * seconds / len(rest))
        into["MB"].append(memory_bytes(pids["feed"])[0] / 1e6)
    async with connections(url, IN_FLIGHT) as pool:
        # The same readers again, with everything that they read in the process's memory.
        warm = requests(cold[:100])
        await at_rate(pool, warm, RATE)
        checked = [_Checked(connection, world, ranking) for connection in pool]
        await at_rate(checked, requests(cold), RATE)  # type: ignore[arg-type]
        into["warm most"].append(
            await as_many_as_go(pool, lambda i: warm[i % len(warm)], bench.pick(5.0, 1.0))
        )


def _section(found: dict[str, Rounds], world: WideWorld) -> Section:
    size = world.size
    section = Section("g", "Feed reads in an open world: first page of ten, one process")
    for name, words in _WORDS.items():
        row: dict[str, object] = {"what": words}
        row |= {ranking: figure(found[ranking][name]) for ranking in RANKINGS}
        section.rows.append(row)  # type: ignore[arg-type]
    section.notes = [
        (
            f"{size.readers:,} readers follow {size.follows} of {size.authors:,} authors, by a power law of exponent "
            f"{size.exponent}; {size.posts} posts each within {size.days} days."
        ),
        "Checked: every feed of the first part again, against what was written.",
        "The load generator, the service and Cassandra share the cores.",
    ]
    return section


_WORDS = {
    "p50": f"first read of each reader, p50 at {RATE}/s, ms",
    "p99": f"first read of each reader, p99 at {RATE}/s, ms",
    "feed µs": "CPU of feed_service a first read, µs",
    "cassandra µs": "CPU of Cassandra a first read, µs",
    "most": f"first reads/s, {IN_FLIGHT} connections (closed loop)",
    "most feed µs": "CPU of feed_service a first read at saturation, µs",
    "repeats": "times that each reader was read at saturation",
    "MB": "resident memory of feed_service, MB",
    "warm most": f"the same readers again, feeds/s, {IN_FLIGHT} connections",
}
