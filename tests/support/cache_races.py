"""Readers and writers of the shared cache whose steps come in any order, against a plain model of the tables.

What must hold: a value that is found is no older than the newest write that a writer had told, or told as an outage, before the question; a list
that is found has every entry newer than its end that was pushed before the question. What has a mark that was seen before is what was found
then. What a writer told as an outage counts for
a reader from the time that the reader has read the outages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from fanfold.core.cache_keys import feed_key
from fanfold.core.ports.shared_cache import FeedList, Lease, SharedCache
from tests.support.shared_caches import CacheServer, Epoch
from tests.support.stores import fresh

READERS = 2
LEASE_S = 5


def entry(number: int) -> bytes:
    return number.to_bytes(16) + b"alice"


def number_of(packed: bytes) -> int:
    return int.from_bytes(packed[:16])


@dataclass
class Fill:
    """A reader between its lease and its fill."""

    reader: int
    lease: Lease
    read: int | None = None


@dataclass
class FeedFill:
    """The same for a list: a new one by its lease, or the older part of a known one."""

    reader: int
    begun: Lease | FeedList
    read: tuple[Sequence[bytes], bytes] | None = None


@dataclass
class Untold:
    """A write to the tables that the cache hasn't been told of: the key's version, an entry pushed, or a list to forget."""

    version: int = 0
    pushed: int | None = None


class CacheRaces:
    """One key, and the list of one user. Each step is one call, by its name and a number that chooses between what could be called."""

    def __init__(self, server: CacheServer) -> None:
        self.server = server
        self.epochs = [Epoch(b"0") for _ in range(READERS)]
        self.readers: list[SharedCache] = []
        self.key, self.user = fresh("name:key"), fresh("bob")
        # The tables.
        self.version = 0
        self.timeline: set[int] = set()
        self.epoch, self.off = 0, False
        # What each reader must see: a version no older than this, and these entries.
        self.floors = [0] * READERS
        self.delivered: list[set[int]] = [set() for _ in range(READERS)]
        self.told_as_outage: list[Untold] = []
        self.untold: list[Untold] = []
        self.fills: list[Fill] = []
        self.feed_fills: list[FeedFill] = []
        self.found = Counter[str]()
        # What was found under each mark.
        self.marked: dict[bytes, object] = {}

    async def run(self, steps: Sequence[tuple[str, int]]) -> None:
        self.readers = [await self.server.client(epoch) for epoch in self.epochs]
        self.writer = await self.server.client(Epoch(None))
        for name, number in steps:
            await getattr(self, name)(number)

    async def rest(self, _: int) -> None:
        pass

    # Writers.

    async def write(self, _: int) -> None:
        self.version += 1
        self.untold.append(Untold(version=self.version))

    async def deliver(self, number: int) -> None:
        self.timeline.add(1 + number)
        self.untold.append(Untold(pushed=1 + number))

    async def take_back(self, number: int) -> None:
        gone = 1 + number
        self.timeline.discard(gone)
        for delivered in self.delivered:
            delivered.discard(gone)
        self.untold = [told for told in self.untold if told.pushed != gone]
        self.told_as_outage = [told for told in self.told_as_outage if told.pushed != gone]
        self.untold.append(Untold())

    async def tell(self, number: int) -> None:
        if not self.untold:
            return
        told = self.untold.pop(number % len(self.untold))
        if told.version:
            await self.writer.forget([self.key])
        elif told.pushed is not None:
            await self.writer.push([entry(told.pushed)], [self.user])
        else:
            await self.writer.forget([feed_key(self.user)])
        for reader in range(READERS):
            self._must_see(reader, told)

    async def tell_an_outage(self, number: int) -> None:
        if self.untold:
            self.told_as_outage.append(self.untold.pop(number % len(self.untold)))
            self.epoch += 1
            self.off = number % 3 == 0

    async def end_the_outage(self, _: int) -> None:
        self.off = False

    def _must_see(self, reader: int, told: Untold) -> None:
        self.floors[reader] = max(self.floors[reader], told.version)
        if told.pushed is not None:
            self.delivered[reader].add(told.pushed)

    # Readers.

    async def read_the_outages(self, number: int) -> None:
        reader = number % READERS
        self.epochs[reader].known = None if self.off else str(self.epoch).encode()
        for told in self.told_as_outage:
            self._must_see(reader, told)

    async def look_up(self, number: int) -> None:
        reader = number % READERS
        mark = await self._mark(reader, self.key)
        (found,) = await self.readers[reader].look_up([self.key])
        self._compare(mark, found)
        if isinstance(found, Lease):
            self.fills.append(Fill(reader, found))
        elif found is not None:
            self.found["value"] += 1
            assert self.epochs[reader].known is not None
            assert self.floors[reader] <= int(found) <= self.version, "an old value"

    async def _mark(self, reader: int, key: str) -> bytes | None:
        marks = await self.readers[reader].marks([key])
        return None if marks is None else marks[0]

    def _compare(self, mark: bytes | None, found: bytes | FeedList | Lease | None) -> None:
        """What was found directly after a mark: something exactly if there was one, and the same as under an equal mark before."""
        if found is None or isinstance(found, Lease):
            assert not mark
            return
        assert mark, "a value without a mark"
        shown = found.entries if isinstance(found, FeedList) else found
        assert self.marked.setdefault(mark, shown) == shown, "a change without a new mark"

    async def read(self, number: int) -> None:
        if self.fills:
            self.fills[number % len(self.fills)].read = self.version

    async def fill(self, number: int) -> None:
        ready = [fill for fill in self.fills if fill.read is not None]
        if ready:
            fill = ready[number % len(ready)]
            await self.readers[fill.reader].fill([(fill.lease, str(fill.read).encode())])
            self.fills.remove(fill)

    async def feed(self, number: int) -> None:
        reader = number % READERS
        mark = await self._mark(reader, feed_key(self.user))
        found = await self.readers[reader].feed(self.user)
        self._compare(mark, found)
        if found is None:
            return
        self.feed_fills.append(FeedFill(reader, found))
        if isinstance(found, FeedList):
            self.found["list"] += 1
            assert self.epochs[reader].known is not None
            listed = set(map(number_of, found.entries))
            end = number_of(found.end)
            missing = {one for one in self.delivered[reader] - listed if one > end}
            assert not missing, "a delivery is missing"

    async def read_the_timeline(self, number: int) -> None:
        if not self.feed_fills:
            return
        fill = self.feed_fills[number % len(self.feed_fills)]
        limit = number % 3
        newest_first = sorted(self.timeline, reverse=True)
        if isinstance(fill.begun, FeedList):
            # The end of a whole list is empty: nothing is older.
            end = number_of(fill.begun.end)
            newest_first = [one for one in newest_first if one < end]
        page = [entry(one) for one in newest_first[:limit]]
        whole = len(newest_first) <= limit
        if whole or page:
            fill.read = page, b"" if whole else page[-1][:16]

    async def fill_the_feed(self, number: int) -> None:
        ready = [fill for fill in self.feed_fills if fill.read is not None]
        if not ready:
            return
        fill = ready[number % len(ready)]
        assert fill.read is not None
        entries, end = fill.read
        if isinstance(fill.begun, Lease):
            await self.readers[fill.reader].fill_feed(fill.begun, entries, end=end)
        else:
            await self.readers[fill.reader].extend_feed(self.user, fill.begun, entries, end=end)
        self.feed_fills.remove(fill)

    # The server.

    async def pass_time(self, number: int) -> None:
        await self.server.pass_time(4000 if number == 0 else LEASE_S + 1)

    async def evict(self, number: int) -> None:
        await self.server.evict(feed_key(self.user) if number % 2 else self.key)

    async def save(self, _: int) -> None:
        await self.server.save()

    async def restart_as_saved(self, _: int) -> None:
        await self.server.restart_as_saved()


OF_A_VALUE = {"write": 3, "tell": 3, "look_up": 5, "read": 4, "fill": 4}
OF_A_LIST = {"deliver": 4, "take_back": 1, "tell": 4, "feed": 5, "read_the_timeline": 4, "fill_the_feed": 4}  # fmt: skip
OF_OUTAGES = {"tell_an_outage": 1, "end_the_outage": 1, "read_the_outages": 2}
OF_THE_SERVER = {"pass_time": 1, "evict": 1, "save": 1, "restart_as_saved": 1}


def schedules(*kinds: Mapping[str, int], steps: int) -> st.SearchStrategy[list[tuple[str, int]]]:
    """So many steps of these kinds, each as often as its weight says. Counterexamples shrink towards steps that rest."""
    names = [name for kind in kinds for name, weight in kind.items() for _ in range(weight)]
    step = st.tuples(st.sampled_from(["rest", *names]), st.integers(0, 5))
    return st.lists(step, min_size=steps, max_size=steps)
