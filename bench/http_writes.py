"""(p) Writes over HTTP: POST /posts and a follow, alone, each on one process: latency at a fixed rate, and the highest rate."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from itertools import count
from urllib.parse import quote

import orjson

from bench.crowd import await_each, new_post
from bench.figures import figure, percentile
from bench.http_load import (
    Call,
    Connection,
    as_many_calls_as_go,
    calls_at_rate,
    connections,
)
from bench.processes import Costs
from bench.report import Section
from bench.stack import Bench, System, running

USERS = 500
TARGETS = 1_000
RATE = 100
SATURATED_BY = 32
_BODY = orjson.dumps({"content": "Of 140 characters: " * 7})

Found = defaultdict[str, defaultdict[str, list[float]]]


async def http_writes(bench: Bench) -> Section:
    settings = await bench.new_system()
    found: Found = defaultdict(lambda: defaultdict(list))
    async with running(bench, settings, "post_service", "graph_service") as system:
        bench.say(f"registering {USERS + TARGETS:,} users")
        await _register(system)
        posts, follows = map(_post, count()), map(_follow, count())
        for number in range(bench.rounds + 1):
            bench.say(f"round {number} of {bench.rounds}" if number else "warming up")
            await _measure(bench, system, "post_service", lambda: next(posts), found["POST /posts"])
            await _measure(
                bench,
                system,
                "graph_service",
                lambda: next(follows),
                found["PUT /users/{id}/following/{id}"],
            )
            await _appends(bench, system, found["an append to Kafka, without HTTP"])
            if not number:
                found.clear()
    section = Section("p", "Writes over HTTP, one process each, no worker: ms")
    names = list(found["POST /posts"])
    for what, columns in found.items():
        cells = {name: figure(columns[name]) if name in columns else "" for name in names}
        section.rows.append({"what": what, **cells})
    section.notes = [
        f"Latency at {RATE} requests a second, from when each was due. Saturation: {SATURATED_BY} connections in a closed loop.",
        f"{USERS} registered users write; a follow is the first of its pair, of one of {TARGETS:,} registered users.",
        "The load generator shares the cores with the service and the engines. Each answer is checked to be a success; a request that is refused for overload is sent again after 50 ms.",
        "The append is one at a time from the bench's own process: no answer can come sooner.",
    ]
    return section


async def _measure(
    bench: Bench,
    system: System,
    service: str,
    call: Callable[[], Call],
    into: defaultdict[str, list[float]],
) -> None:
    pids = {**bench.engine_pids, "service": system.pid(service)}
    seconds: float = bench.pick(6.0, 1.0)
    async with connections(system.services[service].url) as pool:
        calls = [call() for _ in range(int(RATE * seconds))]
        took = await calls_at_rate(pool, calls, RATE)
        into["p50"].append(took.ms_at(0.5))
        into["p99"].append(took.ms_at(0.99))
        before = Costs.now(pids)
        rate = await as_many_calls_as_go(pool[:SATURATED_BY], lambda _: call(), seconds)
        spent = Costs.now(pids).since(before).of
    into["a second at saturation"].append(rate)
    for name, cpu_s in spent.items():
        into[f"CPU, {name}"].append(cpu_s / (rate * seconds) * 1000)


async def _appends(bench: Bench, system: System, into: defaultdict[str, list[float]]) -> None:
    took_ms = []
    for _ in range(bench.pick(600, 100)):
        started = time.perf_counter()
        await system.log.append(new_post("author", now_ms=time.time_ns() // 1_000_000))
        took_ms.append((time.perf_counter() - started) * 1000)
        await asyncio.sleep(0.5 / RATE)
    into["p50"].append(percentile(took_ms, 0.5))
    into["p99"].append(percentile(took_ms, 0.99))


async def _register(system: System) -> None:
    users = system.stores.users
    names = [*map(_user, range(USERS)), *map(_target, range(TARGETS))]
    await await_each(users.register(name, name, registered_at_ms=1, offset=0) for name in names)


def _post(number: int) -> Call:
    return partial(_written, "POST", "/posts", _user(number % USERS), _BODY)


def _follow(number: int) -> Call:
    user_id, target_id = _user(number % USERS), _target(number // USERS % TARGETS)
    return partial(_written, "PUT", f"/users/{quote(user_id)}/following/{target_id}", user_id, b"")


async def _written(method: str, path: str, user: str, body: bytes, by: Connection) -> None:
    await by.write(method, path, user, body)


def _user(number: int) -> str:
    return f"user-{number:03}"


def _target(number: int) -> str:
    return f"target-{number:04}"
