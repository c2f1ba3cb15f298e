"""Every service as its own process on real Kafka and Cassandra, as production runs them."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess, Popen, TimeoutExpired, run

import httpx2
from aiokafka import AIOKafkaConsumer, TopicPartition
from pydantic import SecretStr

from fanfold.adapters.kafka.group import read_backlog
from fanfold.adapters.kafka.log import KafkaLog
from fanfold.adapters.kafka.security import client_security
from fanfold.core.clock import SystemClock
from fanfold.core.events import PROJECTED_TOPICS
from fanfold.core.ports.log import EventLog
from fanfold.core.settings import Settings
from tests.support.engines import Node
from tests.support.eventually import eventually
from tests.support.stacks import Api, RawRecord

SERVICES = ("post_service", "graph_service", "fanout_service", "feed_service")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(settings: Settings) -> dict[str, str]:
    """The same settings, as a process reads them."""
    chosen = {
        f"FANFOLD_{name.upper()}": _written(value)
        for name, value in settings.model_dump().items()
        if value is not None
    }
    return {**os.environ, **chosen}  # noqa: TID251 - handed on to a child, not read


async def fanfold(settings: Settings, *arguments: str) -> CompletedProcess[str]:
    """What `fanfold` with these arguments ended with and printed, run as a process with these settings."""
    return await asyncio.to_thread(
        run,
        [sys.executable, "-m", "fanfold", *arguments],
        env=environment(settings),
        capture_output=True,
        text=True,
        check=False,
    )


def _written(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


@dataclass
class Service:
    """One running process."""

    process: Popen[bytes]
    url: str
    output: Path

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ask it to stop, as an orchestrator would. Returns its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=20)


@contextmanager
def service(module: str, settings: Settings, directory: Path) -> Iterator[Service]:
    """Run `python -m module`; it is gone afterwards, however the test went."""
    port = free_port()
    output = directory / f"{module}-{port}.log"
    with output.open("wb") as sink:
        process = Popen(
            [sys.executable, "-m", module],
            env=environment(settings.model_copy(update={"port": port})),
            stdout=sink,
            stderr=sink,
        )
    running = Service(process, f"http://127.0.0.1:{port}", output)
    try:
        yield running
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=15)
            except TimeoutExpired:
                process.kill()
                process.wait()


async def ready(running: Service) -> None:
    """Return when the service says that it is; fail with its last words when it died instead."""

    async def answers() -> bool:
        if running.process.poll() is not None:
            last_words = running.output.read_text()[-3000:]
            raise AssertionError(f"{running.output.name} ended:\n{last_words}")
        try:
            async with httpx2.AsyncClient() as client:
                return (await client.get(f"{running.url}/readyz")).status_code == 200
        except httpx2.TransportError:
            return False

    await eventually(answers, within_s=40, what=f"{running.output.name} ready")


class RealStack:
    """A running system on the engines."""

    def __init__(self, settings: Settings, services: dict[str, Service], log: EventLog, api: Api):
        self.settings = settings
        self.services = services
        self.log = log
        self.api = api
        self.feed_url = services["feed_service"].url
        self.cache: Node | None = None

    async def quiet(self) -> None:
        await eventually(
            self._no_lag, within_s=120, every_s=1, what="the worker has handled everything"
        )

    async def _no_lag(self) -> bool:
        """No lag twice in a row: what a handler appends is appended before it acknowledges."""
        return await lag(self.settings) == 0 and await lag(self.settings) == 0

    async def raw_records(self) -> list[RawRecord]:
        return await read_kafka(self.settings)

    async def sweep(self) -> None:
        done = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "fanfold", "activity", "sweep", "--rate", "10000"),
            env=environment(self.settings),
        )
        assert await done.wait() == 0


@asynccontextmanager
async def real_stack(settings: Settings, directory: Path) -> AsyncIterator[RealStack]:
    async with AsyncExitStack() as stack:
        services = {
            module: stack.enter_context(service(module, settings, directory)) for module in SERVICES
        }
        await asyncio.gather(*(ready(running) for running in services.values()))
        clients = {
            name: await stack.enter_async_context(
                httpx2.AsyncClient(
                    base_url=services[f"{name}_service"].url,
                    timeout=30,
                    # Sooner than the servers, which close what has been idle for 5 s: a request must not meet that.
                    limits=httpx2.Limits(keepalive_expiry=2),
                )
            )
            for name in ("post", "graph", "feed")
        }
        log = await stack.enter_async_context(
            KafkaLog(settings, clock=SystemClock(), source="test")
        )
        yield RealStack(settings, services, log, Api(clients))


async def lag(settings: Settings) -> int:
    """Records that the worker's group has not acknowledged, over all topics."""
    backlog = await read_backlog(settings, most_commands=0)
    return sum(partition.records for partition in backlog.lags)


async def read_kafka(settings: Settings) -> list[RawRecord]:
    """The projected topics from the first record to the last."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap, **client_security(settings)
    )
    await consumer.start()
    try:
        partitions = [
            TopicPartition(f"{settings.topic_prefix}.{name}", partition)
            for name in PROJECTED_TOPICS
            for partition in await _partitions(consumer, f"{settings.topic_prefix}.{name}")
        ]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        records: list[RawRecord] = []
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for batch in (await consumer.getmany(timeout_ms=500)).values():
                records += [
                    (r.topic, r.partition, r.offset, dict(r.headers)["ce_type"].decode(), r.value)
                    for r in batch
                ]
        return records
    finally:
        await consumer.stop()


async def _partitions(consumer: AIOKafkaConsumer, topic: str) -> list[int]:
    await consumer._client.add_topic(topic)
    return sorted(consumer.partitions_for_topic(topic) or ())
