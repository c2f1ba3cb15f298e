"""(f) Two workers: whether both deliver, and how a post to 99,999 followers delays posts by an author with ten."""

from __future__ import annotations

import asyncio
import re
import time
import urllib.request
from dataclasses import dataclass, field

from bench.crowd import new_post, reader_id, seed_author
from bench.fan_outs import WrongResult, fan_out, finished
from bench.figures import figure, percentile, ratio
from bench.report import Section
from bench.stack import Bench, System, running

AUDIENCE = 99_999
FOLLOWERS = 10
SMALL_AUTHORS = 24
EVERY_S = 0.1
POLL_S = 0.1
WORKERS = 2

_SLICES = re.compile(r"^fanfold_fanout_slice_seconds_count (\S+)$", re.MULTILINE)


@dataclass(slots=True)
class Measured:
    """Milliseconds until the last of ten followers sees a post, by round; and the slices that each worker delivered."""

    usual: list[list[float]] = field(default_factory=list)
    beside: list[list[float]] = field(default_factory=list)
    big_s: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)


async def two_workers(bench: Bench) -> Section:
    settings = await bench.new_system()
    audience = bench.pick(AUDIENCE, 20_000)
    found = Measured()
    async with running(bench, settings, "fanout_service", workers=WORKERS) as system:
        bench.say(f"seeding an author of {audience:,} and {SMALL_AUTHORS} of {FOLLOWERS}")
        await _seed(system, audience)
        bench.say("warming up, with both workers in the group")
        await _both_have_joined(system)
        for _ in range(bench.pick(4, 1)):
            await _beside(bench, system, audience, Measured())
        for number in range(bench.rounds):
            bench.say(f"round {number + 1} of {bench.rounds}")
            found.usual.append(await _usual(bench, system))
            await _beside(bench, system, audience, found)
    return _section(found, audience)


async def _seed(system: System, audience: int) -> None:
    graph, settings = system.stores, system.settings
    readers = [reader_id(number) for number in range(audience)]
    await seed_author(graph, "big", readers, settings)
    for number in range(SMALL_AUTHORS):
        await seed_author(graph, _small(number), _their(number), settings)


def _small(number: int) -> str:
    return f"small-{number:02}"


def _their(number: int) -> list[str]:
    return [f"fan-{number:02}-{follower}" for follower in range(FOLLOWERS)]


async def _usual(bench: Bench, system: System) -> list[float]:
    return await _small_posts(system, asyncio.create_task(asyncio.sleep(bench.pick(4.0, 1.0))))


async def _beside(bench: Bench, system: System, audience: int, into: Measured) -> None:
    """Append small posts from the append of the large one to the end of its fan-out."""
    before = await _slices(system)
    large = asyncio.create_task(
        fan_out(
            system,
            [new_post("big", now_ms=_now_ms())],
            audience=audience,
            pids=bench.engine_pids,
        )
    )
    into.beside.append(await _small_posts(system, large))
    fanned = await large
    into.big_s.append(fanned.elapsed_s)
    done = [after - was for after, was in zip(await _slices(system), before, strict=True)]
    # These include the small posts' own slices, which are few.
    into.shares.append(min(done) / sum(done))


async def _small_posts(system: System, during: asyncio.Task[object]) -> list[float]:
    """A small post at fixed intervals while `during` lasts, whether or not the one before has been seen."""
    started, number = time.perf_counter(), 0
    waiting: list[asyncio.Task[float]] = []
    while not during.done() or not waiting:
        due = started + number * EVERY_S
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        waiting.append(asyncio.create_task(_seen_after_ms(system, number % SMALL_AUTHORS, due)))
        number += 1
    return list(await asyncio.gather(*waiting))


async def _seen_after_ms(system: System, number: int, due: float) -> float:
    """The time from when the post was due until the last follower's timeline had it.

    The worker's own record tells, because looking for it every few milliseconds would take CPU from what is measured.
    """
    due_ms = time.time() * 1000 - (time.perf_counter() - due) * 1000
    post = new_post(_small(number), now_ms=_now_ms())
    await system.log.append(post)
    slices = await finished(system.stores.jobs, post.post_id, poll_s=POLL_S)
    if sum(slice_done.delivered for slice_done in slices) != FOLLOWERS:
        raise WrongResult(f"{post.post_id} did not reach its {FOLLOWERS} followers")
    for reader in _their(number):
        newest = await system.stores.timelines.timeline(reader, before=None, since_ms=0, limit=20)
        if post.post_id not in {pointer.post_id for pointer in newest}:
            raise WrongResult(f"{post.post_id} is not in the timeline of {reader}")
    return max(slice_done.finished_at_ms for slice_done in slices) - due_ms


async def _both_have_joined(system: System) -> None:
    """Wait until each worker has delivered something: a fresh group takes seconds to share the partitions."""
    for _ in range(60):
        await _small_posts(system, asyncio.create_task(asyncio.sleep(0.5)))
        if min(await _slices(system)) > 0:
            return
    raise WrongResult("one of the workers never delivered anything")


async def _slices(system: System) -> list[float]:
    """The slices that each worker has delivered since its start, from its metrics."""
    urls = [f"{service.url}/metrics" for service in system.services.values()]
    pages = await asyncio.gather(*(asyncio.to_thread(_page, url) for url in urls))
    return [float(_SLICES.findall(page)[0]) for page in pages]


def _page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own service
        text: str = answer.read().decode()
        return text


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _section(found: Measured, audience: int) -> Section:
    section = Section("f", f"Two workers: {FOLLOWERS} followers beside a post to {audience:,}")
    arms = {"usual": found.usual, "meanwhile": found.beside}
    by = {
        (arm, share): [percentile(latencies, share) for latencies in rounds]
        for arm, rounds in arms.items()
        for share in (0.5, 0.99)
    }
    for share, name in ((0.5, "p50"), (0.99, "p99")):
        usual, meanwhile = by["usual", share], by["meanwhile", share]
        section.rows.append(
            {
                "what": f"until the last of {FOLLOWERS} has it, {name}: ms",
                "usual": figure(usual),
                "meanwhile": figure(meanwhile),
                "times": ratio(meanwhile, usual),
            }
        )
    samples = " and ".join(
        str(sum(len(latencies) for latencies in rounds)) for rounds in arms.values()
    )
    lesser = figure([100 * share for share in found.shares])
    section.notes = [
        f"{samples} small posts, one each {EVERY_S * 1000:.0f} ms, from when each was due to when the worker had written the last row.",
        f"The post to {audience:,} took {figure(found.big_s)} s; the lesser worker delivered {lesser} % of the slices.",
    ]
    return section
