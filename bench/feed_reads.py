"""(b) Feed reads through the feed service's process, compared with its one query alone and with a bare HTTP route."""

from __future__ import annotations

import asyncio
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from subprocess import Popen

import orjson

from bench.bare_reads import BareReads
from bench.fan_outs import WrongResult
from bench.figures import figure, percentile
from bench.http_load import Request, as_many_as_go, at_rate, connections
from bench.processes import Costs, memory_bytes
from bench.readers import CELEBRITIES, FULL, QUICK, Readers
from bench.report import Section
from bench.stack import Bench, System, running
from tests.support.probes import free_port

RATES = (100, 400)
COLD_RATE = 50
SECONDS = 5.0
CHECKED = 20
IN_FLIGHT = 32

Rounds = dict[str, list[float]]


async def feed_reads(bench: Bench) -> Section:
    settings = await bench.new_system()
    readers = Readers(bench.pick(FULL, QUICK))
    async with running(bench, settings) as own:
        bench.say("seeding readers, authors and celebrities")
        await readers.write(own)
    found: dict[int, Rounds] = {celebrities: defaultdict(list) for celebrities in CELEBRITIES}
    bare = await asyncio.to_thread(BareReads, settings)
    try:
        for number in range(bench.rounds):
            for celebrities in CELEBRITIES:
                bench.say(
                    f"round {number + 1} of {bench.rounds}: {celebrities} celebrities followed"
                )
                # A fresh process each time, so that the reads are really cold.
                async with running(bench, settings, "feed_service") as system:
                    body = await _product(bench, system, readers, celebrities, found[celebrities])
                await _bare_query(bench, bare, readers, celebrities, found[celebrities])
                await _bare_route(bench, body, readers, celebrities, found[celebrities])
    finally:
        await asyncio.to_thread(bare.close)
    return _section(found, readers)


def _request(name: str) -> Request:
    return f"/users/{name}/feed", name


async def _product(
    bench: Bench, system: System, readers: Readers, celebrities: int, into: Rounds
) -> bytes:
    service = system.services["feed_service"]
    names = readers.named(celebrities)
    seconds = bench.pick(SECONDS, 1.0)
    async with connections(service.url) as pool:
        # Other feeds first, so that the process is cold but has run its code.
        others = next(count for count in CELEBRITIES if count != celebrities)
        await at_rate(pool, [_request(name) for name in readers.named(others)[:40]], COLD_RATE)
        cold = await at_rate(pool, [_request(name) for name in names], COLD_RATE)
        into["cold p50"].append(cold.ms_at(0.5))
        into["cold p99"].append(cold.ms_at(0.99))
        for number in range(0, len(names), max(1, len(names) // CHECKED)):
            await check_page(pool[0].get, readers, number, celebrities)
        for rate in RATES:
            requests = [_request(names[i % len(names)]) for i in range(int(rate * seconds))]
            warm = await at_rate(pool, requests, rate)
            into[f"p50 at {rate}/s"].append(warm.ms_at(0.5))
            into[f"p99 at {rate}/s"].append(warm.ms_at(0.99))
        before = Costs.now({"feed": service.process.pid, **bench.engine_pids})
        most = await as_many_as_go(
            pool[:IN_FLIGHT], lambda i: _request(names[i % len(names)]), seconds
        )
        spent = Costs.now({"feed": service.process.pid, **bench.engine_pids}).since(before)
        into["most"].append(most)
        into["feed µs"].append(spent.of["feed"] / (most * seconds) * 1e6)
        into["cassandra µs"].append(spent.of["cassandra"] / (most * seconds) * 1e6)
        into["MB"].append(memory_bytes(service.process.pid)[0] / 1e6)
        return await pool[0].get(*_request(names[0]))


async def check_page(get: object, readers: Readers, number: int, celebrities: int) -> None:
    """Compare a whole page, strictly by time, with the posts that were written."""
    name = readers.named(celebrities)[number]
    answer = await get(f"/users/{name}/feed?ranking=chronological&limit=100", name)  # type: ignore[operator]
    page = orjson.loads(answer)
    shown = [item["post_id"] for item in page["items"]]
    if shown != readers.newest(number, celebrities, 100) or not page["complete"]:
        raise WrongResult(f"the feed of {name} is not what was written")


async def _bare_query(
    bench: Bench, bare: BareReads, readers: Readers, celebrities: int, into: Rounds
) -> None:
    names = readers.named(celebrities)
    if len(await bare.one(names[0])) < 100:
        raise WrongResult("the bare query reads fewer pointers than the window of a feed")
    latencies = await bare.one_at_a_time_ms(names)
    into["query p50"].append(percentile(latencies, 0.5))
    into["query p99"].append(percentile(latencies, 0.99))
    most = await bare.most_per_s(
        lambda i: names[i % len(names)], in_flight=IN_FLIGHT, seconds=bench.pick(3.0, 1.0)
    )
    into["query most"].append(most)


async def _bare_route(
    bench: Bench, body: bytes, readers: Readers, celebrities: int, into: Rounds
) -> None:
    names = readers.named(celebrities)
    async with _serving(bench, body) as url, connections(url, IN_FLIGHT) as pool:
        seconds = bench.pick(3.0, 1.0)
        requests = [_request(names[i % len(names)]) for i in range(int(RATES[0] * seconds))]
        latencies = await at_rate(pool, requests, RATES[0])
        into["route p50"].append(latencies.ms_at(0.5))
        into["route p99"].append(latencies.ms_at(0.99))
        into["route most"].append(
            await as_many_as_go(pool, lambda i: _request(names[i % len(names)]), seconds)
        )


@asynccontextmanager
async def _serving(bench: Bench, body: bytes) -> AsyncIterator[str]:
    path, port = bench.directory / "body.json", free_port()
    await asyncio.to_thread(path.write_bytes, body)
    process = Popen([sys.executable, "-m", "bench.bare_http", str(path), str(port)])  # noqa: S603, ASYNC220 - ours, and it returns at once
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(100):
            try:
                async with connections(url, 1):
                    break
            except OSError:
                await asyncio.sleep(0.1)
        yield url
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait)


def _section(found: dict[int, Rounds], readers: Readers) -> Section:
    section = Section(
        "b", "Feed reads: GET /users/{id}/feed (relevance, 10 items), one process; ms"
    )
    names = list(found[CELEBRITIES[0]])
    for name in names:
        section.rows.append(
            {
                "what": _WORDS.get(name, name),
                **{f"{k} celebrities": figure(found[k][name]) for k in CELEBRITIES},
            }
        )
    none, many = (figure(found[k]["most"]).median for k in (CELEBRITIES[0], CELEBRITIES[-1]))
    size = readers.size
    section.notes = [
        f"Checked: the newest 100 posts of {CHECKED} readers of each kind against what was written.",
        f"{CELEBRITIES[-1]} celebrities cost {none / many:.2f} times none (feeds/s at saturation).",
        f"{size.readers_each} readers of each kind, {size.follows} ordinary followees each with {size.posts_each} posts.",
        "The load generator, the service and Cassandra share the cores.",
    ]
    return section


_WORDS = {
    "cold p50": f"cold, p50 at {COLD_RATE}/s: first read of each reader",
    "cold p99": f"cold, p99 at {COLD_RATE}/s",
    "most": f"feeds/s, {IN_FLIGHT} connections (closed loop)",
    "feed µs": "CPU of feed_service a feed at saturation, µs",
    "cassandra µs": "CPU of Cassandra a feed at saturation, µs",
    "MB": "resident memory of feed_service, MB",
    "query p50": "the bare timeline query (driver), p50, one at a time",
    "query p99": "the bare timeline query, p99",
    "query most": f"bare timeline queries/s, {IN_FLIGHT} in flight",
    "route p50": f"a bare HTTP route, the same bytes, p50 at {RATES[0]}/s",
    "route p99": "a bare HTTP route, p99",
    "route most": f"bare HTTP route/s, {IN_FLIGHT} connections",
}
