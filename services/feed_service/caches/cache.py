"""A bounded cache in this process that loads what is missing, once for all callers that wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from typing import Generic, NamedTuple, TypeVar

from prometheus_client import Counter

from fanfold.core.clock import Clock

K = TypeVar("K")
V = TypeVar("V")

_LOOKUPS = Counter(
    "fanfold_feed_cache_lookups", "Keys asked of a cache of the feed service.", ["cache", "result"]
)


class Loaded(NamedTuple, Generic[V]):
    """A value as loaded, and for how long it may be cached (0: not at all, because something newer is known to exist)."""

    value: V
    keep_s: float


Load = Callable[[Collection[K]], Awaitable[Mapping[K, Loaded[V]]]]
"""Loads those of the keys that exist. It must decide `keep_s` after its last await, and bound its own time."""


class Cache(Generic[K, V]):
    """Values by key, at most `size` of them, each for `ttl_s` at most. While `trusted` says no, every key is loaded.

    The oldest are evicted first: with a lifetime this short, keeping the order of use would cost more on every hit
    than the few extra loads it saves.
    """

    def __init__(
        self,
        name: str,
        load: Load[K, V],
        *,
        size: int,
        ttl_s: float,
        clock: Clock,
        trusted: Callable[[], bool] = lambda: True,
    ) -> None:
        self._load = load
        self._size = size
        self._ttl_s = ttl_s
        self._clock = clock
        self._trusted = trusted
        self._kept: dict[K, tuple[float, V]] = {}
        self._loading: dict[K, asyncio.Task[Mapping[K, Loaded[V]]]] = {}
        self._tasks: set[asyncio.Task[Mapping[K, Loaded[V]]]] = set()
        self._hits = _LOOKUPS.labels(name, "hit")
        self._misses = _LOOKUPS.labels(name, "miss")

    async def get(self, keys: Collection[K]) -> dict[K, V]:
        """The values of those keys that exist. Raises what the load raises."""
        found, missing = self._split(keys)
        if found:
            self._hits.inc(len(found))
        if missing:
            self._misses.inc(len(missing))
            found.update(await self._loaded(missing))
        return found

    def cached(self, keys: Collection[K]) -> dict[K, V]:
        """The values that need no load."""
        found = self._split(keys)[0]
        self._hits.inc(len(found))
        return found

    async def refresh(self, key: K) -> None:
        """Load a key again while it is still cached, so that no request waits for it. Raises what the load raises."""
        await self._loaded((key,))

    def drop(self, key: K) -> None:
        """Forget a key. A later `get` doesn't join a load that began before."""
        self._kept.pop(key, None)
        self._loading.pop(key, None)

    def expire(self, key: K, in_s: float) -> None:
        """Keep a key no longer than so many seconds. A later `get` doesn't join a load that began before."""
        self._loading.pop(key, None)
        entry = self._kept.get(key)
        if entry is not None:
            until_s = self._clock.monotonic_s() + in_s
            if until_s < entry[0]:
                self._kept[key] = (until_s, entry[1])

    async def close(self) -> None:
        """Cancel the loads in flight."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _split(self, keys: Collection[K]) -> tuple[dict[K, V], list[K]]:
        if not self._trusted():
            return {}, list(keys)
        found: dict[K, V] = {}
        missing: list[K] = []
        now_s = self._clock.monotonic_s()
        for key in keys:
            entry = self._kept.get(key)
            if entry is not None and entry[0] > now_s:
                found[key] = entry[1]
            else:
                missing.append(key)
        return found, missing

    async def _loaded(self, keys: Collection[K]) -> dict[K, V]:
        unshared = [key for key in keys if key not in self._loading]
        if unshared:
            # A task of its own, because the first caller may be cancelled while others still wait.
            task = asyncio.create_task(self._load_and_keep(unshared))
            self._tasks.add(task)
            self._loading.update(dict.fromkeys(unshared, task))
            task.add_done_callback(partial(self._finished, unshared))
        waited_for = {self._loading[key] for key in keys}
        loaded: dict[K, Loaded[V]] = {}
        for task in waited_for:
            loaded.update(await asyncio.shield(task))
        return {key: loaded[key].value for key in keys if key in loaded}

    async def _load_and_keep(self, keys: Collection[K]) -> Mapping[K, Loaded[V]]:
        loaded = await self._load(keys)
        for key, (value, keep_s) in loaded.items():
            if keep_s > 0:
                self._keep(key, value, min(keep_s, self._ttl_s))
        return loaded

    def _keep(self, key: K, value: V, keep_s: float) -> None:
        self._kept.pop(key, None)
        self._kept[key] = (self._clock.monotonic_s() + keep_s, value)
        if len(self._kept) > self._size:
            del self._kept[next(iter(self._kept))]

    def _finished(self, keys: Collection[K], task: asyncio.Task[Mapping[K, Loaded[V]]]) -> None:
        self._tasks.discard(task)
        for key in keys:
            if self._loading.get(key) is task:
                del self._loading[key]
        if not task.cancelled():
            task.exception()  # retrieved, even if every caller that waited was cancelled
