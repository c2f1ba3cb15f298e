"""The shared cache as a port: what feed processes have read from the tables, kept where all of them find it.

Adapters: `fanfold.adapters.redis` (real) and `fanfold.adapters.memory` (embedded), with one contract suite for both.

Why a cached value is never older than the tables, whatever the order of reads and writes. *Lease first, then read*: a reader that
finds nothing puts a lease under the key, reads the tables, and then replaces that very lease with the value. A writer writes
the tables first, then forgets the key, and the lease with it. So either the reader's read came after the write, or its lease is gone and
the value is not accepted. (The leases of Nishtala et al., "Scaling Memcache at Facebook", NSDI 2013, section 3.2.1.) A feed's list works
likewise: a lease is the last element of the new list, deliveries are pushed before it, and the reader replaces it with the older part.

What a writer could not tell, because the cache was away, is told in the tables: see `CacheSwitch`. Each value carries a stamp
of the epoch in which its lease was given and of the server process that holds it; one with another stamp is never used. So a cache that was
restarted from an old snapshot, or that failed over to a replica without the last writes, is as good as empty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol


class Lease(NamedTuple):
    """The right to fill one key with what is read from the tables from now on. It ends after five seconds, or with the next write."""

    key: str
    token: bytes


class FeedList(NamedTuple):
    """A reader's timeline as cached: entries in no order, some perhaps twice.

    Every entry of the timeline that is newer than `end` is among them; older ones may be. `end` is the first 16 bytes of the oldest
    entry that was read from the tables, or empty if the list holds the whole timeline.
    """

    entries: Sequence[bytes]
    end: bytes
    stamp: bytes


class SharedCache(Protocol):
    """Values and feeds' lists, each for `shared_cache_ttl_s` at most.

    Readers' methods never raise: while the cache is away or off they find nothing, give no lease and keep nothing, and they take no longer than
    `cache_timeout_s`. Writers' methods raise `Unavailable`; then it is unknown what was forgotten or pushed.
    """

    def usable(self) -> bool:
        """For readers: whether anything could be found or kept now. If not, there is no reason to make keys."""

    async def look_up(self, keys: Sequence[str]) -> list[bytes | Lease | None]:
        """For each key its value, a lease to fill it, or None: it must be read from the tables and not be filled."""

    async def fill(self, values: Sequence[tuple[Lease, bytes]]) -> None:
        """Keep each value whose lease still holds."""

    async def feed(self, user_id: str) -> FeedList | Lease | None:
        """The reader's list, a lease to fill it, or None as in `look_up`. A list that is read lives on."""

    async def fill_feed(self, lease: Lease, entries: Sequence[bytes], *, end: bytes) -> None:
        """Keep a list, newest entry first, if the lease still holds. Entries that were pushed since the lease was given stay before it."""

    async def extend_feed(
        self, user_id: str, known: FeedList, older: Sequence[bytes], *, end: bytes
    ) -> None:
        """Add the entries that follow `known.end`, newest first, unless the list has changed its end since, or would be longer than twice `feed_depth`."""

    async def marks(self, keys: Sequence[str]) -> list[bytes] | None:
        """For each key its mark: a few bytes, which differ after each fill and each push; none while nothing is kept.

        None if the cache can't be asked now. So a process notices cheaply what others change. Nothing is leased, and nothing lives longer. Many keys may take longer than
        `cache_timeout_s`, as long as the cache goes on answering.
        """

    async def memory(self) -> Mapping[str, float] | None:
        """For each kind of key the bytes that all its entries take, or an estimate from a hundred random entries. None if the cache can't be asked now."""

    async def forget(self, keys: Sequence[str]) -> None:
        """For writers: forget these keys, their leases too. Call it after the write to the tables has returned.

        Readers call it too, for keys whose newest value they have to see. Where it raises, this process finds nothing for two seconds.
        """

    async def push(self, entries: Sequence[bytes], user_ids: Sequence[str]) -> None:
        """For writers: put every entry in front of every one of these users' lists that exists. Call it after the write to the tables.

        A list that grows beyond twice `feed_depth` is forgotten.
        """

    async def ping(self) -> None:
        """Return if the cache answers; raise `Unavailable` otherwise."""
