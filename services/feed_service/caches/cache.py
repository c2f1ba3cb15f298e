"""A bounded cache in this process that loads what is missing, once for all who wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
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
    """A value as loaded, and for how long it may be kept (0: not at all, something newer is known to exist)."""

    value: V
    keep_s: float


@dataclass(frozen=True, slots=True)
class Freshness:
    """How long any value is kept, and whether kept values may be used now; while not, everything is loaded."""

    ttl_s: float
    clock: Clock
    trusted: Callable[[], bool] = lambda: True


Load = Callable[[Collection[K]], Awaitable[Mapping[K, Loaded[V]]]]
"""Loads those keys that exist. It must judge `keep_s` after its last await, and bound its own time."""


class Cache(Generic[K, V]):
    """Values by key, at most `size` of them.

    The oldest go first: with a lifetime this short, keeping the order of use would cost more on every hit than
    the few extra loads it saves.
    """

    def __init__(self, name: str, load: Load[K, V], *, size: int, freshness: Freshness) -> None:
        self._load = load
        self._size = size
        self._ttl_s = freshness.ttl_s
        self._clock = freshness.clock
        self._trusted = freshness.trusted
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
        """Those that can be had without a load."""
        found = self._split(keys)[0]
        self._hits.inc(len(found))
        return found

    async def refresh(self, key: K) -> None:
        """Load a key that is still kept, so that no reader has to wait for it. Raises what the load raises."""
        await self._loaded((key,))

    def drop(self, key: K) -> None:
        """Forget a key. Whoever asks from now on doesn't wait for a load that began before."""
        self._kept.pop(key, None)
        self._loading.pop(key, None)

    def expire(self, key: K, in_s: float) -> None:
        """Keep a key no longer than so many seconds. Nobody from now on waits for a load that began before."""
        self._loading.pop(key, None)
        held = self._kept.get(key)
        if held is not None:
            until_s = self._clock.monotonic_s() + in_s
            if until_s < held[0]:
                self._kept[key] = (until_s, held[1])

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
            held = self._kept.get(key)
            if held is not None and held[0] > now_s:
                found[key] = held[1]
            else:
                missing.append(key)
        return found, missing

    async def _loaded(self, keys: Collection[K]) -> dict[K, V]:
        alone = [key for key in keys if key not in self._loading]
        if alone:
            # A task of its own, for the first who asks may give up while others still wait.
            task = asyncio.create_task(self._load_and_keep(alone))
            self._tasks.add(task)
            self._loading.update(dict.fromkeys(alone, task))
            task.add_done_callback(partial(self._landed, alone))
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

    def _landed(self, keys: Collection[K], task: asyncio.Task[Mapping[K, Loaded[V]]]) -> None:
        self._tasks.discard(task)
        for key in keys:
            if self._loading.get(key) is task:
                del self._loading[key]
        if not task.cancelled():
            task.exception()  # seen, even if everyone who waited has gone
