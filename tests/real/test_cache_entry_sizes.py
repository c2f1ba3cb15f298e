"""What an entry of the shared cache takes on a real server, against the table in ARCHITECTURE.

All of it: key, value, stamp, life, and the server's own records. Sizes are those of the Redis or Valkey that is installed, within a tenth.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from random import Random
from uuid import UUID

import pytest
import pytest_asyncio

from fanfold.adapters.redis.link import checked
from fanfold.adapters.redis.opened import redis_shared_cache
from fanfold.core import cache_keys
from fanfold.core.clock import SystemClock
from fanfold.core.ids import first_post_id_at
from fanfold.core.ports import AuthoredPost, Counted, Post, RecentLike
from fanfold.core.ports.shared_cache import Lease, SharedCache
from fanfold.core.settings import Settings
from fanfold.http.post_resource import Author
from feed_service.caches import packing
from feed_service.caches.recent_likes import RecentLikes
from feed_service.caches.viewer_graph import ViewerGraph
from tests.support.k8s_schemas import ROOT
from tests.support.shared_caches import Epoch, a_redis_of_its_own, answering, plain_link

pytestmark = pytest.mark.real

_AT_A_TIME = 32
NOW_MS = 1_764_000_000_000
_RANDOM = Random(11)
_NUMBERS = itertools.count()


def a_user_id() -> str:
    """Twelve characters, and another one at each call."""
    return f"user{next(_NUMBERS) * 7_919 % 10**8:08}"


def a_post_id() -> UUID:
    time_part = first_post_id_at(NOW_MS - _RANDOM.randrange(30 * 86_400_000)).int
    return UUID(int=time_part | _RANDOM.getrandbits(62))


def a_post() -> Post:
    return Post(a_post_id(), a_user_id(), "x" * 140, like_count=12, like_offset=123_456)


def some_likes(count: int) -> bytes:
    likes = [RecentLike(NOW_MS - n, a_post_id(), a_user_id()) for n in range(count)]
    return packing.pack_recent_likes(RecentLikes.of(likes))


def a_graph() -> bytes:
    return packing.pack_graph(ViewerGraph(frozenset(a_user_id() for _ in range(200))))


@dataclass(frozen=True)
class Kind:
    """A row of the table: its key, what the measured entries hold, and how they are made.

    The server's own table of keys doubles at each power of two: between two of them, one more key changes nothing. There are enough entries that the
    buffers of connections, up to 80 KB, which the server resizes when it likes, are little beside them.
    """

    key: Callable[[], str]
    value: Callable[[], bytes]
    entries: int = 12_288


KINDS = {
    "a post of 140 characters": Kind(
        lambda: cache_keys.post_key(a_post_id()), lambda: packing.pack_content(a_post())
    ),
    "a like count": Kind(
        lambda: cache_keys.like_count_key(a_post_id().int),
        lambda: packing.pack_counted(Counted(1234, deleted=False)),
    ),
    "a name of 14 characters": Kind(
        lambda: cache_keys.name_key(a_user_id()),
        lambda: packing.pack_name(
            Author("Ada Lovelace 2", "https://img.example.org/ada-lovelace-2.png")
        ),
    ),
    "a graph of 200 followees": Kind(
        lambda: cache_keys.graph_key(a_user_id()), a_graph, entries=768
    ),
    "100 recent likes": Kind(
        lambda: cache_keys.recent_likes_key(a_user_id()), lambda: some_likes(100), entries=768
    ),
    "500 recent likes": Kind(
        lambda: cache_keys.recent_likes_key(a_user_id()), lambda: some_likes(500), entries=384
    ),
    "20 own posts": Kind(
        lambda: cache_keys.authored_key(a_user_id()),
        lambda: packing.pack_authored([AuthoredPost(a_post_id(), "push") for _ in range(20)]),
        entries=1536,
    ),
    "50 pulled posts": Kind(
        lambda: cache_keys.pulled_key(a_user_id()),
        lambda: packing.pack_pulled([a_post_id().int for _ in range(50)]),
        entries=1536,
    ),
}
LISTS = {"a feed of 129 pointers": (129, 384), "a feed of 1000 pointers": (1000, 48)}


@dataclass(frozen=True)
class Server:
    cache: SharedCache
    settings: Settings

    async def used(self) -> int:
        async with plain_link(self.settings) as link:
            (info,) = checked(await link.ask(("INFO", "memory")))
        found = re.search(rb"used_memory:(\d+)", info)
        assert found
        return int(found[1])

    async def empty(self) -> int:
        async with plain_link(self.settings) as link:
            checked(await link.ask(("FLUSHALL", "SYNC")))
        return await self.used()

    async def fill(self, kind: Kind) -> int:
        """Bytes an entry."""
        before = await self.empty()
        for _ in range(0, kind.entries, _AT_A_TIME):
            # First: a lease ends after five seconds.
            values = [kind.value() for _ in range(_AT_A_TIME)]
            leases = await self._leases(kind)
            await self.cache.fill(list(zip(leases, values, strict=True)))
        return round((await self.used() - before) / kind.entries)

    async def _leases(self, kind: Kind) -> list[Lease]:
        while True:
            held = await self.cache.look_up([kind.key() for _ in range(_AT_A_TIME)])
            leases = [lease for lease in held if isinstance(lease, Lease)]
            if leases:
                return leases
            # Making values took so long that the client must ask again which server it has.
            await asyncio.sleep(0.05)

    async def fill_feeds(self, pointers: int, readers: int) -> int:
        before = await self.empty()
        for n in range(readers):
            lease = await self.cache.feed(f"user{n:08}")
            assert isinstance(lease, Lease)
            entries = [cache_keys.feed_entry(a_post_id(), a_user_id()) for _ in range(pointers)]
            await self.cache.fill_feed(lease, entries, end=entries[-1][:16])
        return round((await self.used() - before) / readers)


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Server]:
    # Longer than a busy machine needs for a thousand pointers.
    async with (
        a_redis_of_its_own(Settings(cache_timeout_s=5)) as (settings, _),
        redis_shared_cache(settings, clock=SystemClock(), epoch=Epoch()) as cache,
    ):
        await answering(cache)
        yield Server(cache, settings)


def said() -> dict[str, int]:
    """The table's bytes an entry."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    rows = re.findall(r"^\| `[a-z_:]+\{\w+\}` \| ([^|]+) \| ([\d,]+) \|", text, re.MULTILINE)
    return {what: int(size.replace(",", "")) for what, size in rows}


async def test_an_entry_takes_what_the_architecture_says(server: Server) -> None:
    measured = {what: await server.fill(kind) for what, kind in KINDS.items()}
    for what, (pointers, readers) in LISTS.items():
        measured[what] = await server.fill_feeds(pointers, readers)
    for what, size in measured.items():
        print(f"{what:28} {size:>7,} B")
    assert measured == pytest.approx(said(), rel=0.1)
