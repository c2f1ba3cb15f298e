"""(d) How the worker's memory and CPU grow with the audience, for a pushed post and for a celebrity's."""

from __future__ import annotations

import time
from collections import defaultdict

from bench.crowd import new_post, reader_id, seed_author
from bench.fan_outs import fan_out
from bench.figures import figure, ratio, slope
from bench.processes import memory_bytes
from bench.report import Section
from bench.stack import Bench, System, running
from fanfold.core.settings import Settings

FULL = (1_000, 100_000, 1_000_000)
QUICK = (1_000, 20_000)
CELEBRITIES = (100_000, 10_000_000)
CELEBRITY_POSTS = 200
WARM_UP_POSTS = 3

Found = dict[str, list[float]]


async def growth(bench: Bench) -> Section:
    sizes: tuple[int, ...] = bench.pick(FULL, QUICK)
    # Pushed at any size: the author's row decides, and it is written here.
    settings = await bench.new_system(pull_threshold=2 * FULL[-1])
    found: dict[str, Found] = defaultdict(lambda: defaultdict(list))
    async with running(bench, settings) as own:
        await _seed(bench, own, sizes)
    for number in range(bench.rounds):
        for followers in sizes:
            bench.say(f"round {number + 1} of {bench.rounds}: a post to {followers:,} followers")
            await _pushed(bench, settings, sizes[0], followers, found[f"pushed, {followers:,}"])
        bench.say(f"round {number + 1} of {bench.rounds}: celebrities")
        async with running(bench, settings, "fanout_service") as system:
            await _pulled(bench, system, CELEBRITIES[0], defaultdict(list))
            # They take turns in going first, so that the worker's age affects both.
            for count in CELEBRITIES if number % 2 == 0 else CELEBRITIES[::-1]:
                await _pulled(bench, system, count, found[f"pulled, {count:,}"])
    return _section(found, sizes)


async def _seed(bench: Bench, system: System, sizes: tuple[int, ...]) -> None:
    graph, settings = system.stores, system.settings
    for followers in sizes:
        bench.say(f"seeding an author of {followers:,} followers")
        readers = [reader_id(number) for number in range(followers)]
        await seed_author(graph, f"author-{followers}", readers, settings)
    for count in CELEBRITIES:
        await seed_author(graph, f"famous-{count}", [], settings, delivery="pull", count=count)


async def _pushed(
    bench: Bench, settings: Settings, smallest: int, followers: int, into: Found
) -> None:
    """In a worker of its own, because a memory peak never goes down."""
    async with running(bench, settings, "fanout_service") as system:
        pid = system.pid("fanout_service")
        pids = {**bench.engine_pids, "worker": pid}
        for _ in range(WARM_UP_POSTS):
            post = new_post(f"author-{smallest}", now_ms=_now_ms())
            await fan_out(system, [post], audience=smallest, pids=pids)
        # The same number of rows at any size; otherwise the smallest would be measured for a moment only.
        posts = [
            new_post(f"author-{followers}", now_ms=_now_ms())
            for _ in range(max(1, min(100, 100_000 // followers)))
        ]
        fanned = await fan_out(system, posts, audience=followers, pids=pids)
        into["deliveries/s"].append(fanned.rows_per_s)
        into["peak memory of the worker, MB"].append(memory_bytes(pid)[1] / 1e6)
        for name in ("worker", "kafka", "cassandra"):
            into[f"CPU a post, {name}: ms"].append(fanned.cpu.of[name] / len(posts) * 1000)


async def _pulled(bench: Bench, system: System, count: int, into: Found) -> None:
    pid = system.pid("fanout_service")
    posts = [
        new_post(f"famous-{count}", now_ms=_now_ms())
        for _ in range(bench.pick(CELEBRITY_POSTS, 20))
    ]
    started = time.perf_counter()
    pids = {**bench.engine_pids, "worker": pid}
    fanned = await fan_out(system, posts, audience=0, pids=pids)
    into["posts/s"].append(len(posts) / (time.perf_counter() - started))
    into["peak memory of the worker, MB"].append(memory_bytes(pid)[1] / 1e6)
    for name in ("worker", "kafka", "cassandra"):
        into[f"CPU a post, {name}: ms"].append(fanned.cpu.of[name] / len(posts) * 1000)


def _section(found: dict[str, Found], sizes: tuple[int, ...]) -> Section:
    section = Section("d", "Growth: a post by an author of so many followers")
    names = ["peak memory of the worker, MB", "deliveries/s", "posts/s"]
    names += [f"CPU a post, {name}: ms" for name in ("worker", "kafka", "cassandra")]
    for what, figures in found.items():
        cells = {name: figure(figures[name]) if name in figures else "" for name in names}
        section.rows.append({"what": what, **cells})
    pushed = [found[f"pushed, {followers:,}"] for followers in sizes]
    cpu = [figure(figures["CPU a post, worker: ms"]).median for figures in pushed]
    peaks = [figure(figures["peak memory of the worker, MB"]).median for figures in pushed]
    small, large = (found[f"pulled, {count:,}"]["CPU a post, worker: ms"] for count in CELEBRITIES)
    power, more = slope(sizes, cpu), 100 * (peaks[-1] / peaks[0] - 1)
    of_it = 100 * (peaks[-1] / peaks[-2] - 1)
    section.notes = [
        f"The worker's CPU grows with the audience to the power of {power:.2f} (1: proportional).",
        f"Its peak memory grows by {more:.0f} % from {sizes[0]:,} to {sizes[-1]:,} followers, by {of_it:.0f} % from {sizes[-2]:,}.",
        f"A celebrity's post costs the worker {ratio(large, small)} times as much at {CELEBRITIES[1]:,} as at {CELEBRITIES[0]:,}, each first in every other round.",
        "No follower rows stand behind those two: the worker reads the standing alone, and a pulled post has no slices.",
        "Followers were seeded straight into the tables; each pushed size has a worker process of its own.",
    ]
    return section


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
