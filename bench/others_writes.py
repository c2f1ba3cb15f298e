"""(h) Others' writes: what one feed process spends while others write, without a single reader and with live feeds open."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from bench.crowd import await_each, new_post
from bench.figures import figure, percentile
from bench.live_streams import Stream, arrival_s, open_streams, write_world
from bench.processes import Costs, memory_bytes
from bench.redis import OwnRedis, own_redis
from bench.report import Section
from bench.stack import Bench, System, running
from fanfold.adapters.redis.opened import redis_shared_cache
from fanfold.adapters.telling_stores import telling
from fanfold.core.cache_keys import authored_key, post_key
from fanfold.core.clock import SystemClock
from fanfold.core.events import Event, PostCreated, PostLiked, UserFollowed
from fanfold.core.ports import Pointer
from fanfold.core.ports.shared_cache import SharedCache
from fanfold.core.settings import MS_PER_DAY

PEOPLE = 1_000_000
RATE = 2_000
PORTION = 200
IDLE_S = 10.0
PULLED_AUTHORS = (0, 1_000, 100_000)
STREAMS = 1_000
ARRIVALS = 200
MB = 1e6
TEXT = "Of 140 characters: " * 7


async def others_writes(bench: Bench) -> Section:
    found: defaultdict[str, list[float]] = defaultdict(list)
    for number in range(bench.rounds):
        bench.say(f"round {number + 1} of {bench.rounds}")
        # Other tables each time: an author stays pulled for the retention window.
        settings = await bench.new_system()
        pulled = 0
        for count in bench.pick(PULLED_AUTHORS, PULLED_AUTHORS[:2]):
            async with running(bench, settings) as own:
                await pull(own, pulled, count)
            pulled = count
            # A process of its own for each: it reads all of them at its start.
            async with running(bench, settings, "feed_service") as system:
                bench.say(f"idle, with {count:,} pulled authors")
                await settled(system)
                found[f"idle, {count}"].append(
                    await share_of_a_core(system, bench.pick(IDLE_S, 2.0))
                )
                found[f"MB, {count}"].append(memory_bytes(system.pid("feed_service"))[0] / MB)
        async with running(bench, settings, "feed_service") as system:
            await settled(system)
            for name, make in _EVENTS.items():
                bench.say(f"{RATE:,} {name} a second")
                found[name].append(await beside_writes(system, make, bench.pick(10.0, 2.0)))
            found["MB"].append(memory_bytes(system.pid("feed_service"))[0] / MB)
        await _with_streams(bench, found)
    return _section(found)


async def _with_streams(bench: Bench, found: dict[str, list[float]]) -> None:
    """The same with live feeds open, whose process has a shared cache."""
    count = bench.pick(STREAMS, 50)
    with own_redis() as redis:
        settings = await bench.new_system(cache=redis.url)
        async with (
            running(bench, settings, "feed_service") as system,
            redis_shared_cache(settings, clock=SystemClock(), epoch=lambda: None) as cache,
        ):
            await write_world(system.stores, count)
            bench.say(f"opening {count:,} live feeds")
            url = system.services["feed_service"].url
            async with open_streams(url, count) as streams:
                # The second look of each, and what else follows from its opening.
                await asyncio.sleep(bench.pick(12.0, 3.0))
                seconds = bench.pick(20.0, 3.0)
                found["streams, idle"].append(await share_of_a_core(system, seconds))
                bench.say(f"{RATE:,} posts a second of others, with live feeds open")
                spent_s = redis_cpu_s(redis)
                share = await beside_writes(system, a_post, seconds, cache)
                found["streams, posts"].append(share)
                found["streams, redis"].append((redis_cpu_s(redis) - spent_s) / seconds * 100)
                await arrivals(system, streams[: bench.pick(ARRIVALS, 20)], cache, found)


def redis_cpu_s(redis: OwnRedis) -> float:
    return Costs.now({"redis": redis.pid}).of["redis"]


async def arrivals(
    system: System, streams: Sequence[Stream], cache: SharedCache, found: dict[str, list[float]]
) -> None:
    stores = telling(system.stores, cache, writer_id="bench", clock=SystemClock())
    took_ms = []
    for number, stream in enumerate(streams):
        # Otherwise each comes just after a look.
        await asyncio.sleep(_RANDOM.uniform(0, 0.5))
        took_ms.append(await arrival_s(stream, stores, number) * 1000)
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        found[f"streams, {name}"].append(percentile(took_ms, share))


async def settled(system: System) -> None:
    """Return when the process does no more than it always does."""
    last = 1.0
    for _ in range(30):
        now = await share_of_a_core(system, 1.0)
        if abs(now - last) < 0.02:
            return
        last = now


async def share_of_a_core(system: System, seconds: float) -> float:
    """The share of a core, in percent."""
    pid = {"feed": system.pid("feed_service")}
    before, began_s = Costs.now(pid), time.monotonic()
    await asyncio.sleep(seconds)
    return Costs.now(pid).since(before).of["feed"] / (time.monotonic() - began_s) * 100


async def pull(system: System, first: int, last: int) -> None:
    until_ms = time.time_ns() // 1_000_000 + 31 * MS_PER_DAY
    await await_each(
        system.stores.pulled_authors.keep(f"star-{number:07}", until_ms=until_ms)
        for number in range(first, last)
    )


async def beside_writes(
    system: System,
    make: Callable[[], Event],
    seconds: float,
    cache: SharedCache | None = None,
    *,
    rate: int = RATE,
) -> float:
    """The share of a core while that many events a second are appended, in percent; and posts told to the cache, each with a delivery to somebody.

    Where the log takes fewer, as many as it takes.
    """
    pid = {"feed": system.pid("feed_service")}
    before, began_s = Costs.now(pid), time.monotonic()
    for number in range(int(rate * seconds / PORTION)):
        await asyncio.sleep(max(0.0, began_s + number * PORTION / rate - time.monotonic()))
        events = [make() for _ in range(PORTION)]
        await system.log.append_many(events)
        if cache is not None:
            await _tell(cache, events)
    took_s = time.monotonic() - began_s
    await asyncio.sleep(1)
    return Costs.now(pid).since(before).of["feed"] / took_s * 100


async def _tell(cache: SharedCache, events: Sequence[Event]) -> None:
    posts = [event for event in events if isinstance(event, PostCreated)]
    await cache.forget([authored_key(post.author_id) for post in posts])
    await cache.forget([post_key(post.post_id) for post in posts])
    await cache.push([b"a pointer of some 30 bytes"], [_somebody() for _ in posts])


_RANDOM = random.Random(1)  # noqa: S311 - names of no consequence


def _somebody() -> str:
    return f"user-{_RANDOM.randrange(PEOPLE):07}"


def _post(author_id: str) -> Pointer:
    post = new_post(author_id, now_ms=time.time_ns() // 1_000_000)
    return Pointer(post.post_id, author_id)


def a_post() -> Event:
    return new_post(_somebody(), now_ms=time.time_ns() // 1_000_000, content=TEXT)


def a_like() -> Event:
    post = _post(_somebody())
    return PostLiked(
        post_id=post.post_id,
        author_id=post.author_id,
        user_id=_somebody(),
        liked_at=datetime.now(UTC),
    )


def _a_follow() -> Event:
    return UserFollowed(
        follower_id=_somebody(), followee_id=_somebody(), followed_at=datetime.now(UTC)
    )


_EVENTS = {"posts": a_post, "likes": a_like, "follows": _a_follow}


def _section(found: dict[str, list[float]]) -> Section:
    section = Section("h", "Others' writes: what a feed process spends meanwhile")
    for name, shares in found.items():
        section.rows.append({"what": _words(name), "one process": figure(shares)})
    section.notes = [
        "CPU of one feed_service process, without a request. No reader here follows the authors of these events.",
        "Each live feed shows 20 posts, of 20 authors. Others' posts are told to the cache too.",
        f"{PEOPLE:,} people; posts have {len(TEXT)} characters.",
    ]
    return section


def _words(name: str) -> str:
    if name == "MB":
        return "resident memory afterwards, MB"
    kind, _, count = name.partition(", ")
    if kind == "MB":
        return f"resident memory with {int(count):,} pulled authors, idle, MB"
    if kind == "streams":
        return _STREAM_WORDS[count]
    if kind == "idle":
        return f"idle, {int(count):,} pulled authors, % of a core"
    return f"{RATE:,} {name} a second, % of a core"


_STREAM_WORDS = {
    "idle": f"{STREAMS:,} live feeds open, idle, % of a core",
    "posts": f"{STREAMS:,} live feeds open, {RATE:,} posts a second of others, % of a core",
    "redis": "CPU of the cache meanwhile, % of a core",
    "p50": "from a post's delivery until its live feed shows it, p50, ms",
    "p99": "from a post's delivery until its live feed shows it, p99, ms",
}
