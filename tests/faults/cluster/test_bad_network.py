"""A worker whose network misbehaves, to Kafka or to Cassandra: each post reaches each follower once. On one broker and one node."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fanfold.adapters.cassandra.stores import cassandra_stores
from fanfold.adapters.kafka.log import KafkaLog
from fanfold.core.clock import SystemClock
from fanfold.core.events import PostCreated
from fanfold.core.settings import Settings
from tests.support.engines import RealEngines, prepared, settings_for
from tests.support.eventually import eventually
from tests.support.logs import a_follow, a_post
from tests.support.probes import free_port
from tests.support.real_stack import lag, ready, service
from tests.support.toxiproxy import (
    PROGRAM,
    KafkaBehindAProxy,
    Toxic,
    Toxiproxy,
    running_toxiproxy,
)

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

READERS = 50
FAULT_S = 8
RECOVERS_WITHIN_S = 200

BOTH = ("upstream", "downstream")
TOXICS: dict[str, list[Toxic]] = {
    "away": [],
    "300 ms late, more or less": [
        Toxic("latency", stream, {"latency": 300, "jitter": 200}) for stream in BOTH
    ],
    "reset": [Toxic("reset_peer", "downstream", {"timeout": 500})],
    "half open": [Toxic("timeout", stream, {"timeout": 0}) for stream in BOTH],
    "one direction only": [Toxic("timeout", "downstream", {"timeout": 0})],
    "64 KiB a second": [Toxic("bandwidth", stream, {"rate": 64}) for stream in BOTH],
}


@dataclass
class Network:
    """The engines, with a proxy for each between them and the worker; everybody else reaches them directly."""

    proxy: Toxiproxy
    direct: Settings
    worker: Settings


@pytest.fixture(scope="module")
def network(engines: RealEngines) -> Iterator[Network]:
    if not PROGRAM.exists():
        pytest.skip("scripts/fetch_toxiproxy builds it")
    ports = {"kafka": free_port(), "cassandra": free_port()}
    kafka = KafkaBehindAProxy(ports["kafka"])
    with running_toxiproxy() as proxy, ExitStack() as stack:
        stack.callback(kafka.stop)
        kafka.launch()
        kafka.wait()
        proxy.add("kafka", listen=ports["kafka"], upstream=kafka.inner)
        proxy.add("cassandra", listen=ports["cassandra"], upstream=engines.cassandra_port)
        direct = settings_for(engines, kafka_bootstrap=f"127.0.0.1:{kafka.port}")
        worker = direct.model_copy(
            update={
                "kafka_bootstrap": f"127.0.0.1:{ports['kafka']}",
                "cassandra_port": ports["cassandra"],
                "worker_id": "worker-1",
            }
        )
        yield Network(proxy, direct, worker)


@dataclass
class Supervised:
    """A worker that is started again when it ends, as an orchestrator would."""

    settings: Settings
    directory: Path
    ended: list[int] = field(default_factory=list)
    _life: ExitStack = field(default_factory=ExitStack)

    async def run(self, first: asyncio.Event) -> None:
        while True:
            with service("fanout_service", self.settings, self.directory) as running:
                if not first.is_set():
                    await ready(running)
                    first.set()
                self.ended.append(await asyncio.to_thread(running.process.wait))


@pytest.fixture
async def worker(network: Network, tmp_path: Path) -> AsyncIterator[Supervised]:
    await prepared(network.direct)
    supervised, first = Supervised(network.worker, tmp_path), asyncio.Event()
    running = asyncio.create_task(supervised.run(first))
    try:
        await first.wait()
        yield supervised
    finally:
        network.proxy.heal()
        running.cancel()
        await asyncio.wait({running})


async def handled(settings: Settings) -> bool:
    return await lag(settings) == 0


async def timelines(settings: Settings, readers: Sequence[str]) -> dict[str, Counter[str]]:
    async with cassandra_stores(settings, clock=SystemClock()) as stores:
        read = [
            await stores.timelines.timeline(reader, before=None, since_ms=0, limit=1_000)
            for reader in readers
        ]
    pages = zip(readers, read, strict=True)
    return {reader: Counter(str(entry.post_id) for entry in page) for reader, page in pages}


@pytest.mark.parametrize("engine", ["kafka", "cassandra"])
async def test_each_post_arrives_once_whatever_the_network_of_a_worker_does(
    network: Network, worker: Supervised, engine: str
) -> None:
    author, readers = f"author-{engine}", [f"{engine}-reader{n}" for n in range(READERS)]
    posts: list[PostCreated] = []
    async with KafkaLog(network.direct, clock=SystemClock(), source="test") as log:
        await log.append_many([a_follow(of=author, by=reader) for reader in readers])
        await eventually(lambda: handled(network.direct), within_s=60, what="the follows are there")
        for name, toxics in TOXICS.items():
            if not toxics:
                network.proxy.cut(engine)
            for toxic in toxics:
                network.proxy.poison(engine, toxic)
            until_s = time.monotonic() + FAULT_S
            while time.monotonic() < until_s:
                posts.append(a_post(by=author))
                await log.append(posts[-1])
                await asyncio.sleep(0.25)
            network.proxy.heal()
            healed_s = time.monotonic()
            await eventually(
                lambda: handled(network.direct),
                within_s=RECOVERS_WITHIN_S,
                every_s=0.5,
                what=f"{engine} {name}: everything is handled",
            )
            print(
                f"{engine} {name}: handled {time.monotonic() - healed_s:.1f} s after; ended {worker.ended}"
            )
    wanted = Counter(str(post.post_id) for post in posts)
    assert len(wanted) > 10 * len(TOXICS)
    assert {
        reader: found
        for reader, found in (await timelines(network.direct, readers)).items()
        if found != wanted
    } == {}
