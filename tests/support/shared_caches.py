"""The adapters of `SharedCache` behind one fixture: a server, and clients that know an epoch each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Protocol

import pytest
import pytest_asyncio

from fanfold.adapters.memory.shared_cache import MemoryCacheServer, MemorySharedCache
from fanfold.adapters.redis.address import Address, CacheUrl
from fanfold.adapters.redis.link import Link, checked
from fanfold.adapters.redis.opened import redis_shared_cache
from fanfold.core.clock import SystemClock
from fanfold.core.errors import Unavailable
from fanfold.core.ports.shared_cache import SharedCache
from fanfold.core.settings import Settings
from tests.support.clock import ManualClock
from tests.support.redis_cluster import running_cluster
from tests.support.redis_node import RedisFromPath

_NEVER_EXPIRES = -1


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
        self, settings: Settings, clients: AsyncExitStack, restart: Callable[[], None] | None
    ) -> None:
        self._settings = settings
        self.restart = restart
        self._clients = clients
        self._caches: list[SharedCache] = []

    async def client(self, epoch: Epoch) -> SharedCache:
        cache = await self._clients.enter_async_context(
            redis_shared_cache(self._settings, clock=SystemClock(), epoch=epoch, settles_s=0)
        )
        # Readers never wait for a connection.
        await cache.ping()
        self._caches.append(cache)
        return cache

    async def pass_time(self, seconds: float) -> None:
        for link in await self._links():
            (keys,) = checked(await link.ask(("KEYS", "*")))
            for key in keys:
                (left_ms,) = checked(await link.ask(("PTTL", key)))
                assert left_ms != _NEVER_EXPIRES, f"{key} never expires"
                # Also negative if the key has expired since.
                checked(await link.ask(("PEXPIRE", key, max(left_ms - int(seconds * 1000), 0))))

    async def evict(self, key: str) -> None:
        for link in await self._links():
            # In a cluster all but one say that the key is elsewhere.
            await link.ask(("UNLINK", key))

    async def save(self) -> None:
        for link in await self._links():
            checked(await link.ask(("SAVE",)))

    async def _links(self) -> list[Link]:
        """A connection to each server, until the test ends."""
        return [
            await self._clients.enter_async_context(plain_link_to(address))
            for address in CacheUrl.of(self._settings).addresses
        ]

    async def restart_as_saved(self) -> None:
        """Only for servers of the test's own."""
        assert self.restart is not None
        await asyncio.to_thread(self.restart)
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
    (address,) = CacheUrl.of(settings).addresses
    async with plain_link_to(address) as link:
        yield link


@asynccontextmanager
async def plain_link_to(address: Address) -> AsyncIterator[Link]:
    """The same, to one of several servers."""
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
async def server_in_redis(
    settings: Settings, *, url: str | None, restart: Callable[[], None] | None = None
) -> AsyncIterator[ServerInRedis]:
    """A `CacheServer` at that URL, which may be a cluster's; or one of its own, which can be restarted."""
    async with AsyncExitStack() as clients:
        if url is None:
            settings, node = await clients.enter_async_context(a_redis_of_its_own(settings))
            url, restart = settings.cache, node.restart
        yield ServerInRedis(settings.model_copy(update={"cache": url}), clients, restart)


def cache_server_of_each_adapter(settings: Settings) -> Any:
    """A fixture: a `CacheServer`, in memory, a real one, and a cluster of three."""

    @pytest_asyncio.fixture(
        params=[
            "memory",
            pytest.param("redis", marks=pytest.mark.real),
            pytest.param("cluster", marks=pytest.mark.real),
        ]
    )
    async def server(request: pytest.FixtureRequest) -> AsyncIterator[CacheServer]:
        if request.param == "memory":
            yield ServerInMemory(settings)
            return
        async with AsyncExitStack() as stack:
            url, restart = None, None
            if "restarted" not in request.function.__name__:
                url = request.getfixturevalue(f"{request.param}_url")
            elif request.param == "cluster":
                cluster = stack.enter_context(running_cluster())
                url, restart = cluster.url, cluster.restart
            yield await stack.enter_async_context(
                server_in_redis(settings, url=url, restart=restart)
            )

    return server
