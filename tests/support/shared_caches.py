"""The adapters of `SharedCache` behind one fixture: a server, and clients that know an epoch each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Protocol

import pytest
import pytest_asyncio

from fanfold.adapters.memory.shared_cache import MemoryCacheServer, MemorySharedCache
from fanfold.adapters.redis.address import Address
from fanfold.adapters.redis.link import Link, checked
from fanfold.adapters.redis.shared_cache import redis_shared_cache
from fanfold.core.clock import SystemClock
from fanfold.core.errors import Unavailable
from fanfold.core.ports.shared_cache import SharedCache
from fanfold.core.settings import Settings
from tests.support.clock import ManualClock
from tests.support.redis_node import RedisFromPath


class Epoch:
    """What a client knows of the epoch; a test changes it."""

    def __init__(self, known: bytes | None = b"first") -> None:
        self.known = known

    def __call__(self) -> bytes | None:
        return self.known


class CacheServer(Protocol):
    """A cache server of a test."""

    async def client(self, epoch: Epoch) -> SharedCache:
        """A process that uses the server, until the test ends."""

    async def pass_time(self, seconds: float) -> None:
        """Let what is kept grow older."""

    async def evict(self, key: str) -> None:
        """Lose a key, as a server does that is short of memory."""

    async def save(self) -> None:
        """Keep a snapshot of what is held now."""

    async def restart_as_saved(self) -> None:
        """End this server; another process continues with the last snapshot."""


class ServerInMemory:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clock = ManualClock()
        self._server = MemoryCacheServer()
        self._saved = self._server.snapshot()

    async def client(self, epoch: Epoch) -> SharedCache:
        return MemorySharedCache(
            self._settings, clock=self._clock, epoch=epoch, server=self._server
        )

    async def pass_time(self, seconds: float) -> None:
        self._clock.advance(seconds)

    async def evict(self, key: str) -> None:
        self._server.kept.pop(key, None)

    async def save(self) -> None:
        self._saved = self._server.snapshot()

    async def restart_as_saved(self) -> None:
        self._server.restart(self._saved)


class ServerInRedis:
    """Time passes by shortening what each key has left to live."""

    def __init__(
        self, settings: Settings, node: RedisFromPath | None, clients: AsyncExitStack
    ) -> None:
        self._settings = settings
        self.node = node
        self._clients = clients
        self._caches: list[SharedCache] = []

    async def client(self, epoch: Epoch) -> SharedCache:
        cache = await self._clients.enter_async_context(
            redis_shared_cache(self._settings, clock=SystemClock(), epoch=epoch)
        )
        # Readers never wait for a connection.
        await cache.ping()
        self._caches.append(cache)
        return cache

    async def pass_time(self, seconds: float) -> None:
        async with plain_link(self._settings) as link:
            (keys,) = checked(await link.ask(("KEYS", "*")))
            for key in keys:
                (left_ms,) = checked(await link.ask(("PTTL", key)))
                assert left_ms >= 0, f"{key} never expires"
                checked(await link.ask(("PEXPIRE", key, max(left_ms - int(seconds * 1000), 0))))

    async def evict(self, key: str) -> None:
        async with plain_link(self._settings) as link:
            checked(await link.ask(("UNLINK", key)))

    async def save(self) -> None:
        async with plain_link(self._settings) as link:
            checked(await link.ask(("SAVE",)))

    async def restart_as_saved(self) -> None:
        """Only for a server of the test's own."""
        assert self.node is not None
        await asyncio.to_thread(self.node.kill)
        self.node.launch()
        await asyncio.to_thread(self.node.wait)
        for cache in self._caches:
            await answering(cache)


async def answering(cache: SharedCache) -> None:
    """Return once the cache answers this client."""
    async with asyncio.timeout(10):
        while True:
            try:
                return await cache.ping()
            except Unavailable:
                await asyncio.sleep(0.05)


@asynccontextmanager
async def plain_link(settings: Settings) -> AsyncIterator[Link]:
    """A connection for commands of the test's own; also to a replica, which the product refuses to speak to."""
    address = Address.of(settings)
    _, link = await asyncio.get_running_loop().create_connection(
        lambda: Link(timeout_s=10), address.host, address.port
    )
    try:
        yield link
    finally:
        link.close()


@asynccontextmanager
async def a_redis_of_its_own(
    settings: Settings, *options: str
) -> AsyncIterator[tuple[Settings, RedisFromPath]]:
    """A server that the test may kill, and the settings that lead to it."""
    node = RedisFromPath(*options)
    try:
        node.launch()
        await asyncio.to_thread(node.wait)
        yield settings.model_copy(update={"cache": f"redis://127.0.0.1:{node.port}"}), node
    finally:
        node.stop()


@asynccontextmanager
async def server_in_redis(settings: Settings, *, url: str | None) -> AsyncIterator[ServerInRedis]:
    """A `CacheServer` at that URL, or one of its own, which can be restarted."""
    async with AsyncExitStack() as clients:
        if url is None:
            settings, node = await clients.enter_async_context(a_redis_of_its_own(settings))
            yield ServerInRedis(settings, node, clients)
        else:
            settings = settings.model_copy(update={"cache": url})
            yield ServerInRedis(settings, None, clients)


def cache_server_of_each_adapter(settings: Settings) -> Any:
    """A fixture: a `CacheServer`, once in memory and once a real one."""

    @pytest_asyncio.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.real)])
    async def server(request: pytest.FixtureRequest) -> AsyncIterator[CacheServer]:
        if request.param == "memory":
            yield ServerInMemory(settings)
            return
        restarts = "restarted" in request.function.__name__
        url = None if restarts else request.getfixturevalue("redis_url")
        async with server_in_redis(settings, url=url) as started:
            yield started

    return server
