"""The adapters of `SharedCache` behind one fixture: a server, and clients that know an epoch each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol

import pytest
import pytest_asyncio

from fanfold.adapters.memory.shared_cache import MemoryCacheServer, MemorySharedCache
from fanfold.core.ports.shared_cache import SharedCache
from fanfold.core.settings import Settings
from tests.support.clock import ManualClock


class Epoch:
    """What a client knows of the epoch; a test changes it."""

    def __init__(self, known: bytes | None = b"first") -> None:
        self.known = known

    def __call__(self) -> bytes | None:
        return self.known


class CacheServer(Protocol):
    """A cache server of a test."""

    def client(self, epoch: Epoch) -> SharedCache: ...

    async def pass_time(self, seconds: float) -> None:
        """Let what is kept grow older."""

    async def evict(self, key: str) -> None:
        """Lose a key, as a server does that is short of memory."""

    async def restart_from_now(self) -> None:
        """End this server; another process continues with what it held."""


class ServerInMemory:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clock = ManualClock()
        self._server = MemoryCacheServer()

    def client(self, epoch: Epoch) -> SharedCache:
        return MemorySharedCache(
            self._settings, clock=self._clock, epoch=epoch, server=self._server
        )

    async def pass_time(self, seconds: float) -> None:
        self._clock.advance(seconds)

    async def evict(self, key: str) -> None:
        self._server.kept.pop(key, None)

    async def restart_from_now(self) -> None:
        self._server.restart(self._server.snapshot())


def cache_server_of_each_adapter(settings: Settings) -> Any:
    """A fixture: a `CacheServer`, in memory."""

    @pytest_asyncio.fixture(params=["memory"])
    async def server(request: pytest.FixtureRequest) -> AsyncIterator[CacheServer]:
        yield ServerInMemory(settings)

    return server
