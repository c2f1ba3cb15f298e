"""A bounded cache in this process, in front of what many readers share. It loads what is missing, once for all callers that wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from typing import Any, Final, Generic, TypeVar

from prometheus_client import Counter

from fanfold.core.clock import Clock
from fanfold.core.errors import Unavailable

K = TypeVar("K")
V = TypeVar("V")

SHARED_S: Final = 0.5
"""How long a process uses a value that many readers share. A viral post is shown a thousand times a second, and liked as often."""

_LOOKUPS = Counter(
    "fanfold_feed_cache_lookups", "Keys asked of a cache of the feed service.", ["cache", "result"]
)


class Incomplete(Unavailable):
    """What isn't cached could not be read. `found` is what was cached."""

    def __init__(self, found: Mapping[Any, Any]) -> None:
        super().__init__("the tables did not answer")
        self.found = found


Load = Callable[[Collection[K]], Awaitable[Mapping[K, V]]]
"""Loads those of the keys that exist, and bounds its own time. Raises `Incomplete` with those that need no table."""


class Cache(Generic[K, V]):
    """Values by key, at most `size` of them. No value is used later than `ttl_s` after its load began, and no later call joins the load.

    So a reader may see a change that no `drop` announced up to `ttl_s` later than the load's source shows it. The oldest are
    evicted first: with a lifetime this short, keeping the order of use would cost more on every hit than the few extra loads it saves.
    """

    def __init__(
        self, name: str, load: Load[K, V], *, size: int, ttl_s: float, clock: Clock
    ) -> None:
        self._load = load
        self._size = size
        self._ttl_s = ttl_s
        self._clock = clock
        self._kept: dict[K, tuple[float, V]] = {}
        self._loading: dict[K, tuple[float, asyncio.Task[Mapping[K, V]]]] = {}
        self._tasks: set[asyncio.Task[Mapping[K, V]]] = set()
        self._hits = _LOOKUPS.labels(name, "hit")
        self._misses = _LOOKUPS.labels(name, "miss")

    async def get(self, keys: Collection[K]) -> dict[K, V]:
        """The values of those keys that exist. Raises what the load raises; `Incomplete` with all that was found."""
        found: dict[K, V] = {}
        missing: list[K] = []
        now_s = self._clock.monotonic_s()
        for key in keys:
            entry = self._kept.get(key)
            if entry is not None and entry[0] > now_s:
                found[key] = entry[1]
            else:
                missing.append(key)
        if found:
            self._hits.inc(len(found))
        if missing:
            self._misses.inc(len(missing))
            try:
                found.update(await self._loaded(missing))
            except Incomplete as error:
                raise Incomplete({**found, **error.found}) from error
        return found

    async def refresh(self, key: K) -> None:
        """Load a key again while it is still kept, so that no request waits for it. Raises what the load raises."""
        await self._loaded((key,))

    def drop(self, key: K) -> None:
        """Forget a key. No later call joins a load of it that has begun, and what that load finds is not kept."""
        self._kept.pop(key, None)
        self._loading.pop(key, None)

    async def close(self) -> None:
        """Cancel the loads in flight."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _loaded(self, keys: Collection[K]) -> dict[K, V]:
        now_s = self._clock.monotonic_s()
        unshared: list[K] = []
        waited_for: set[asyncio.Task[Mapping[K, V]]] = set()
        for key in keys:
            if (load := self._loading.get(key)) is None or load[0] <= now_s:
                unshared.append(key)
            else:
                waited_for.add(load[1])
        if unshared:
            # A task of its own, because the first caller may be cancelled while others still wait.
            until_s = now_s + self._ttl_s
            task = asyncio.create_task(self._load_and_keep(unshared, until_s))
            self._tasks.add(task)
            self._loading.update(dict.fromkeys(unshared, (until_s, task)))
            task.add_done_callback(partial(self._finished, unshared))
            waited_for.add(task)
        loaded: dict[K, V] = {}
        incomplete: Incomplete | None = None
        for task in waited_for:
            try:
                loaded.update(await asyncio.shield(task))
            except Incomplete as error:
                loaded.update(error.found)
                incomplete = error
        found = {key: loaded[key] for key in keys if key in loaded}
        if incomplete is not None:
            raise Incomplete(found) from incomplete
        return found

    async def _load_and_keep(self, keys: Collection[K], until_s: float) -> Mapping[K, V]:
        loaded = await self._load(keys)
        this = asyncio.current_task()
        for key, value in loaded.items():
            if (load := self._loading.get(key)) is None or load[1] is not this:
                continue
            # At the end, because it expires last.
            self._kept.pop(key, None)
            self._kept[key] = (until_s, value)
            if len(self._kept) > self._size:
                del self._kept[next(iter(self._kept))]
        return loaded

    def _finished(self, keys: Collection[K], task: asyncio.Task[Mapping[K, V]]) -> None:
        self._tasks.discard(task)
        for key in keys:
            if (load := self._loading.get(key)) is not None and load[1] is task:
                del self._loading[key]
        if not task.cancelled():
            task.exception()  # retrieved, even if every caller that waited was cancelled
