"""Every service in one process on the embedded adapters, composed like the real ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI

from all_in_one import demo
from all_in_one.rebuild_log import rebuild_log
from console_service import http as console
from console_service.console import Console, open_console
from console_service.processes import ThisProcess
from fanfold.adapters.sqlite.consumer import SqliteConsumer
from fanfold.adapters.sqlite.log_view import SqliteLogView
from fanfold.adapters.stacks import EmbeddedEngines, embedded
from fanfold.adapters.telling_stores import stores_of_worker
from fanfold.core.clock import Clock
from fanfold.core.errors import Transient
from fanfold.core.events import PROJECTED_TOPICS
from fanfold.core.ports.engines import Engines
from fanfold.core.settings import Settings
from fanfold.http.app import make_app
from fanfold.http.identity.deny_list import denying
from fanfold.http.identity.identity import Identity
from fanfold.http.identity.open_identity import open_identity
from fanfold.http.metrics import exposed
from fanfold.http.process import traced
from fanfold.http.readiness import Check, readiness
from fanout_service.progress import LOOK_EVERY_S, Progress
from fanout_service.sweep_activity import SweepActivity
from fanout_service.worker import Worker
from feed_service import http as feed
from feed_service.feed_reader import FeedReader, feed_reader
from graph_service import http as graph
from post_service import http as post

A_DAY_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class System:
    """A running system: its API, and the parts behind it."""

    app: FastAPI
    engines: Engines
    consumer: SqliteConsumer
    replayed: int
    """The number of records in the log at the start; the tables were rebuilt from them."""

    async def drained(self) -> None:
        """Return when everything appended so far is handled, and everything that handlers append meanwhile."""
        await self.consumer.drained()


@asynccontextmanager
async def all_in_one(
    settings: Settings, *, clock: Clock, path: Path, with_demo: bool = False
) -> AsyncIterator[System]:
    """Rebuild the tables from the log at `path`, then run everything until the block ends.

    The demo is loaded into an empty log only. Raises `Fault` in an `ExceptionGroup` if the worker can't go on.
    """
    async with (
        open_identity(settings, clock=clock) as identity,
        replayed(settings, clock=clock, path=path) as tables,
        denying(identity, tables.engines.stores.revocations, clock=clock),
    ):
        engines, consumer = tables.engines, tables.consumer
        if with_demo and not tables.records:
            await engines.log.append_many(demo.graph(clock.now_ms()))
            await consumer.drained()
            await engines.log.append_many(demo.posts(clock.now_ms()))
            await consumer.drained()
        view = SqliteLogView(engines.log)
        beside = [
            tables.tasks.create_task(_sweep_daily(settings, engines, clock), name="activity sweep"),
            tables.tasks.create_task(_watch_lag(view, clock), name="lag"),
        ]
        ready = readiness({"the log": engines.log.ping})
        this = ThisProcess("all in one", ready, exposed)
        # Only from here on: a rebuild repeats what was traced when it happened.
        with traced("all-in-one"):
            async with (
                feed_reader(settings, engines, clock=clock) as reader,
                open_console(view, [this], engines.tables, settings=settings, clock=clock) as ops,
            ):
                app = _api(
                    settings, clock, engines, reader, ops=ops, identity=identity, ready=ready
                )
                yield System(app, engines, consumer, tables.records)
        for task in beside:
            task.cancel()


@dataclass(frozen=True, slots=True)
class Replayed:
    """Tables that hold everything that the log holds, and the worker that keeps them so. `tasks` end the block when one fails."""

    engines: EmbeddedEngines
    consumer: SqliteConsumer
    tasks: asyncio.TaskGroup
    records: int
    """The number of the log's last record at the start."""


@asynccontextmanager
async def replayed(settings: Settings, *, clock: Clock, path: Path) -> AsyncIterator[Replayed]:
    """Rebuild the tables from the log at `path`, and run the worker until the block ends. Raises like `all_in_one`."""
    async with (
        embedded(settings, clock=clock, path=path) as engines,
        asyncio.TaskGroup() as tasks,
    ):
        log = engines.log
        records = log.last_seq(PROJECTED_TOPICS)
        # The replay of the projected topics appends commands and dead letters again.
        await log.clear_internal()
        consumer = SqliteConsumer(log, clock=clock, take_events=settings.take_events, replay=True)
        worker = Worker(
            settings,
            log=await rebuild_log(log),
            stores=stores_of_worker(engines, name=settings.worker_id, clock=clock),
            clock=clock,
            history_until_ms=clock.now_ms(),
        )
        consuming = tasks.create_task(consumer.run(worker.handlers()), name="worker")
        await consumer.drained()
        yield Replayed(engines, consumer, tasks, records)
        consuming.cancel()


def _api(
    settings: Settings,
    clock: Clock,
    engines: EmbeddedEngines,
    reader: FeedReader,
    *,
    ops: Console,
    identity: Identity,
    ready: Check,
) -> FastAPI:
    return make_app(
        title="Fanfold",
        routers=[
            *post.routers(engines, clock=clock, settings=settings),
            *graph.routers(engines, clock=clock, settings=settings),
            *feed.routers(reader),
            *console.routers(settings, ops),
        ],
        ready=ready,
        on_stop=reader.live.close,
        metrics=not settings.metrics_port,
        identity=identity,
    )


async def _watch_lag(view: SqliteLogView, clock: Clock) -> None:
    """Keep the metric of the lag."""
    progress = Progress(clock)
    while True:
        with suppress(Transient):
            progress.observe((await view.backlog(most_commands=0)).lags)
        await clock.sleep(LOOK_EVERY_S)


async def _sweep_daily(settings: Settings, engines: Engines, clock: Clock) -> None:
    sweep = SweepActivity(
        stores=engines.stores,
        log=engines.log,
        clock=clock,
        active_ms=settings.active_ms,
    )
    # Not at the start: reads are not in the log, so after a rebuild every user would look inactive.
    await sweep.sweep_forever(A_DAY_S, first_after_s=A_DAY_S)
