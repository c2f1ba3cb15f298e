"""The two adapters of every store behind one fixture, and builders of what goes into them.

A contract module says `stores = stores_of_each_adapter()`, and each of its tests runs on both. The Cassandra ones share a
keyspace, so tests take their ids from `fresh`.
"""

from __future__ import annotations

import itertools
import random
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from uuid import UUID

import pytest
import pytest_asyncio

from fanfold.adapters.memory import memory_stores
from fanfold.core.clock import Clock
from fanfold.core.errors import Unavailable
from fanfold.core.ids import created_at_ms, new_post_id
from fanfold.core.ports import FollowerEdge, LikeCount, Likes, Pointer, Stores
from fanfold.core.settings import MS_PER_DAY, Settings
from fanout_service.keep_pulled import KeepPulled
from tests.support.clock import START_MS
from tests.support.engines import RealEngines, settings_for

T = TypeVar("T")

_numbers = itertools.count()
_run = uuid.uuid4().hex[:8]
_migrated: dict[int, Settings] = {}


def stores_of_each_adapter() -> Any:
    """A fixture: `Stores` on the test module's `clock`, once in memory and once in the real Cassandra."""

    @pytest_asyncio.fixture(params=["memory", pytest.param("cassandra", marks=pytest.mark.real)])
    async def stores(request: pytest.FixtureRequest, clock: Clock) -> AsyncIterator[Stores]:
        if request.param == "memory":
            yield memory_stores(Settings(), clock=clock)
            return
        engines: RealEngines = request.getfixturevalue("engines")
        async with stores_in_cassandra(await migrated(engines), clock=clock) as opened:
            yield opened

    return stores


async def like_count(likes: Likes, post_id: UUID) -> LikeCount:
    """The count of one post."""
    return (await likes.counts([post_id]))[post_id]


@asynccontextmanager
async def stores_in_cassandra(settings: Settings, *, clock: Clock) -> AsyncIterator[Stores]:
    """The real stores; the driver is loaded only when a test asks for them."""
    from fanfold.adapters.cassandra.stores import cassandra_stores

    async with cassandra_stores(settings, clock=clock) as opened:
        yield opened


async def migrated(engines: RealEngines) -> Settings:
    """Settings of one keyspace with the schema, the same for the whole session: creating one takes seconds."""
    from fanfold.adapters.cassandra.migrate import migrate

    if engines.cassandra_port not in _migrated:
        settings = settings_for(engines, cassandra_timeout_s=5)
        await migrate(settings)
        _migrated[engines.cassandra_port] = settings
    return _migrated[engines.cassandra_port]


async def answers(stores: Stores) -> bool:
    """Whether the engine behind these stores answers now."""
    try:
        await stores.ping()
    except Unavailable:
        return False
    return True


def fresh(name: str) -> str:
    """An id that no other test has, nor an earlier example of the same."""
    return f"{name}-{_run}-{next(_numbers)}"


def a_post_id(ms: int = START_MS) -> UUID:
    return new_post_id(ms)


def an_edge(
    follower_id: str,
    *,
    offset: int,
    active: bool = True,
    generation: int = 0,
    since_ms: int = START_MS,
    follow_offset: int | None = None,
) -> FollowerEdge:
    return FollowerEdge(
        follower_id=follower_id,
        generation=generation,
        active=active,
        since_ms=since_ms,
        follow_offset=offset if follow_offset is None else follow_offset,
        offset=offset,
    )


def shuffled_with_repetitions(items: Sequence[T], seed: int) -> list[T]:
    """Every item at least once, some twice, in any order: what at-least-once delivery and zombies do."""
    rng = random.Random(seed)
    delivered = [*items, *rng.choices(items, k=len(items) // 2 + 1)]
    rng.shuffle(delivered)
    return delivered


async def all_pages(
    read: Callable[[Any], Any], *, limit: int, cursor: Callable[[T], Any]
) -> list[T]:
    """Read page after page; a page that isn't full must be the last."""
    found: list[T] = []
    after = None
    while True:
        page: list[T] = await read(after)
        assert len(page) <= limit
        found.extend(page)
        if len(page) < limit:
            return found
        after = cursor(page[-1])


async def add_pulled(
    stores: Stores, pointer: Pointer, *, clock: Clock, retention_ms: int = Settings().retention_ms
) -> None:
    """A celebrity's post, as a projection leaves it."""
    expires_ms = created_at_ms(pointer.post_id) + retention_ms + MS_PER_DAY
    keeping = KeepPulled(authors=stores.pulled_authors, clock=clock)
    await keeping.keep(pointer.author_id, until_ms=expires_ms)
    await stores.timelines.add_pulled(pointer)


async def write_edges(stores: Stores, followee_id: str, edges: Sequence[FollowerEdge]) -> None:
    """Both sides of edges, as a projection leaves them."""
    await stores.follows.write_followers(followee_id, edges)
    await stores.follows.write_following(followee_id, edges)
