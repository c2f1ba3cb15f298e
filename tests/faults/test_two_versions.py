"""A rollout that is half done: an older and a newer worker, each its own process, in one group on one log and one keyspace."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest

from fanfold.adapters.cassandra.stores import cassandra_stores
from fanfold.adapters.kafka.log import KafkaLog
from fanfold.core.clock import SystemClock
from fanfold.core.events import Event, UserMuted
from fanfold.core.settings import Settings
from tests.support.engines import RealEngines, prepared, settings_for
from tests.support.eventually import eventually
from tests.support.logs import a_follow
from tests.support.real_stack import Service, fanfold, lag, ready, service

pytestmark = pytest.mark.real

PEOPLE = [f"user-{n}" for n in range(40)]


def a_mute(by: str) -> UserMuted:
    """Of a kind that the older one doesn't know."""
    return UserMuted(user_id=by, target_id="bob", muted_at=datetime.now(UTC))


async def append(settings: Settings, *batch: Event) -> None:
    async with KafkaLog(settings, clock=SystemClock(), source="test") as log:
        await log.append_many(batch)


async def has_partitions(settings: Settings, worker: Service) -> None:
    """Follows are appended until it has processed some of them."""
    some = re.compile(
        r'^fanfold_fanout_events_total\{result="projected",topic="graph.v1"\} [1-9]', re.MULTILINE
    )
    follows = [a_follow(of="carol", by=name) for name in PEOPLE]

    async def processed_some() -> bool:
        await append(settings, *follows)
        async with httpx2.AsyncClient() as client:
            return bool(some.search((await client.get(f"{worker.url}/metrics")).text))

    await eventually(processed_some, within_s=90, what="the worker has partitions", every_s=0.5)


async def settled(settings: Settings) -> None:
    async def nothing_waits() -> bool:
        return await lag(settings) == 0

    await eventually(nothing_waits, within_s=90, what="everything is acknowledged", every_s=0.5)


async def muting(settings: Settings) -> set[str]:
    async with cassandra_stores(settings, clock=SystemClock()) as stores:
        found = {name: await stores.ties.mute_of(name, "bob") for name in PEOPLE}
        return {name for name, mute in found.items() if mute is not None and mute.active}


async def test_what_went_to_the_older_worker_is_handled_when_it_is_gone(
    engines: RealEngines, tmp_path: Path
) -> None:
    settings = await prepared(settings_for(engines))
    older = settings.model_copy(update={"worker_id": "worker-0"})
    newer = settings.model_copy(update={"worker_id": "worker-1"})
    follows = [a_follow(of="bob", by=name) for name in PEOPLE]

    with service("fanout_service", newer, tmp_path) as running:
        await ready(running)
        with service("tests.support.older_worker", older, tmp_path) as leaving:
            await ready(leaving)
            await has_partitions(settings, leaving)
            await append(settings, *follows, *map(a_mute, PEOPLE))
            await settled(settings)
        listed = json.loads((await fanfold(settings, "dead-letters", "list", "--json")).stdout)
        assert {letter["type"] for letter in listed} == {"UserMuted"}
        aside = {letter["key"] for letter in listed}
        # Each had partitions of its own.
        assert 0 < len(aside) < len(PEOPLE)
        assert await muting(settings) == set(PEOPLE) - aside

        replayed = await fanfold(settings, "dead-letters", "replay", "--json")
        assert json.loads(replayed.stdout)["replayed"] == len(aside), replayed.stderr
        await settled(settings)

    assert await muting(settings) == set(PEOPLE)
    async with cassandra_stores(settings, clock=SystemClock()) as stores:
        # What both knew, neither lost or counted twice.
        assert (await stores.users.get_many(["bob"]))["bob"].follower_count == len(PEOPLE)
