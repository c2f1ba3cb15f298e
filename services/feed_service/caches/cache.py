"""A bounded cache in this process, in front of what many readers share. It loads what is missing, once for all callers that wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from itertools import islice, repeat
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


class _Load(Generic[K, V]):
    """A load in flight. `keys` are those that later calls join and that it keeps, without those that were dropped or are loaded again."""

    __slots__ = ("keys", "task", "until_s")
    task: asyncio.Task[Mapping[K, V]]

    def __init__(self, keys: set[K], until_s: float) -> None:
        self.keys = keys
        self.until_s = until_s


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
        self._loading: dict[K, _Load[K, V]] = {}
        self._tasks: set[asyncio.Task[Mapping[K, V]]] = set()
        self._hits = _LOOKUPS.labels(name, "hit")
        self._misses = _LOOKUPS.labels(name, "miss")

    async def get(self, keys: Collection[K]) -> dict[K, V]:
        """The values of those keys that exist. Raises what the load raises; `Incomplete` with all that was found."""
        now_s, kept = self._clock.monotonic_s(), self._kept
        found: dict[K, V] = {}
        # First as one call of C: a page asks for a hundred keys, and in an open world none of them is kept.
        if not kept.keys().isdisjoint(keys):
            found = {
                key: entry[1]
                for key in keys
                if (entry := kept.get(key)) is not None and entry[0] > now_s
            }
        if found:
            self._hits.inc(len(found))
        if len(found) < len(keys):
            missing = [key for key in keys if key not in found] if found else keys
            self._misses.inc(len(missing))
            try:
                loaded = await self._loaded(missing)
            except Incomplete as error:
                raise Incomplete({**found, **error.found}) from error
            found.update(loaded)
        return found

    def holds(self, keys: Collection[K]) -> bool:
        """Whether `get` would load none of these keys."""
        now_s, kept = self._clock.monotonic_s(), self._kept
        found = [kept[key] for key in keys if key in kept]
        return len(found) == len(keys) and all(until_s > now_s for until_s, _ in found)

    async def refresh(self, key: K) -> None:
        """Load a key again while it is still kept, so that no request waits for it. Raises what the load raises."""
        await self._loaded((key,))

    def drop(self, key: K) -> None:
        """Forget a key. No later call joins a load of it that has begun, and what that load finds is not kept."""
        self._kept.pop(key, None)
        if (load := self._loading.pop(key, None)) is not None:
            load.keys.discard(key)

    async def close(self) -> None:
        """Cancel the loads in flight."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _loaded(self, keys: Collection[K]) -> Mapping[K, V]:
        now_s = self._clock.monotonic_s()
        if not self._loading:
            return await asyncio.shield(self._begin(keys, now_s))
        unshared: list[K] = []
        waited_for: set[asyncio.Task[Mapping[K, V]]] = set()
        for key in keys:
            if (load := self._loading.get(key)) is None or load.until_s <= now_s:
                unshared.append(key)
            else:
                waited_for.add(load.task)
        if unshared:
            waited_for.add(self._begin(unshared, now_s))
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

    def _begin(self, keys: Collection[K], now_s: float) -> asyncio.Task[Mapping[K, V]]:
        for key in self._loading.keys() & keys:
            self._loading[key].keys.discard(key)
        # A task of its own, because the first caller may be cancelled while others still wait.
        load: _Load[K, V] = _Load(set(keys), now_s + self._ttl_s)
        load.task = asyncio.create_task(self._load_and_keep(keys, load))
        self._tasks.add(load.task)
        self._loading.update(dict.fromkeys(keys, load))
        load.task.add_done_callback(partial(self._finished, load))
        return load.task

    async def _load_and_keep(self, keys: Collection[K], load: _Load[K, V]) -> Mapping[K, V]:
        loaded = await self._load(keys)
        until_s, kept = load.until_s, self._kept
        wanted = loaded
        if not loaded.keys() <= load.keys:
            wanted = {key: value for key, value in loaded.items() if key in load.keys}
        entries = zip(repeat(until_s), wanted.values(), strict=False)
        fresh = dict(zip(wanted, entries, strict=True))
        # At the end, because they expire last.
        for key in kept.keys() & fresh.keys():
            del kept[key]
        kept.update(fresh)
        if len(kept) > self._size:
            for key in list(islice(kept, len(kept) - self._size)):
                del kept[key]
        return loaded

    def _finished(self, load: _Load[K, V], task: asyncio.Task[Mapping[K, V]]) -> None:
        self._tasks.discard(task)
        for key in load.keys:
            del self._loading[key]
        if not task.cancelled():
            task.exception()  # retrieved, even if every caller that waited was cancelled
