"""`python -m fanout_service`: the worker on Kafka and Cassandra, with its health and metrics over HTTP."""

from __future__ import annotations

import asyncio
import socket

from fanfold.adapters.cassandra.migrate import recorded_partitions
from fanfold.adapters.kafka.admin import partition_counts
from fanfold.adapters.stacks import real
from fanfold.adapters.telling_stores import keep_outage, stores_of_worker
from fanfold.core.clock import Clock, SystemClock
from fanfold.core.ports.engines import Engines
from fanfold.core.read_settings import read_settings
from fanfold.core.settings import Settings
from fanfold.core.topics import load_topics
from fanfold.http.app import make_app, serve
from fanfold.http.process import run_service
from fanfold.http.readiness import readiness
from fanout_service.partitions import refuse_other_partitions
from fanout_service.progress import Progress
from fanout_service.stream import FaustConsumer
from fanout_service.worker import Worker


async def serving(settings: Settings) -> None:
    clock = SystemClock()
    async with real(settings, clock=clock, source="fanfold/fanout_service") as engines:
        refuse_other_partitions(
            await partition_counts(settings),
            await recorded_partitions(settings),
            declared=load_topics(),
        )
        stores = stores_of_worker(engines, name=settings.worker_id, clock=clock)
        worker = Worker(settings, log=engines.log, stores=stores, clock=clock)
        consumer = FaustConsumer(settings)
        progress = Progress(clock)
        told = asyncio.Event()

        async def consume() -> None:
            await told.wait()
            await consumer.run(worker.handlers())

        app = make_app(
            title="Fanfold: the fan-out worker",
            routers=[],
            ready=readiness({"the log": engines.log.ping, "the tables": engines.stores.ping}),
            alive=progress.check,
            metrics=not settings.metrics_port,
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                running = [
                    _tell_without_cache(settings, engines, clock, told),
                    consume(),
                    progress.watch(consumer.lag),
                ]
                started = [tasks.create_task(work) for work in running]
                await serve(app, settings)
                # The process was told to stop: finish and acknowledge the batches in flight before the engines close.
                for task in started:
                    task.cancel()
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures


async def _tell_without_cache(
    settings: Settings, engines: Engines, clock: Clock, told: asyncio.Event
) -> None:
    """Without a cache to tell, nothing is written before feed processes can know that: see `keep_outage`."""
    if engines.cache_epoch is not None:
        told.set()
        return
    switch, writer_id = engines.stores.cache_switch, settings.worker_id or socket.gethostname()
    await keep_outage(switch, writer_id=writer_id, clock=clock, told=told)


if __name__ == "__main__":
    run_service(serving, read_settings, name="fanout_service")
