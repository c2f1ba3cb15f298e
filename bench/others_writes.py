"""(h) Others' writes: what one feed process spends without a single reader, while others write."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime

from bench.crowd import await_each, new_post
from bench.figures import figure
from bench.processes import Costs, memory_bytes
from bench.report import Section
from bench.stack import Bench, System, running
from fanfold.core.events import Event, PostLiked, UserFollowed
from fanfold.core.ports import Pointer
from fanfold.core.settings import MS_PER_DAY

PEOPLE = 1_000_000
RATE = 2_000
PORTION = 200
IDLE_S = 10.0
PULLED_AUTHORS = (0, 1_000, 100_000)
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
                await _pull(own, pulled, count)
            pulled = count
            # A process of its own for each: it reads all of them at its start.
            async with running(bench, settings, "feed_service") as system:
                bench.say(f"idle, with {count:,} pulled authors")
                await _settled(system)
                found[f"idle, {count}"].append(await _share(system, bench.pick(IDLE_S, 2.0)))
                found[f"MB, {count}"].append(memory_bytes(system.pid("feed_service"))[0] / MB)
        async with running(bench, settings, "feed_service") as system:
            await _settled(system)
            for name, make in _EVENTS.items():
                bench.say(f"{RATE:,} {name} a second")
                found[name].append(await _beside_writes(system, make, bench.pick(10.0, 2.0)))
            found["MB"].append(memory_bytes(system.pid("feed_service"))[0] / MB)
    return _section(found)


async def _settled(system: System) -> None:
    """Return when the process does no more than it always does."""
    last = 1.0
    for _ in range(30):
        now = await _share(system, 1.0)
        if abs(now - last) < 0.02:
            return
        last = now


async def _share(system: System, seconds: float) -> float:
    """The share of a core, in percent."""
    pid = {"feed": system.pid("feed_service")}
    before, began_s = Costs.now(pid), time.monotonic()
    await asyncio.sleep(seconds)
    return Costs.now(pid).since(before).of["feed"] / (time.monotonic() - began_s) * 100


async def _pull(system: System, first: int, last: int) -> None:
    until_ms = time.time_ns() // 1_000_000 + 31 * MS_PER_DAY
    await await_each(
        system.stores.pulled_authors.keep(f"star-{number:07}", until_ms=until_ms)
        for number in range(first, last)
    )


async def _beside_writes(system: System, make: Callable[[], Event], seconds: float) -> float:
    """The share of a core while that many events a second are appended, in percent."""
    pid = {"feed": system.pid("feed_service")}
    before, began_s = Costs.now(pid), time.monotonic()
    for number in range(int(RATE * seconds / PORTION)):
        await asyncio.sleep(max(0.0, began_s + number * PORTION / RATE - time.monotonic()))
        await system.log.append_many([make() for _ in range(PORTION)])
    took_s = time.monotonic() - began_s
    await asyncio.sleep(1)
    return Costs.now(pid).since(before).of["feed"] / took_s * 100


_RANDOM = random.Random(1)  # noqa: S311 - names of no consequence


def _somebody() -> str:
    return f"user-{_RANDOM.randrange(PEOPLE):07}"


def _post(author_id: str) -> Pointer:
    post = new_post(author_id, now_ms=time.time_ns() // 1_000_000)
    return Pointer(post.post_id, author_id)


def _a_post() -> Event:
    return new_post(_somebody(), now_ms=time.time_ns() // 1_000_000, content=TEXT)


def _a_like() -> Event:
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


_EVENTS = {"posts": _a_post, "likes": _a_like, "follows": _a_follow}


def _section(found: dict[str, list[float]]) -> Section:
    section = Section("h", "Others' writes: what a feed process without readers spends")
    for name, shares in found.items():
        section.rows.append({"what": _words(name), "one process": figure(shares)})
    section.notes = [
        "CPU of one feed_service process, without a request. No reader here follows the authors of these events.",
        f"{PEOPLE:,} people; posts have {len(TEXT)} characters.",
    ]
    return section


def _words(name: str) -> str:
    if name == "MB":
        return "resident memory afterwards, MB"
    kind, _, count = name.partition(", ")
    if kind == "MB":
        return f"resident memory with {int(count):,} pulled authors, idle, MB"
    if kind == "idle":
        return f"idle, {int(count):,} pulled authors, % of a core"
    return f"{RATE:,} {name} a second, % of a core"
