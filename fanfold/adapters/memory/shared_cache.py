"""`SharedCache` in memory."""

from __future__ import annotations

import itertools
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from hashlib import blake2b

from fanfold.adapters import metrics
from fanfold.core.cache_keys import feed_key, kind_of
from fanfold.core.clock import Clock
from fanfold.core.ports.shared_cache import FeedList, Lease
from fanfold.core.settings import Settings

LEASE_S = 5.0
STAMP_BYTES = 8


@dataclass(slots=True)
class Kept:
    """What is under one key: a value, a list, or, without `payload` or `end`, a lease for it."""

    token: bytes
    until_s: float
    payload: bytes | None = None
    entries: list[bytes] = field(default_factory=list)
    end: bytes | None = None

    @property
    def filled(self) -> bool:
        return self.payload is not None or self.end is not None


@dataclass(slots=True)
class MemoryCacheServer:
    """What several clients share. Each step of a client is one step here, as on a real server."""

    kept: dict[str, Kept] = field(default_factory=dict)
    run_id: bytes = field(default_factory=lambda: uuid.uuid4().bytes)
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    def snapshot(self) -> dict[str, Kept]:
        return deepcopy(self.kept)

    def restart(self, snapshot: dict[str, Kept]) -> None:
        """Come back as another process with what a snapshot held."""
        self.kept = deepcopy(snapshot)
        self.run_id = uuid.uuid4().bytes


class MemorySharedCache:
    """See `fanfold.core.ports.shared_cache.SharedCache`. `epoch` is None while the cache must be bypassed."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock,
        epoch: Callable[[], bytes | None],
        server: MemoryCacheServer | None = None,
    ) -> None:
        self._ttl_s = settings.shared_cache_ttl_s
        self._longest_list = 2 * settings.feed_depth
        self._clock = clock
        self._epoch = epoch
        self._server = server or MemoryCacheServer()

    def usable(self) -> bool:
        return self._stamp() is not None

    async def look_up(self, keys: Sequence[str]) -> list[bytes | Lease | None]:
        stamp = self._stamp()
        if stamp is None:
            return [None] * len(keys)
        found = [self._value_or_lease(key, stamp) for key in keys]
        metrics.count_lookups(keys, found)
        return found

    def _value_or_lease(self, key: str, stamp: bytes) -> bytes | Lease | None:
        kept = self._found(key)
        if kept is None or not kept.token.startswith(stamp):
            return self._leased(key, stamp)
        return kept.payload

    async def fill(self, values: Sequence[tuple[Lease, bytes]]) -> None:
        for lease, payload in values:
            kept = self._held(lease)
            if kept is None:
                metrics.count_refused_fills([lease.key])
                continue
            kept.payload = payload
            kept.until_s = self._now_s() + self._ttl_s

    async def feed(self, user_id: str) -> FeedList | Lease | None:
        stamp = self._stamp()
        if stamp is None:
            return None
        key = feed_key(user_id)
        found = self._list_or_lease(key, stamp)
        metrics.count_lookups([key], [found])
        return found

    def _list_or_lease(self, key: str, stamp: bytes) -> FeedList | Lease | None:
        kept = self._found(key)
        if kept is None or not kept.token.startswith(stamp):
            return self._leased(key, stamp)
        if kept.end is None:
            return None
        kept.until_s = self._now_s() + self._ttl_s
        return FeedList(tuple(kept.entries), kept.end, kept.token)

    async def fill_feed(self, lease: Lease, entries: Sequence[bytes], *, end: bytes) -> None:
        kept = self._held(lease)
        if kept is None:
            metrics.count_refused_fills([lease.key])
            return
        self._append(kept, entries, end)

    async def extend_feed(
        self, user_id: str, known: FeedList, older: Sequence[bytes], *, end: bytes
    ) -> None:
        kept = self._found(feed_key(user_id))
        if (
            kept is not None
            and len(known.entries) + len(older) <= self._longest_list
            and (kept.token, kept.end) == (known.stamp, known.end)
            and self._current(known.stamp)
        ):
            self._append(kept, older, end)

    def _append(self, kept: Kept, older: Sequence[bytes], end: bytes) -> None:
        kept.entries += older
        kept.end = end
        kept.until_s = self._now_s() + self._ttl_s

    async def marks(self, keys: Sequence[str]) -> list[bytes] | None:
        stamp = self._stamp()
        return None if stamp is None else [self._mark(key, stamp) for key in keys]

    def _mark(self, key: str, stamp: bytes) -> bytes:
        kept = self._found(key)
        if kept is None or not kept.filled or not kept.token.startswith(stamp):
            return b""
        return kept.token[STAMP_BYTES:] + len(kept.entries).to_bytes(4)

    async def memory(self) -> Mapping[str, float] | None:
        """The bytes of keys and values, without what Python adds to them."""
        if not self.usable():
            return None
        sizes: Counter[str] = Counter()
        for key, kept in self._server.kept.items():
            sizes[kind_of(key)] += len(key) + len(kept.payload or b"") + sum(map(len, kept.entries))
        return sizes

    async def forget(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._server.kept.pop(key, None)

    async def push(self, entries: Sequence[bytes], user_ids: Sequence[str]) -> None:
        for key in map(feed_key, user_ids):
            kept = self._found(key)
            if kept is None:
                continue
            kept.entries[:0] = reversed(entries)
            if len(kept.entries) > self._longest_list:
                del self._server.kept[key]

    async def ping(self) -> None:
        """Memory always answers."""

    def _leased(self, key: str, stamp: bytes) -> Lease:
        token = stamp + next(self._server.numbers).to_bytes(8)
        self._server.kept[key] = Kept(token, self._now_s() + LEASE_S)
        return Lease(key, token)

    def _held(self, lease: Lease) -> Kept | None:
        """What is under the lease's key, if that is still this lease."""
        kept = self._found(lease.key)
        if kept is None or kept.filled or kept.token != lease.token:
            return None
        return kept if self._current(lease.token) else None

    def _found(self, key: str) -> Kept | None:
        kept = self._server.kept.get(key)
        if kept is not None and kept.until_s <= self._now_s():
            del self._server.kept[key]
            return None
        return kept

    def _current(self, token: bytes) -> bool:
        stamp = self._stamp()
        return stamp is not None and token.startswith(stamp)

    def _stamp(self) -> bytes | None:
        epoch = self._epoch()
        if epoch is None:
            return None
        return blake2b(epoch + self._server.run_id, digest_size=STAMP_BYTES).digest()

    def _now_s(self) -> float:
        return self._clock.monotonic_s()
