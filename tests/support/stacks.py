"""The whole system under test, on either stack: an HTTP client in front, the log behind, and quiescence."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import httpx2

from fanfold.core.clock import SystemClock
from fanfold.core.ports.log import EventLog
from fanfold.core.settings import Settings
from tests.support.served import listening

RawRecord = tuple[str, int, int, str, bytes]
"""(topic, partition, offset, ce_type, value), as the oracle takes it."""


class Api:
    """The API as one client sees it; a gateway's routing by path, where there are several services."""

    def __init__(self, clients: dict[str, httpx2.AsyncClient]) -> None:
        self._clients = clients
        self.incomplete: Counter[str] = Counter()
        """How often a page of a feed said that it wasn't whole, by what it named."""

    async def __call__(
        self, method: str, path: str, *, actor: str | None = None, **kwargs: Any
    ) -> httpx2.Response:
        headers = {**kwargs.pop("headers", {}), **({"X-User-Id": actor} if actor else {})}
        client = self._clients[service_of(path)]
        return await client.request(method, path, headers=headers, **kwargs)


def service_of(path: str) -> str:
    """Which service answers a path."""
    parts = path.split("?", maxsplit=1)[0].strip("/").split("/")
    if parts[0] == "posts":
        return "post"
    return "feed" if len(parts) > 2 and parts[2] in ("feed", "posts") else "graph"


class Stack(Protocol):
    """What an end-to-end test needs of a running system."""

    api: Api
    log: EventLog
    settings: Settings
    feed_url: str
    """Where the feed service listens on a socket."""

    async def quiet(self) -> None:
        """Return when everything appended so far has been handled, with all that followed from it."""
        ...

    async def raw_records(self) -> list[RawRecord]:
        """The projected topics from the first record, read without the product's code."""
        ...

    async def sweep(self) -> None:
        """Put users who have read nothing for long to sleep, as the daily sweep does."""
        ...


class EmbeddedStack:
    """Every service in this process."""

    def __init__(
        self, system: Any, client: httpx2.AsyncClient, path: Path, settings: Settings, url: str
    ) -> None:
        self.api = Api(dict.fromkeys(("post", "graph", "feed"), client))
        self.log: EventLog = system.engines.log
        self.settings = settings
        self.feed_url = url
        self._system = system
        self._path = path

    async def quiet(self) -> None:
        await self._system.drained()

    async def raw_records(self) -> list[RawRecord]:
        from tests.support.sqlite_records import read_records

        return read_records(self._path)

    async def sweep(self) -> None:
        from fanout_service.sweep_activity import SweepActivity, Swept

        stores = self._system.engines.stores
        await SweepActivity(
            stores=stores,
            log=self.log,
            clock=SystemClock(),
            active_ms=self.settings.active_ms,
            rate=10_000,
        ).run(Swept())


@asynccontextmanager
async def embedded_stack(settings: Settings, path: Path) -> AsyncIterator[EmbeddedStack]:
    from all_in_one.system import all_in_one

    async with all_in_one(settings, clock=SystemClock(), path=path) as system:
        transport = httpx2.ASGITransport(app=system.app)
        async with (
            listening(system.app) as port,
            httpx2.AsyncClient(transport=transport, base_url="http://test") as client,
        ):
            yield EmbeddedStack(system, client, path, settings, f"http://127.0.0.1:{port}")
