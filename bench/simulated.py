"""(s) The planner's simulation beside a real worker: the same posts at the same moments, and the delivery age of each."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from bench.crowd import new_post, reader_id, seed_author
from bench.fan_outs import WrongResult, fan_out, finished
from bench.figures import figure, percentile, ratio
from bench.report import Section
from bench.stack import Bench, System, running
from fanfold.core.events import PostCreated
from fanfold.ops.plan.curve import Curve
from fanfold.ops.plan.queues import Arrival, Queues, Service

AUDIENCES = (200, 5_000, 20_000)
"""Of one slice each, and of several, which are commands on a topic of their own."""
OF_HUNDRED = (90, 9, 1)
"""How many posts of each audience there are."""
AUTHORS = (60, 12, 4)
AT_ONCE = (300, 40, 6)
"""Posts appended at once to measure what one takes when many wait."""
BUSY = 0.5
BURST = 100
POLL_S = 0.1
TARGET = 0.25


@dataclass(slots=True)
class Measured:
    """Seconds: ages of every round's posts, in the real run and in the simulated one."""

    real: list[list[float]] = field(default_factory=list)
    simulated: list[list[float]] = field(default_factory=list)


async def simulated(bench: Bench) -> Section:
    settings = await bench.new_system()
    found = Measured()
    async with running(bench, settings, "fanout_service") as system:
        await _seed(bench, system)
        bench.say("warming up")
        for _ in range(bench.pick(3, 1)):
            await _takes(bench, system)
        for number in range(bench.rounds):
            bench.say(f"round {number + 1} of {bench.rounds}: what a post takes")
            await _round(bench, system, number, found)
    return _section(found)


async def _seed(bench: Bench, system: System) -> None:
    for audience, authors in zip(AUDIENCES, AUTHORS, strict=True):
        bench.say(f"seeding {authors} authors of {audience:,} followers")
        readers = [reader_id(number) for number in range(audience)]
        for number in range(authors):
            await seed_author(system.stores, _name(audience, number), readers, system.settings)


def _name(audience: int, number: int) -> str:
    return f"of-{audience}-{number:02}"


async def _round(bench: Bench, system: System, number: int, into: Measured) -> None:
    chance = random.Random(number)  # noqa: S311 - the same moments in every run
    before = await _takes(bench, system)
    arrivals = _arrivals(before, bench.pick(20.0, 3.0), chance)
    bench.say(f"{len(arrivals):,} posts")
    into.real.append(await _run(system, arrivals))
    # This machine changes its pace within a minute, so what a post takes is measured on both sides of the run.
    after = await _takes(bench, system)
    service = _service(before.mean(after), system)
    queues = Queues(1, service, random=chance)
    queues.run(arrivals, until_s=arrivals[-1].at_s)
    into.simulated.append(queues.ages(until_s=1000.0))


@dataclass(frozen=True, slots=True)
class Takes:
    """The seconds that a post of each audience takes when many wait, and that a small one takes alone."""

    many: tuple[float, ...]
    alone: float

    def mean(self, other: Takes) -> Takes:
        many = ((one + two) / 2 for one, two in zip(self.many, other.many, strict=True))
        return Takes(tuple(many), (self.alone + other.alone) / 2)


async def _takes(bench: Bench, system: System) -> Takes:
    many = []
    for audience, authors, count in zip(AUDIENCES, AUTHORS, AT_ONCE, strict=True):
        posts = [_post(audience, number % authors) for number in range(bench.pick(count, 4))]
        fanned = await fan_out(system, posts, audience=audience, pids=bench.engine_pids)
        many.append(fanned.elapsed_s / len(posts))
    alone = [Arrival(number * 0.15, AUDIENCES[0]) for number in range(bench.pick(40, 5))]
    return Takes(tuple(many), median(await _run(system, alone)))


def _service(takes: Takes, system: System) -> Service:
    settings, largest = system.settings, AUDIENCES[2]
    curve = Curve.of(zip(AUDIENCES[:2], takes.many[:2], strict=True))
    return Service(
        post_s=curve.at,
        pulled_s=0.0,
        slice_s=lambda followers: followers * takes.many[2] / largest,
        bucket=settings.bucket_followers,
        latency_s=max(0.0, takes.alone - takes.many[0]),
        batch=settings.take_events,
        slices=4 * settings.slices_in_flight,
    )


def _arrivals(takes: Takes, seconds: float, chance: random.Random) -> list[Arrival]:
    """Posts at random moments, as many as keep the worker half busy, and in the middle a burst of small ones."""
    mean_s = sum(share / 100 * each_s for share, each_s in zip(OF_HUNDRED, takes.many, strict=True))
    arrivals, at_s = [Arrival(seconds / 2, AUDIENCES[0])] * BURST, 0.0
    while (at_s := at_s + chance.expovariate(BUSY / mean_s)) < seconds:
        (audience,) = chance.choices(AUDIENCES, weights=OF_HUNDRED)
        arrivals.append(Arrival(at_s, audience))
    return sorted(arrivals)


async def _run(system: System, arrivals: Sequence[Arrival]) -> list[float]:
    """Append each post at its moment; its age is from that moment to its last slice, by the worker's own record."""
    started_s, started_ms = time.monotonic(), time.time() * 1000
    posts = [
        _post(round(arrival.followers), number % min(AUTHORS))
        for number, arrival in enumerate(arrivals)
    ]
    appends = []
    for post, arrival in zip(posts, arrivals, strict=True):
        await asyncio.sleep(max(0.0, started_s + arrival.at_s - time.monotonic()))
        appends.append(asyncio.create_task(system.log.append(post)))
    await asyncio.gather(*appends)
    ages = []
    for post, arrival in zip(posts, arrivals, strict=True):
        slices = await finished(system.stores.jobs, post.post_id, poll_s=POLL_S)
        if sum(done.delivered for done in slices) != arrival.followers:
            raise WrongResult(
                f"{post.post_id} did not reach its {arrival.followers:,.0f} followers"
            )
        ended_ms = max(done.finished_at_ms for done in slices)
        ages.append((ended_ms - started_ms) / 1000 - arrival.at_s)
    return ages


def _post(audience: int, number: int) -> PostCreated:
    return new_post(_name(audience, number), now_ms=time.time_ns() // 1_000_000)


def _section(found: Measured) -> Section:
    section = Section("s", "The planner's simulation beside a real worker: delivery age, ms")
    worst = 0.0
    for share, name in ((0.5, "p50"), (0.9, "p90"), (0.99, "p99")):
        real, simulated = (
            [1000 * percentile(ages, share) for ages in rounds]
            for rounds in (found.real, found.simulated)
        )
        times = ratio(simulated, real)
        worst = max(worst, abs(times.median - 1))
        section.rows.append(
            {"what": name, "real": figure(real), "simulated": figure(simulated), "times": times}
        )
    within = "within" if worst <= TARGET else "NOT within"
    posts = " and ".join(
        f"{share} % to {audience:,}" for share, audience in zip(OF_HUNDRED, AUDIENCES, strict=True)
    )
    section.notes = [
        f"The medians are {within} {TARGET:.0%} of one another.".replace("%", " %"),
        f"{sum(len(ages) for ages in found.real):,} posts: {posts}, at random moments that keep one worker {BUSY:.0%} busy; {BURST} of them at one moment.".replace(
            "50%", "half"
        ),
        "The simulation is given what a post of each audience takes when many wait, and what a small one takes alone, measured before each round.",
        "Checked: every slice delivered to each follower.",
    ]
    return section
