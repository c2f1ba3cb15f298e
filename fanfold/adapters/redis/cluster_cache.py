"""`SharedCache` in a cluster: each key in the cache of the server that has its slot."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from fanfold.adapters import metrics
from fanfold.adapters.redis.cluster import Cluster
from fanfold.adapters.redis.shared_cache import RedisSharedCache
from fanfold.core.cache_keys import feed_key
from fanfold.core.errors import CacheUnavailable
from fanfold.core.ports.shared_cache import FeedList, Lease


class ClusterSharedCache:
    """See `fanfold.core.ports.shared_cache.SharedCache`.

    Each server stamps what it holds with its own identity. So when a replica takes over, its values are invalid, and the other servers'
    values stay valid.
    A key whose server is away, or whose slot is moving, counts as one that no process may fill.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def usable(self) -> bool:
        return any(cache.usable() for cache in self._cluster.caches)

    async def look_up(self, keys: Sequence[str]) -> list[bytes | Lease | None]:
        groups = self._cluster.places(keys)
        found: list[bytes | Lease | None] = [None] * len(keys)

        async def of(cache: RedisSharedCache, places: list[int]) -> None:
            some = await cache.look_up([keys[place] for place in places])
            for place, value in zip(places, some, strict=True):
                found[place] = value

        await _each(of(*group) for group in groups.items())
        return found

    async def fill(self, values: Sequence[tuple[Lease, bytes]]) -> None:
        groups = self._cluster.places([lease.key for lease, _ in values])
        await _each(
            cache.fill([values[place] for place in places]) for cache, places in groups.items()
        )

    async def feed(self, user_id: str) -> FeedList | Lease | None:
        cache = self._cluster.cache_of(feed_key(user_id))
        return None if cache is None else await cache.feed(user_id)

    async def fill_feed(self, lease: Lease, entries: Sequence[bytes], *, end: bytes) -> None:
        if (cache := self._cluster.cache_of(lease.key)) is not None:
            await cache.fill_feed(lease, entries, end=end)

    async def extend_feed(
        self, user_id: str, known: FeedList, older: Sequence[bytes], *, end: bytes
    ) -> None:
        if (cache := self._cluster.cache_of(feed_key(user_id))) is not None:
            await cache.extend_feed(user_id, known, older, end=end)

    async def marks(self, keys: Sequence[str]) -> list[bytes] | None:
        """A key whose server can't be asked has no mark, unless none can be asked."""
        marks, asked = [b""] * len(keys), not keys and self.usable()

        async def of(cache: RedisSharedCache, places: list[int]) -> None:
            nonlocal asked
            some = await cache.marks([keys[place] for place in places])
            if some is not None:
                asked = True
                for place, mark in zip(places, some, strict=True):
                    marks[place] = mark

        await _each(of(*group) for group in self._cluster.places(keys).items())
        return marks if asked else None

    async def memory(self) -> Mapping[str, float] | None:
        """What the servers that can be asked hold."""
        found = await asyncio.gather(*(cache.memory() for cache in self._cluster.caches))
        parts = [part for part in found if part is not None]
        return sum(map(Counter, parts), Counter[str]()) if parts else None

    async def forget(self, keys: Sequence[str]) -> None:
        try:
            await self._tell("forget", keys, lambda cache, some: cache.forget(some))
        except CacheUnavailable:
            for cache in self._cluster.caches:
                cache.pass_by()
            raise

    async def push(self, entries: Sequence[bytes], user_ids: Sequence[str]) -> None:
        await self._tell(
            "push",
            [*map(feed_key, user_ids)],
            lambda cache, some: cache.push_onto(some, entries),
        )

    async def ping(self) -> None:
        await self._cluster.look()
        await _each(cache.ping() for cache in self._cluster.caches)

    async def _tell(
        self,
        call: str,
        keys: Sequence[str],
        tell: Callable[[RedisSharedCache, Sequence[str]], Awaitable[None]],
    ) -> None:
        """Tell once more if a slot has another owner now. Repeating is harmless: everything told may be told twice."""
        try:
            await self._tell_once(call, keys, tell)
        except CacheUnavailable:
            if not await self._cluster.look():
                raise
            await self._tell_once(call, keys, tell)

    async def _tell_once(
        self,
        call: str,
        keys: Sequence[str],
        tell: Callable[[RedisSharedCache, Sequence[str]], Awaitable[None]],
    ) -> None:
        groups = self._cluster.places(keys)
        if sum(map(len, groups.values())) < len(keys):
            metrics.FAILURES.labels(call, "unavailable").inc()
            raise CacheUnavailable("no server of the cluster is known to have a key's slot")
        await _each(
            tell(cache, [keys[place] for place in places]) for cache, places in groups.items()
        )

    def off_for(self, seconds: float) -> None:
        """Count the time in which readers got nothing from at least one server."""
        caches = self._cluster.caches
        causes = {cache.off_because() for cache in caches} if caches else {"away"}
        for cause in ("away", "outage"):
            if cause in causes:
                metrics.OFF.labels(cause).inc(seconds)
                return


async def _each(calls: Iterable[Awaitable[None]]) -> None:
    """Await all of them concurrently; once all have ended, raise the error of the first that failed."""
    waited = [*calls]
    if len(waited) == 1:
        await waited[0]
        return
    ended = await asyncio.gather(*waited, return_exceptions=True)
    for failure in ended:
        if failure is not None:
            raise failure
