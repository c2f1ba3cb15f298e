"""What kill -9 of each process does to the system of `make up`."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from uuid import UUID

import httpx2
import pytest

from deploy.local.plan import CACHE
from deploy.local.supervisor import Supervisor
from fanfold.adapters.redis.link import checked
from fanfold.core.cache_keys import entry_number, feed_key
from fanfold.core.errors import CacheUnavailable
from fanfold.core.read_settings import read_settings
from tests.support.eventually import eventually
from tests.support.local_follower import Follower
from tests.support.local_system import LocalSystem
from tests.support.shared_caches import plain_link

pytestmark = pytest.mark.real

POSTS_A_KILL = 12


async def test_every_process_comes_back_after_kill9_and_no_acknowledged_post_is_lost(
    system: LocalSystem, gateway: httpx2.AsyncClient
) -> None:
    bob = Follower(gateway, "killed")
    await bob.follow()
    for at, name in enumerate(system.plan.names):
        posting = [
            asyncio.create_task(bob.post(n))
            for n in range(at * POSTS_A_KILL, (at + 1) * POSTS_A_KILL)
        ]
        started_s = time.monotonic()
        pid = system.kill(name)

        async def is_back(name: str = name, pid: int = pid) -> bool:
            return await asyncio.to_thread(system.is_back, name, instead_of=pid)

        await eventually(is_back, within_s=90, what=f"{name} is back")
        print(f"{name} is back after {time.monotonic() - started_s:.1f} s")
        await asyncio.gather(*posting)
        print(f"   its posts are in after {time.monotonic() - started_s:.1f} s")

    async def is_idle() -> bool:
        return await asyncio.to_thread(system.is_idle)

    await eventually(is_idle, within_s=60, every_s=0.5, what="healthy, and no lag")
    assert (
        len(set(bob.acknowledged)) == len(bob.acknowledged) == POSTS_A_KILL * len(system.plan.names)
    )
    await eventually(bob.has_everything_once, within_s=30, what="each post once in the feed")
    work = system.status()["work"]
    assert (work["dead_letters"], work["posts_unplanned"], work["fanouts"]) == (0, 0, [])


async def test_a_readers_feed_is_in_the_shared_cache_and_is_there_again_after_the_cache_was_killed(
    system: LocalSystem, gateway: httpx2.AsyncClient
) -> None:
    assert system.plan.cache_server, "install redis-server"
    hal = Follower(gateway, "cached")
    await hal.follow()

    async def read_and_cached() -> bool:
        if not await hal.has_everything_once():
            return False
        return await cached_posts(system, hal.reader) == set(hal.acknowledged)

    await hal.post(1)
    await eventually(read_and_cached, within_s=30, what="the post in the list")
    await hal.post(2)
    await eventually(read_and_cached, within_s=30, what="two posts in the list")
    pid = system.kill(CACHE)
    await hal.post(3)

    async def is_back() -> bool:
        return await asyncio.to_thread(system.is_back, CACHE, instead_of=pid)

    await eventually(is_back, within_s=30, what="the cache is back")
    await hal.post(4)
    # The worker's outage ends with the next write that it tells, or after a minute.
    await eventually(read_and_cached, within_s=90, what="four posts in the list")


async def cached_posts(system: LocalSystem, user_id: str) -> set[str]:
    """The posts in the list that is cached of a reader; none while the list or the cache is away."""
    settings = read_settings(cache=system.plan.system().settings["cache"])
    try:
        async with plain_link(settings) as link:
            (elements,) = checked(await link.ask(("LRANGE", feed_key(user_id), 0, -1)))
    except CacheUnavailable:
        return set()
    # The last element is not a post. A post may be there twice: delivered, and copied at the follow.
    return {str(UUID(int=entry_number(entry))) for entry in elements[:-1]}


async def test_without_its_supervisor_nothing_goes_on_unattended_and_up_starts_it_again(
    system: LocalSystem, gateway: httpx2.AsyncClient
) -> None:
    eve = Follower(gateway, "unattended")
    await eve.follow()
    await eve.post(1)
    os.kill(Supervisor(str(system.plan.socket)).pid(), signal.SIGKILL)

    async def nothing_left() -> bool:
        return await asyncio.to_thread(system.left) == []

    await eventually(nothing_left, within_s=30, what="every process has ended")
    system.up()
    await eventually(eve.has_everything_once, within_s=30, what="the earlier post")
