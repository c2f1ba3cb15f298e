"""A cluster goes on without a broker and without a node of Cassandra, and `make status` and `fanfold status` say what is missing."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx2
import pytest

from fanfold.ops.status import show_status
from tests.support.eventually import eventually
from tests.support.local_follower import Follower
from tests.support.local_system import LocalSystem

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

STOPPED = ("kafka-2", "cassandra-3")
MISSING = {"brokers_down": [2], "nodes_down": ["127.0.0.3"], "unknown": []}


async def test_without_a_broker_and_a_node_posts_arrive_and_the_status_names_what_is_missing(
    cluster: LocalSystem, gateway: httpx2.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    eve = Follower(gateway, "missing")
    await eve.follow()
    await eve.post(1)
    await eventually(eve.has_everything_once, within_s=30, what="the first post")
    await whole_again(cluster)
    await asyncio.to_thread(cluster.stop, *STOPPED)
    try:
        await eve.post(2)
        await eventually(eve.has_everything_once, within_s=60, what="the post without them")
        found = await asyncio.to_thread(cluster.status)
        assert not found["healthy"]
        assert_names_what_is_missing(found["copies"])
        unready = {process["name"] for process in found["processes"] if not process["healthy"]}
        assert unready == set(STOPPED)
        capsys.readouterr()
        assert await asyncio.to_thread(show_status, cluster.plan.home, as_json=True) == 1
        assert_names_what_is_missing(json.loads(capsys.readouterr().out)["copies"])
    finally:
        cluster.start(*STOPPED)
    await whole_again(cluster)
    assert await eve.has_everything_once()


def assert_names_what_is_missing(copies: dict[str, Any]) -> None:
    assert "fanfold.posts.v1/0" in copies["under_replicated"]
    assert {key: copies[key] for key in MISSING} == MISSING


async def whole_again(cluster: LocalSystem) -> None:
    async def whole() -> bool:
        return bool((await asyncio.to_thread(cluster.status))["healthy"])

    await eventually(whole, within_s=120, every_s=1, what="everything runs and has its copies")
