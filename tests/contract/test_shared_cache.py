"""The shared cache in each adapter."""

from __future__ import annotations

import pytest
import pytest_asyncio

from fanfold.core.cache_keys import feed_key
from fanfold.core.ports.shared_cache import FeedList, Lease, SharedCache
from fanfold.core.settings import Settings
from tests.support.shared_caches import CacheServer, Epoch, cache_server_of_each_adapter
from tests.support.stores import fresh

TTL_S = 600
LEASE_S = 5
FEED_DEPTH = 10

server = cache_server_of_each_adapter(
    Settings(shared_cache_ttl_s=TTL_S, feed_depth=FEED_DEPTH, cache_timeout_s=2)
)


@pytest.fixture
def epoch() -> Epoch:
    return Epoch()


@pytest_asyncio.fixture
async def cache(server: CacheServer, epoch: Epoch) -> SharedCache:
    return await server.client(epoch)


@pytest_asyncio.fixture
async def other(server: CacheServer) -> SharedCache:
    """Another process, in the same epoch at first."""
    return await server.client(Epoch())


def a_key() -> str:
    return fresh("name:alice")


async def looked_up(cache: SharedCache, key: str) -> bytes | Lease | None:
    (found,) = await cache.look_up([key])
    return found


async def a_lease(cache: SharedCache, key: str) -> Lease:
    found = await looked_up(cache, key)
    assert isinstance(found, Lease)
    return found


async def a_feed_lease(cache: SharedCache, user: str) -> Lease:
    found = await cache.feed(user)
    assert isinstance(found, Lease)
    return found


async def a_list(cache: SharedCache, user: str) -> FeedList:
    found = await cache.feed(user)
    assert isinstance(found, FeedList)
    return found


async def a_filled_list(
    cache: SharedCache, user: str, entries: list[bytes], *, end: bytes = b""
) -> FeedList:
    await cache.fill_feed(await a_feed_lease(cache, user), entries, end=end)
    return await a_list(cache, user)


# Values.


@pytest.mark.parametrize("payload", [b"", b"Alice", b"V", b"L" + bytes(300), bytes(range(256))])
async def test_a_filled_value_is_found_by_every_process(
    cache: SharedCache, other: SharedCache, payload: bytes
) -> None:
    key = a_key()
    lease = await a_lease(cache, key)
    assert lease.key == key
    await cache.fill([(lease, payload)])
    assert await looked_up(cache, key) == payload
    assert await looked_up(other, key) == payload


async def test_many_keys_are_answered_in_their_order(cache: SharedCache) -> None:
    keys = [a_key() for _ in range(5)]
    leases = await cache.look_up(keys)
    filled = [(lease, lease.key.encode()) for lease in leases[::2] if isinstance(lease, Lease)]
    await cache.fill(filled)
    assert await cache.look_up([keys[4], keys[1], keys[0]]) == [keys[4].encode(), None, keys[0].encode()]  # fmt: skip
    assert await cache.look_up([]) == []
    await cache.fill([])


async def test_only_one_process_gets_the_lease(cache: SharedCache, other: SharedCache) -> None:
    key = a_key()
    await a_lease(cache, key)
    assert await looked_up(other, key) is None
    assert await looked_up(cache, key) is None


async def test_a_key_asked_twice_at_once_has_one_lease(cache: SharedCache) -> None:
    key = a_key()
    first, second = await cache.look_up([key, key])
    assert isinstance(first, Lease)
    assert second is None


async def test_a_forgotten_lease_fills_nothing(cache: SharedCache, other: SharedCache) -> None:
    key = a_key()
    lease = await a_lease(cache, key)
    await other.forget([key])
    await cache.fill([(lease, b"old")])
    assert isinstance(await looked_up(other, key), Lease)


async def test_of_two_leases_only_the_later_fills(cache: SharedCache, other: SharedCache) -> None:
    key = a_key()
    first = await a_lease(cache, key)
    await other.forget([key])
    second = await a_lease(other, key)
    await cache.fill([(first, b"old")])
    assert await looked_up(cache, key) is None, "the second lease still holds"
    await other.fill([(second, b"new")])
    await cache.fill([(first, b"old")])
    assert await looked_up(cache, key) == b"new"


async def test_a_lease_fills_once(cache: SharedCache) -> None:
    key = a_key()
    lease = await a_lease(cache, key)
    await cache.fill([(lease, b"first")])
    await cache.fill([(lease, b"second")])
    assert await looked_up(cache, key) == b"first"


async def test_a_forgotten_value_is_read_again(cache: SharedCache) -> None:
    keys = [a_key() for _ in range(3)]
    await cache.fill([(await a_lease(cache, key), b"x") for key in keys])
    await cache.forget(keys[:2])
    found = await cache.look_up(keys)
    assert [isinstance(value, Lease) for value in found] == [True, True, False]
    await cache.forget([])


async def test_a_lease_ends_after_five_seconds(
    server: CacheServer, cache: SharedCache, other: SharedCache
) -> None:
    key = a_key()
    lease = await a_lease(cache, key)
    await server.pass_time(LEASE_S / 2)
    assert await looked_up(other, key) is None
    await server.pass_time(LEASE_S / 2 + 0.1)
    await cache.fill([(lease, b"late")])
    assert isinstance(await looked_up(other, key), Lease)


async def test_a_value_expires(server: CacheServer, cache: SharedCache) -> None:
    key = a_key()
    await cache.fill([(await a_lease(cache, key), b"x")])
    await server.pass_time(TTL_S - 60)
    assert await looked_up(cache, key) == b"x", "reading doesn't prolong it"
    await server.pass_time(60.1)
    assert isinstance(await looked_up(cache, key), Lease)


async def test_an_evicted_lease_fills_nothing(server: CacheServer, cache: SharedCache) -> None:
    key = a_key()
    lease = await a_lease(cache, key)
    await server.evict(key)
    await cache.fill([(lease, b"x")])
    assert isinstance(await looked_up(cache, key), Lease)


# Epochs and server processes.


async def test_nothing_is_found_or_filled_while_the_epoch_is_unknown(
    cache: SharedCache, other: SharedCache, epoch: Epoch
) -> None:
    filled, open_, user, mary = a_key(), a_key(), fresh("bob"), fresh("mary")
    await cache.fill([(await a_lease(cache, filled), b"x")])
    known = await a_filled_list(cache, user, [b"entry"], end=b"end")
    lease, feed_lease = await a_lease(cache, open_), await a_feed_lease(cache, mary)
    assert cache.usable()
    epoch.known = None
    assert not cache.usable()
    assert await cache.look_up([filled, a_key()]) == [None, None]
    assert await cache.feed(user) is None
    assert await cache.feed(fresh("new")) is None
    await cache.fill([(lease, b"y")])
    await cache.fill_feed(feed_lease, [], end=b"")
    await cache.extend_feed(user, known, [b"older"], end=b"")
    assert await other.look_up([filled, open_]) == [b"x", None]
    assert await other.feed(mary) is None
    assert await other.feed(user) == known


async def test_writers_need_no_epoch(cache: SharedCache, epoch: Epoch, server: CacheServer) -> None:
    writer = await server.client(Epoch(None))
    key, user = a_key(), fresh("bob")
    await cache.fill([(await a_lease(cache, key), b"x")])
    await a_filled_list(cache, user, [])
    await writer.forget([key])
    await writer.push([b"entry"], [user])
    assert isinstance(await looked_up(cache, key), Lease)
    assert (await a_list(cache, user)).entries == (b"entry",)
    await writer.ping()


async def test_another_epochs_values_and_leases_are_never_used(
    cache: SharedCache, epoch: Epoch
) -> None:
    filled, leased, bob, mary = a_key(), a_key(), fresh("bob"), fresh("mary")
    await cache.fill([(await a_lease(cache, filled), b"x")])
    old, old_feed = await a_lease(cache, leased), await a_feed_lease(cache, mary)
    known = await a_filled_list(cache, bob, [b"entry"], end=b"end")
    epoch.known = b"second"
    await cache.fill([(old, b"old")])
    await cache.fill_feed(old_feed, [b"old"], end=b"")
    await cache.extend_feed(bob, known, [b"old"], end=b"")
    for key in (filled, leased):
        await cache.fill([(await a_lease(cache, key), b"new")])
    assert await cache.look_up([filled, leased]) == [b"new", b"new"]
    for user in (bob, mary):
        assert (await a_filled_list(cache, user, [b"new"])).entries == (b"new",)


async def test_a_restarted_servers_values_and_leases_are_never_used(
    server: CacheServer, cache: SharedCache
) -> None:
    filled, leased, bob, mary = a_key(), a_key(), fresh("bob"), fresh("mary")
    await cache.fill([(await a_lease(cache, filled), b"x")])
    old, old_feed = await a_lease(cache, leased), await a_feed_lease(cache, mary)
    known = await a_filled_list(cache, bob, [b"entry"], end=b"end")
    await server.save()
    await server.restart_as_saved()
    await cache.fill([(old, b"old")])
    await cache.fill_feed(old_feed, [b"old"], end=b"")
    await cache.extend_feed(bob, known, [b"old"], end=b"")
    found = await cache.look_up([filled, leased])
    assert [isinstance(value, Lease) for value in found] == [True, True]
    for user in (bob, mary):
        assert (await a_filled_list(cache, user, [b"new"])).entries == (b"new",)


# Feeds.


async def test_a_filled_feed_is_found_by_every_process(
    cache: SharedCache, other: SharedCache
) -> None:
    user = fresh("bob")
    lease = await a_feed_lease(cache, user)
    assert lease.key == feed_key(user)
    assert await other.feed(user) is None, "only one process has the lease"
    await cache.fill_feed(lease, [b"3", b"2"], end=b"2")
    found = await a_list(other, user)
    assert (found.entries, found.end) == ((b"3", b"2"), b"2")


async def test_an_empty_feed_is_kept(cache: SharedCache) -> None:
    found = await a_filled_list(cache, fresh("bob"), [])
    assert (found.entries, found.end) == ((), b"")


async def test_a_feed_of_thousands_of_entries_is_kept(cache: SharedCache) -> None:
    entries = [number.to_bytes(16) + b"author" for number in range(12_000)]
    assert (await a_filled_list(cache, fresh("bob"), entries)).entries == tuple(entries)


async def test_entries_are_pushed_in_front_of_the_lists_that_exist(
    cache: SharedCache, other: SharedCache
) -> None:
    bob, mary, nobody = fresh("bob"), fresh("mary"), fresh("nobody")
    for user in (bob, mary):
        await a_filled_list(cache, user, [b"1"], end=b"1")
    await other.push([b"2", b"3"], [bob, nobody, mary])
    for user in (bob, mary):
        found = await a_list(cache, user)
        assert sorted(found.entries) == [b"1", b"2", b"3"]
        assert found.end == b"1"
    assert isinstance(await cache.feed(nobody), Lease)
    await other.push([], [bob])
    await other.push([b"4"], [])


async def test_what_is_pushed_after_the_lease_stays_in_the_list(
    cache: SharedCache, other: SharedCache
) -> None:
    user = fresh("bob")
    lease = await a_feed_lease(cache, user)
    await other.push([b"3"], [user])
    assert await other.feed(user) is None, "a list without its end is not used"
    await cache.fill_feed(lease, [b"2", b"1"], end=b"1")
    found = await a_list(cache, user)
    assert sorted(found.entries) == [b"1", b"2", b"3"]


async def test_what_was_pushed_before_the_lease_of_another_epoch_is_gone(
    cache: SharedCache, epoch: Epoch
) -> None:
    user = fresh("bob")
    await a_filled_list(cache, user, [b"1"])
    epoch.known = b"second"
    await cache.push([b"2"], [user])
    assert (await a_filled_list(cache, user, [b"3"])).entries == (b"3",)


async def test_a_forgotten_feeds_lease_fills_nothing(
    cache: SharedCache, other: SharedCache
) -> None:
    user = fresh("bob")
    lease = await a_feed_lease(cache, user)
    await other.forget([feed_key(user)])
    await cache.fill_feed(lease, [b"old"], end=b"")
    second = await a_feed_lease(other, user)
    await cache.fill_feed(lease, [b"old"], end=b"")
    assert await cache.feed(user) is None
    await other.fill_feed(second, [b"new"], end=b"")
    await cache.fill_feed(lease, [b"old"], end=b"")
    assert (await a_list(cache, user)).entries == (b"new",)


async def test_a_feeds_lease_ends_after_five_seconds_though_others_ask_and_push(
    server: CacheServer, cache: SharedCache, other: SharedCache
) -> None:
    user = fresh("bob")
    lease = await a_feed_lease(cache, user)
    await server.pass_time(LEASE_S / 2)
    assert await other.feed(user) is None
    await other.push([b"1"], [user])
    await server.pass_time(LEASE_S / 2 + 0.1)
    await cache.fill_feed(lease, [b"late"], end=b"")
    assert (await a_filled_list(other, user, [b"2"])).entries == (b"2",)


async def test_a_feed_lives_on_while_it_is_read(server: CacheServer, cache: SharedCache) -> None:
    user = fresh("bob")
    await a_filled_list(cache, user, [b"1"])
    for _ in range(3):
        await server.pass_time(TTL_S - 60)
        assert (await a_list(cache, user)).entries == (b"1",)
        # A process that asks nothing more prolongs it a moment later.
        await cache.marks([feed_key(user)])
    await cache.push([b"2"], [user])
    await server.pass_time(TTL_S + 0.1)
    assert isinstance(await cache.feed(user), Lease)


async def test_a_list_is_extended_at_its_end(cache: SharedCache, other: SharedCache) -> None:
    user = fresh("bob")
    known = await a_filled_list(cache, user, [b"9", b"8"], end=b"8")
    await other.push([b"10"], [user])
    await cache.extend_feed(user, known, [b"7", b"6"], end=b"6")
    found = await a_list(other, user)
    assert found.end == b"6"
    assert sorted(found.entries) == [b"10", b"6", b"7", b"8", b"9"]
    await cache.extend_feed(user, known, [b"7", b"6"], end=b"6")
    assert await a_list(other, user) == found, "its end has changed since"
    await cache.extend_feed(user, found, [], end=b"")
    assert (await a_list(other, user)).end == b""


async def test_a_list_filled_again_to_the_same_end_is_not_extended(
    cache: SharedCache, other: SharedCache
) -> None:
    """A write between the two lists may have been pushed to the first one only."""
    user = fresh("bob")
    known = await a_filled_list(cache, user, [b"9"], end=b"9")
    await other.push([b"5"], [user])
    await other.forget([feed_key(user)])
    again = await a_filled_list(other, user, [b"9"], end=b"9")
    await cache.extend_feed(user, known, [b"4"], end=b"4")
    assert await a_list(cache, user) == again


async def test_a_list_that_is_gone_or_leased_is_not_extended(
    cache: SharedCache, other: SharedCache
) -> None:
    user = fresh("bob")
    known = await a_filled_list(cache, user, [b"9"], end=b"9")
    await other.forget([feed_key(user)])
    await cache.extend_feed(user, known, [b"8"], end=b"8")
    await a_feed_lease(other, user)
    await cache.extend_feed(user, known, [b"8"], end=b"8")
    assert await cache.feed(user) is None


async def test_a_list_is_not_extended_beyond_twice_the_feeds_depth(cache: SharedCache) -> None:
    """It would be read whole, by each page, until the next delivery ends it."""
    user = fresh("bob")
    known = await a_filled_list(cache, user, [b"9"] * FEED_DEPTH, end=b"9")
    await cache.extend_feed(user, known, [b"8"] * (FEED_DEPTH + 1), end=b"8")
    assert await a_list(cache, user) == known
    await cache.extend_feed(user, known, [b"8"] * FEED_DEPTH, end=b"8")
    assert (await a_list(cache, user)).end == b"8"


async def test_a_list_beyond_twice_the_feeds_depth_is_forgotten(cache: SharedCache) -> None:
    user, calm = fresh("bob"), fresh("calm")
    for name in (user, calm):
        await a_filled_list(cache, name, [b"0"] * FEED_DEPTH)
    await cache.push([b"1"] * (FEED_DEPTH - 1), [user, calm])
    assert len((await a_list(cache, user)).entries) == 2 * FEED_DEPTH - 1
    await cache.push([b"2"] * 2, [user])
    assert isinstance(await cache.feed(user), Lease)
    assert isinstance(await cache.feed(calm), FeedList)


# Marks.


async def the_mark(cache: SharedCache, key: str) -> bytes:
    marks = await cache.marks([key])
    assert marks is not None
    return marks[0]


async def test_a_mark_changes_with_each_fill_and_is_the_same_for_every_process(
    cache: SharedCache, other: SharedCache
) -> None:
    key = a_key()
    assert await the_mark(cache, key) == b""
    lease = await a_lease(cache, key)
    assert await the_mark(cache, key) == b"", "a lease is no value"
    await cache.fill([(lease, b"x")])
    first = await the_mark(cache, key)
    assert first
    await looked_up(other, key)
    assert await the_mark(other, key) == first, "what is only read is unchanged"
    await other.forget([key])
    assert await the_mark(cache, key) == b""
    await cache.fill([(await a_lease(cache, key), b"x")])
    assert await the_mark(cache, key) not in (b"", first), "the same value, filled again"


async def test_a_list_s_mark_changes_with_each_push_and_each_fill(
    cache: SharedCache, other: SharedCache
) -> None:
    user = fresh("bob")
    key = feed_key(user)
    lease = await a_feed_lease(cache, user)
    await other.push([b"3"], [user])
    assert await the_mark(cache, key) == b"", "a list without its end is not used"
    await cache.fill_feed(lease, [b"2"], end=b"2")
    marks = [await the_mark(cache, key)]
    await a_list(cache, user)
    assert await the_mark(other, key) == marks[0]
    for entry in (b"1", b"1"):
        await other.push([entry], [user])
        marks.append(await the_mark(cache, key))
    await cache.forget([key])
    assert await the_mark(cache, key) == b""
    await a_filled_list(cache, user, [b"3", b"2", b"1", b"1"], end=b"1")
    marks.append(await the_mark(cache, key))
    assert len({*marks, b""}) == 5


async def test_thousands_of_marks_come_in_the_order_of_their_keys(cache: SharedCache) -> None:
    users = [fresh("bob") for _ in range(20)]
    values = [a_key() for _ in range(2_500)]
    keys = [*values, *map(feed_key, users)]
    for user in users[::2]:
        await a_filled_list(cache, user, [b"1"])
    leases = [lease for lease in await cache.look_up(values[::2]) if isinstance(lease, Lease)]
    await cache.fill([(lease, b"x") for lease in leases])
    marks = await cache.marks(keys)
    assert marks is not None
    assert [bool(mark) for mark in marks] == [number % 2 == 0 for number in range(len(keys))]
    assert await cache.marks([]) == []


async def test_asking_for_marks_leases_nothing_and_lets_nothing_live_longer(
    server: CacheServer, cache: SharedCache
) -> None:
    key, user = a_key(), fresh("bob")
    await cache.marks([key, feed_key(user)])
    await cache.fill([(await a_lease(cache, key), b"x")])
    await cache.fill_feed(await a_feed_lease(cache, user), [b"1"], end=b"")
    await server.pass_time(TTL_S - 60)
    assert await cache.marks([key, feed_key(user)]) not in (None, [b"", b""])
    await server.pass_time(60.1)
    assert await cache.marks([key, feed_key(user)]) == [b"", b""]


async def test_another_epoch_s_values_have_no_marks_and_without_an_epoch_none_are_known(
    cache: SharedCache, epoch: Epoch
) -> None:
    key, user = a_key(), fresh("bob")
    await cache.fill([(await a_lease(cache, key), b"x")])
    await a_filled_list(cache, user, [b"1"])
    epoch.known = None
    assert await cache.marks([key, feed_key(user)]) is None
    epoch.known = b"second"
    assert await cache.marks([key, feed_key(user)]) == [b"", b""]


async def test_memory_is_told_by_kind(cache: SharedCache, other: SharedCache, epoch: Epoch) -> None:
    keys, value = [fresh("post:x") for _ in range(50)], bytes(10_000)
    leases = [found for found in await cache.look_up(keys) if isinstance(found, Lease)]
    await cache.fill([(lease, value) for lease in leases])
    # One look may miss the kind among what other tests have left.
    looks = [await other.memory() for _ in range(10)]
    posts = sum(look["post"] for look in looks if look and "post" in look) / 10
    assert 0.3 * 50 * len(value) < posts < 3 * 50 * len(value)
    epoch.known = None
    assert await cache.memory() is None
