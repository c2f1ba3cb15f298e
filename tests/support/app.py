"""The write side in this process: HTTP, and the log and the tables, which a test can make unavailable."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx2
from fastapi import FastAPI

from fanfold.core.errors import LogUnavailable, TablesUnavailable
from fanfold.core.events import PROJECTED_TOPICS, Event
from fanfold.core.ports import Stores
from fanfold.core.ports.engines import Engines
from fanfold.core.ports.log import Position
from fanfold.core.settings import Settings
from fanfold.http.app import make_app
from graph_service import http as graph
from post_service import http as post
from tests.support.clock import ManualClock
from tests.support.fanout import SMALL, Pipeline, a_pipeline


class Tables:
    """Stores whose engine can be away: then every call raises `TablesUnavailable`."""

    def __init__(self, stores: Stores) -> None:
        self.away = False
        self.away_after_reserving = False
        self.calls: Counter[str] = Counter()
        """How often each method was called."""
        ports: dict[str, Any] = {
            name: _Port(getattr(stores, name), self) for name in Stores.__dataclass_fields__
        }
        self.stores = Stores(**{**ports, "ping": _Port(stores, self).ping})


class _Port:
    def __init__(self, store: Any, tables: Tables) -> None:
        self._store, self._tables = store, tables

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            self._tables.calls[name] += 1
            if self._tables.away:
                raise TablesUnavailable("the tables are away")
            answer = await method(*args, **kwargs)
            if name == "reserve" and self._tables.away_after_reserving:
                self._tables.away = True
            return answer

        return call


class Log:
    """A log that can be away, lose its acknowledgements, or have a skewed clock."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self.away = False
        self.acknowledges = True
        self.knows_positions = True
        self.skew_ms: int | None = 0

    async def append(self, event: Event) -> Position | None:
        await self.ping()
        position: Position = await self._log.append(event)
        if not self.acknowledges:
            raise LogUnavailable("the log has it, and doesn't say so")
        return position if self.knows_positions else None

    async def ping(self) -> None:
        if self.away:
            raise LogUnavailable("the log is away")

    def clock_skew_ms(self) -> int | None:
        return self.skew_ms

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


@dataclass
class WriteSide:
    """Both write services behind one client, and what they left in the log."""

    app: FastAPI
    client: httpx2.AsyncClient
    engines: Engines
    settings: Settings
    log: Log
    tables: Tables
    pipeline: Pipeline
    clock: ManualClock

    async def __call__(
        self, method: str, path: str, *, actor: str | None = "alice", **kwargs: Any
    ) -> httpx2.Response:
        headers = {**({"X-User-Id": actor} if actor else {}), **kwargs.pop("headers", {})}
        return await self.client.request(method, path, headers=headers, **kwargs)

    async def project(self) -> None:
        """Let the worker handle everything."""
        await self.pipeline.drain()

    async def events(self) -> Sequence[Event]:
        """The public events so far, in order."""
        rows = await self.pipeline.log.rows(PROJECTED_TOPICS, after=0, limit=100_000)
        return [row.record.event() for row in rows]

    async def registered(self, *user_ids: str) -> None:
        """Register them all, by their capitalised ids."""
        for user_id in user_ids:
            name = {"display_name": user_id.capitalize()}
            assert (await self("PUT", f"/users/{user_id}", actor=user_id, json=name)).is_success

    async def posted(self, content: str = "hello", *, by: str = "alice") -> str:
        """Publish a post; its id."""
        created = await self("POST", "/posts", actor=by, json={"content": content})
        assert created.status_code == 201, created.text
        return str(created.json()["post_id"])


class _StandIn:
    """What an application holds in place of an object that each test has of its own."""

    def __init__(self) -> None:
        self.of: Any = None

    def __call__(self) -> Any:
        return self.of()

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            # Looked up when called: readiness keeps methods from the start.
            return getattr(self.of, name)(*args, **kwargs)

        return call


class _App:
    """The application of both write services, on stand-ins: to build its routes takes longer than most tests."""

    def __init__(self, settings: Settings) -> None:
        self._clock, self._log = _StandIn(), _StandIn()
        self._stores = {name: _StandIn() for name in Stores.__dataclass_fields__}
        clock: Any = self._clock
        engines = Engines(self._log, Stores(**self._stores))
        self.fastapi = make_app(
            title="the write side",
            routers=[
                *post.routers(engines, clock=clock, settings=settings),
                *graph.routers(engines, clock=clock, settings=settings),
            ],
            ready=graph.ready(engines, settings),
        )

    def use(self, engines: Engines, clock: ManualClock) -> None:
        """Serve from these from now on."""
        self._clock.of, self._log.of = clock, engines.log
        for name, stand_in in self._stores.items():
            stand_in.of = getattr(engines.stores, name)


@cache
def _small_app() -> _App:
    return _App(SMALL)


@asynccontextmanager
async def a_write_side(settings: Settings = SMALL) -> AsyncIterator[WriteSide]:
    clock = ManualClock(autojump=True)
    async with a_pipeline(settings, clock) as pipeline:
        log, tables = Log(pipeline.log), Tables(pipeline.stores)
        engines = Engines(log, tables.stores)
        app = _small_app() if settings is SMALL else _App(settings)
        app.use(engines, clock)
        transport = httpx2.ASGITransport(app=app.fastapi, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            yield WriteSide(app.fastapi, client, engines, settings, log, tables, pipeline, clock)
