"""The adapter of the shared cache as the two users of deploy/k8s: over TLS, with their passwords and no more than their rights."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from fanfold.adapters.redis.opened import redis_shared_cache
from fanfold.core.cache_keys import feed_entry, name_key
from fanfold.core.clock import SystemClock
from fanfold.core.errors import Unavailable
from fanfold.core.ports.shared_cache import FeedList, Lease, SharedCache
from tests.support.certificates import Authority
from tests.support.k8s import rendered
from tests.support.secured_cache import SecuredCache
from tests.support.shared_caches import Epoch

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredCache]:
    with SecuredCache(tmp_path_factory.mktemp("cache"), rendered("dev")) as running:
        yield running


@asynccontextmanager
async def cache_of(server: SecuredCache, user: str, **others: object) -> AsyncIterator[SharedCache]:
    settings = server.settings(user, **others)
    async with redis_shared_cache(settings, clock=SystemClock(), epoch=Epoch()) as cache:
        yield cache


async def leased(cache: SharedCache, key: str) -> Lease:
    (found,) = await cache.look_up([key])
    assert isinstance(found, Lease)
    return found


async def leased_feed(cache: SharedCache, user_id: str) -> Lease:
    found = await cache.feed(user_id)
    assert isinstance(found, Lease)
    return found


async def listed(cache: SharedCache, user_id: str) -> FeedList:
    found = await cache.feed(user_id)
    assert isinstance(found, FeedList)
    return found


async def test_a_reader_fills_and_a_worker_tells(server: SecuredCache) -> None:
    newest, older, oldest = (feed_entry(uuid4(), "author") for _ in range(3))
    async with (
        cache_of(server, "feed_service") as reader,
        cache_of(server, "fanout_service") as worker,
    ):
        await reader.ping()
        await reader.fill([(await leased(reader, name_key("bob")), b"Bob")])
        assert await reader.look_up([name_key("bob")]) == [b"Bob"]
        await worker.forget([name_key("bob")])
        await leased(reader, name_key("bob"))

        await reader.fill_feed(await leased_feed(reader, "bob"), [older], end=older[:16])
        await worker.push([newest], ["bob", "nobody"])
        known = await listed(reader, "bob")
        assert known.entries == (newest, older)
        await reader.extend_feed("bob", known, [oldest], end=b"")
        assert (await listed(reader, "bob")).entries == (newest, older, oldest)
        assert "feed" in (await reader.memory() or {})
    assert "NOPERM" not in server.ask("exporter", "info", "errorstats")


async def test_a_worker_reads_nothing(server: SecuredCache) -> None:
    async with cache_of(server, "fanout_service") as worker:
        await worker.ping()
        assert await worker.look_up([name_key("bob")]) == [None]
        assert await worker.feed("bob") is None


async def test_a_wrong_password_and_another_ca_make_the_cache_unavailable(
    server: SecuredCache, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other", name="another")
    for wrong in ({"cache_password": "guessed"}, {"cache_ca": other.ca}):
        async with cache_of(server, "feed_service", **wrong) as cache:
            with pytest.raises(Unavailable):
                await cache.ping()
            assert await cache.look_up([str(UUID(int=0))]) == [None]
