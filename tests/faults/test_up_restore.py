"""The data of `make up`: it outlives the processes, and Cassandra's volume is restored from a backup by the steps of docs/runbooks/restore.md."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from deploy.local.plan import CACHE, CASSANDRA, SWEEP
from fanfold.core.read_settings import read_settings
from tests.support.eventually import eventually
from tests.support.local_follower import Follower
from tests.support.local_system import LocalSystem
from tests.support.real_stack import fanfold

pytestmark = [pytest.mark.real, pytest.mark.timeout(280)]


async def test_a_node_restored_from_yesterdays_volume_shows_what_has_happened_since(
    system: LocalSystem, gateway: httpx2.AsyncClient, tmp_path: Path
) -> None:
    before = datetime.now(UTC)
    eve, new = Follower(gateway, "restored"), Follower(gateway, "newcomer")
    await eve.follow()
    for n in range(4):
        await eve.post(n)
    deleted, liked = eve.acknowledged[0], eve.acknowledged[1]
    await liked_by_its_reader(eve, liked)
    await eventually(eve.has_everything_once, within_s=30, what="the posts before the backup")
    backup = tmp_path / "backup"
    await asyncio.to_thread(copy_at_one_moment, system, backup)

    for n in range(4, 8):
        await eve.post(n)
    await eve.until(204, "DELETE", f"/posts/{deleted}", eve.author)
    eve.acknowledged.remove(deleted)
    await new.follow()
    await new.post(1)
    await eve.until(204, "DELETE", f"/posts/{liked}/like", eve.reader)
    await liked_by_its_reader(eve, eve.acknowledged[-1])
    await is_idle(system)
    shown = [await feed_of(follower) for follower in (eve, new)]
    counts = await counts_of(eve), await counts_of(new)

    await restore(system, backup, since=before)

    await is_idle(system)
    for follower, feed in zip((eve, new), shown, strict=True):
        assert [item["post_id"] for item in feed] == follower.acknowledged[::-1]
        assert await feed_of(follower) == feed
    assert (await counts_of(eve), await counts_of(new)) == counts


def copy_at_one_moment(system: LocalSystem, backup: Path) -> None:
    """What a snapshot of the volume is: the files of a running node, none of which changes meanwhile."""
    pid = system.freeze(CASSANDRA)
    try:
        shutil.copytree(system.plan.data_of(CASSANDRA), backup)
    finally:
        os.kill(pid, signal.SIGCONT)


async def restore(system: LocalSystem, backup: Path, *, since: datetime) -> None:
    """The runbook's steps: stop, replace the volume, restart the cache, start, replay."""
    workers, volume = system.plan.worker_names, system.plan.data_of(CASSANDRA)
    await asyncio.to_thread(system.stop, *workers, SWEEP, CASSANDRA, CACHE)
    await asyncio.to_thread(shutil.rmtree, volume)
    await asyncio.to_thread(shutil.copytree, backup, volume)
    system.start(CACHE, CASSANDRA)
    # Workers are in their group until its session ends.
    await eventually(
        lambda: replayed(system, since), within_s=90, every_s=2, what="the group is rewound"
    )
    system.start(*workers, SWEEP)


async def replayed(system: LocalSystem, since: datetime) -> bool:
    settings = read_settings(**system.plan.system().settings)
    ran = await fanfold(settings, "topics", "replay", "--since", since.isoformat())
    print(ran.stderr)
    return ran.returncode == 0


async def is_idle(system: LocalSystem) -> None:
    async def idle() -> bool:
        return await asyncio.to_thread(system.is_idle)

    await eventually(idle, within_s=90, every_s=0.5, what="healthy, and no lag")


async def liked_by_its_reader(follower: Follower, post_id: str) -> None:
    await follower.until(204, "PUT", f"/posts/{post_id}/like", follower.reader)


async def feed_of(follower: Follower) -> list[dict[str, Any]]:
    """The newest items with all that they say: content, counts, and how they came."""
    path = f"/users/{follower.reader}/feed"
    params = {"ranking": "chronological", "limit": "100"}
    page = (await follower.until(200, "GET", path, follower.reader, params=params)).json()
    assert page["complete"]
    items: list[dict[str, Any]] = page["items"]
    return items


async def counts_of(follower: Follower) -> tuple[int, int]:
    author, reader = [
        (await follower.until(200, "GET", f"/users/{name}", name)).json()
        for name in (follower.author, follower.reader)
    ]
    return author["follower_count"], reader["following_count"]


async def test_after_down_the_next_up_finds_the_data(
    system: LocalSystem, gateway: httpx2.AsyncClient
) -> None:
    dora = Follower(gateway, "yesterday")
    await dora.follow()
    await dora.post(1)
    assert "Fanfold is down" in system.down()
    system.up()

    await eventually(dora.has_everything_once, within_s=30, what="yesterday's post")
    await dora.post(2)
    await eventually(dora.has_everything_once, within_s=30, what="today's post")
