"""The tables are built again beside those in use, and put to use under load, by the steps of docs/runbooks/replay.md."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Sequence

import httpx2
import pytest

from deploy.local.plan import GATEWAY
from fanfold.core.read_settings import read_settings
from fanfold.core.settings import Settings
from tests.support.cluster_load import ClusterLoad
from tests.support.cluster_verdict import nothing_goes_wrong, ready
from tests.support.eventually import eventually
from tests.support.local_system import LocalSystem
from tests.support.local_system_fixtures import a_system_for_a_load, client_of
from tests.support.real_stack import fanfold, lag

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

NEW = "fanfold2"


@pytest.fixture(scope="module")
def system() -> Iterator[LocalSystem]:
    with a_system_for_a_load("keyspaces", workers=2) as running:
        yield running


def settings_of(system: LocalSystem) -> Settings:
    """Those of its workers: a replay decides by their threshold."""
    given = {
        key.removeprefix("FANFOLD_").lower(): value for key, value in system.environment.items()
    }
    return read_settings(**system.plan.system().settings | given)


async def replayed(settings: Settings, *words: str) -> dict[str, str]:
    ran = await fanfold(settings, "replay", "--into", NEW, "--json", *words)
    assert ran.returncode == 0, ran.stderr
    found: dict[str, str] = json.loads(ran.stdout)
    return found


async def in_the_new_tables(system: LocalSystem, names: Sequence[str]) -> None:
    """Start processes that are stopped, with the new keyspace."""
    for name in names:
        system.change(name, FANFOLD_CASSANDRA_KEYSPACE=NEW)
    system.start(*names)
    await ready(system, names)


async def a_key_is_sent_again(gateway: httpx2.AsyncClient, load: ClusterLoad, key: str) -> str:
    """The post that one idempotency key makes of the load's star, however often it is sent."""
    content = f"{load.name} once"
    load.intended[content] = load.star
    headers = {"X-User-Id": load.star, "Idempotency-Key": key}
    answer = await gateway.post("/posts", json={"content": content}, headers=headers)
    assert answer.status_code == 201, answer.text
    load.acknowledged[content] = answer.json()["post_id"]
    return load.acknowledged[content]


async def test_feeds_are_right_while_and_after_other_tables_are_put_to_use(
    system: LocalSystem,
) -> None:
    settings = settings_of(system)
    workers = system.plan.worker_names
    others = [name for name in system.plan.services if name not in (*workers, GATEWAY)]
    posts, *apis = sorted(others, key=lambda name: name != "post")

    async def rewound() -> bool:
        ran = await fanfold(settings, "topics", "replay", "--since", since)
        assert ran.returncode == 0 or "stop all of them first" in ran.stderr, ran.stderr
        return ran.returncode == 0

    async def nearly_idle() -> bool:
        return await lag(settings) < 20

    async with (
        client_of(system) as gateway,
        nothing_goes_wrong(system, gateway, "other tables") as load,
    ):
        first = await a_key_is_sent_again(gateway, load, "sent-before-and-after")
        began_s = time.monotonic()

        def say(what: str) -> None:
            print(f"{time.monotonic() - began_s:5.1f} s {what}; {load.asked.refused}")

        since = (await replayed(settings))["since"]
        say("the tables are built")
        await asyncio.to_thread(system.stop, *workers)
        await eventually(rewound, within_s=90, every_s=2, what="the group is rewound")
        await in_the_new_tables(system, workers)
        await eventually(nearly_idle, within_s=120, every_s=0.5, what="the workers are there")
        say("the workers have handled the rest")
        for name in apis:
            await asyncio.to_thread(system.stop, name)
            await in_the_new_tables(system, [name])
        say("all but the posts' service read them")
        await asyncio.to_thread(system.stop, posts)
        await replayed(settings, "--unlogged")
        await in_the_new_tables(system, [posts])
        say("the posts' service reads them")
        assert await a_key_is_sent_again(gateway, load, "sent-before-and-after") == first
