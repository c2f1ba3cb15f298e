"""An engine that answers nothing, though its process is there."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import httpx2
import pytest

from fanfold.core.clock import SystemClock
from fanfold.core.events import PostLiked
from tests.support.fanout import at
from tests.support.jars import JarNode
from tests.support.secured_cluster import log_of
from tests.support.whole_on_a_cluster import WORKERS, Installed

pytestmark = pytest.mark.timeout(900)
ALICE = {"X-User-Id": "alice"}


@contextmanager
def frozen(node: JarNode) -> Iterator[None]:
    process = node.process
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)


async def test_a_frozen_cassandra_makes_a_lag_that_adds_workers_and_restarts_no_api(
    fanfold: Installed, gateway: httpx2.AsyncClient
) -> None:
    engines = fanfold.engines
    before = fanfold.restarts()
    assert await fanfold.replicas("fanout-service") == WORKERS
    written = await gateway.post("/posts", headers=ALICE, json={"content": "to be liked"})
    post_id = UUID(written.json()["post_id"])

    with frozen(engines.cassandra):
        # More than three workers' worth: a worker takes a thousand (KEDA's lagThreshold).
        now = at(SystemClock().now_ms())
        async with log_of(engines.settings) as log:
            await log.append_many(
                [
                    PostLiked(post_id=post_id, author_id="alice", user_id=f"fan-{n}", liked_at=now)
                    for n in range(3500)
                ]
            )
        await fanfold.until_replicas("feed-service", lambda count: count == 0, ready=True)
        await fanfold.until_replicas("fanout-service", lambda count: count > WORKERS)

    await fanfold.handled()
    await fanfold.until_replicas("fanout-service", lambda count: count == WORKERS)
    await fanfold.until_replicas("feed-service", lambda count: count == 2, ready=True)
    # A worker gives up after 45 s (FANFOLD_RETRY_BUDGET_S), which may be before more of them are there.
    restarted = fanfold.restarts(since=before)
    assert {name for name in restarted if not name.startswith("fanout-service")} == set()
    shown = await gateway.get(f"/posts/{post_id}", headers=ALICE)
    assert (shown.status_code, shown.json()["like_count"]) == (200, 3500)


async def test_a_frozen_kafka_stops_writes_which_say_so_and_no_reads(
    fanfold: Installed, gateway: httpx2.AsyncClient
) -> None:
    before = fanfold.restarts()
    async with fanfold.load(gateway, "frozen-kafka") as load:
        read = load.asked.answers["read"]
        with frozen(fanfold.engines.kafka):
            await fanfold.until_replicas("post-service", lambda count: count == 0, ready=True)
            shown = read["200"]
            await asyncio.sleep(10)
            assert read["200"] > shown + 10
        await fanfold.until_replicas("post-service", lambda count: count == 2, ready=True)
    assert load.asked.reasons, "the freeze was seen"
    assert fanfold.restarts(since=before) == {}
