"""Reads through the shared cache: what is taken from it, what isn't, and what it saves."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import orjson
import pytest

from fanfold.core.cache_keys import feed_key, name_key, post_key, pulled_key
from fanfold.core.ids import new_post_id
from fanfold.core.ports.shared_cache import Lease
from fanfold.http.post_resource import Author
from feed_service.caches import packing
from feed_service.caches.cache import Incomplete
from feed_service.caches.shared_reads import SharedReads
from feed_service.query.items import FeedPage
from tests.support.feed import Reader, World

WRONG: list[Any] = [[1], {}, 1.5]


@pytest.fixture
async def world() -> World:
    world = World(cached=True, celebrities={"star"})
    await world.cache_epoch.read()
    return world


def reads(world: World) -> SharedReads:
    return SharedReads(
        stores=world.stores,
        cache=world.cache,
        retention_ms=world.settings.retention_ms,
        clock=world.clock,
        budget_s=1,
        listed_likes=5,
    )


async def fill(world: World, key: str, value: bytes) -> None:
    (lease,) = await world.cache.look_up([key])
    assert isinstance(lease, Lease)
    await world.cache.fill([(lease, value)])


async def test_a_second_process_reads_a_feed_without_the_tables(world: World) -> None:
    await world.happen(world.a_name("bob", "Bob"))
    await world.follow("alice", "bob", "star")
    for author in ("bob", "star"):
        await world.post(author)
    await world.cache_epoch.read()
    first, _ = await Reader(world).page("alice", ranking="relevance")
    stores = (world.posts, world.graph, world.timelines, world.likes, world.pulled_authors)
    for store in stores:
        store.calls.clear()
    second, missing = await Reader(world).page("alice", ranking="relevance")
    assert (second.items, missing) == (first.items, [])
    assert len(second.items) == 2
    # Which authors are pulled is known to each process.
    assert sum((store.calls for store in stores), start=type(stores[0].calls)()) == {
        "page": 1,
        "announced": 1,
    }


async def test_a_viewer_s_own_values_are_one_question(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.follow("alice", "bob")
    await world.post("bob")
    await world.cache_epoch.read()
    first, _ = await Reader(world).page("alice", ranking="relevance")
    asked: list[set[str]] = []
    look_up, feed = type(world.cache).look_up, type(world.cache).feed

    async def looked_up(cache: Any, keys: Sequence[str]) -> Any:
        asked.append({key.partition(":")[0] for key in keys})
        return await look_up(cache, keys)

    async def fed(cache: Any, user_id: str) -> Any:
        asked.append({"feed"})
        return await feed(cache, user_id)

    monkeypatch.setattr(type(world.cache), "look_up", looked_up)
    monkeypatch.setattr(type(world.cache), "feed", fed)
    again, _ = await Reader(world).page("alice", ranking="relevance")
    assert again.items == first.items
    # The list after the graph, never the other way round.
    assert asked[:3] == [{"graph", "authored", "recent_likes"}, {"feed"}, {"like_count"}]
    assert sorted(asked[3:], key=len) == [{"name"}, {"post", "like_count"}]


async def test_a_cache_that_cant_be_used_is_asked_for_no_value(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hundreds of keys would be made for each page, for nothing."""
    post_id = await world.post("bob")
    world.clock.advance(2)  # what is known of the outages is too old
    monkeypatch.delattr(type(world.cache), "look_up")
    assert set(await reads(world).posts([post_id.int])) == {post_id.int}
    assert await reads(world).names(["bob"]) == {"bob": Author("bob")}


async def test_only_readers_who_read_have_a_list(world: World) -> None:
    await world.follow("alice", "bob")
    await world.follow("carol", "bob")
    await Reader(world).page("alice")
    await world.post("bob")
    assert feed_key("alice") in world.cache_server.kept
    assert feed_key("carol") not in world.cache_server.kept


async def test_old_posts_are_not_taken_for_new_ones_while_the_tables_are_away(world: World) -> None:
    """A source that can't be read is missing, and reported as such."""
    await fill(world, pulled_key("star"), b"no json")
    world.timelines.away.add("pulled")
    assert await reads(world).pulled(["star"]) == {}


async def test_while_the_tables_are_away_what_is_cached_is_found(world: World) -> None:
    for user in ("bob", "carol"):
        await world.happen(world.a_name(user, user.capitalize()))
    known, unknown = await world.post("bob"), await world.post("bob")
    await reads(world).names(["bob"])
    await reads(world).posts([known.int])
    world.posts.away.add("get")
    world.graph.away.add("get_many")
    with pytest.raises(Incomplete) as incomplete:
        await reads(world).posts([known.int, unknown.int])
    assert set(incomplete.value.found) == {known.int}
    with pytest.raises(Incomplete) as incomplete:
        await reads(world).names(["bob", "carol"])
    assert incomplete.value.found == {"bob": Author("Bob")}


def test_pulled_posts_are_unpacked_as_they_were_packed() -> None:
    numbers = [new_post_id(1_000 + n).int for n in range(50)]
    assert packing.unpack_pulled(packing.pack_pulled(numbers)) == numbers
    assert packing.unpack_pulled(packing.pack_pulled([])) == []


@pytest.mark.parametrize(
    "value", [b'"AAAA"', b'"?"', b'[3, ["018f0000-0000-7000-8000-000000000000"]]']
)
async def test_pulled_posts_that_cant_be_read_are_read_from_the_tables(
    world: World, value: bytes
) -> None:
    post_id = await world.post("star")
    await fill(world, pulled_key("star"), value)
    assert await reads(world).pulled(["star"]) == {"star": [post_id.int]}


@pytest.mark.parametrize(
    "value", [b"", b"{", b"[]", b"17", b"[1, 2, 3, 4, 5, 6]", b"[null, 1]", b'["x", 1]', b"\xff"]
)
async def test_a_value_that_cant_be_read_is_read_from_the_tables(
    world: World, value: bytes
) -> None:
    await world.happen(world.a_name("bob", "Bob"))
    post_id = await world.post("bob", content="hello")
    await fill(world, name_key("bob"), value)
    await fill(world, post_key(post_id), value)
    assert await reads(world).names(["bob"]) == {"bob": Author("Bob")}
    assert (await reads(world).posts([post_id.int]))[post_id.int].content == "hello"


@pytest.fixture
async def read(world: World) -> FeedPage:
    """A feed that is in the cache: pushed, pulled and own posts."""
    await world.happen(world.a_name("bob", "Bob"))
    await world.follow("alice", "bob", "star")
    for author in ("bob", "star", "alice"):
        await world.post(author)
    await world.cache_epoch.read()
    page, _ = await Reader(world).page("alice", ranking="relevance")
    assert len(page.items) == 3
    return page


@pytest.mark.slow
async def test_no_value_of_a_wrong_form_changes_a_feed(world: World, read: FeedPage) -> None:
    kept = world.cache_server.snapshot()
    values = {key: orjson.loads(held.payload) for key, held in kept.items() if held.payload}
    assert {key.partition(":")[0] for key in values} == {
        "authored", "graph", "like_count", "name", "post", "pulled", "recent_likes",
    }  # fmt: skip
    for key, parts in values.items():
        for index, part in enumerate(parts):
            for wrong in WRONG:
                if type(wrong) is type(part):
                    continue
                world.cache_server.kept = deepcopy(kept)
                changed = orjson.dumps([*parts[:index], wrong, *parts[index + 1 :]])
                world.cache_server.kept[key].payload = changed
                await world.cache_epoch.read()
                page, missing = await Reader(world).page("alice", ranking="relevance")
                assert (page.items, missing) == (read.items, []), f"{key} {changed!r}"


@pytest.mark.parametrize("end", [b"x", bytes(15), b"\xff" * 40])
async def test_a_list_without_a_readable_end_is_not_used(
    world: World, read: FeedPage, end: bytes
) -> None:
    world.cache_server.kept[feed_key("alice")].end = end
    page, _ = await Reader(world).page("alice", ranking="relevance")
    assert page.items == read.items


@pytest.mark.parametrize("entry", [b"", b"x", b"\xff" * 16, b"\xff" * 30])
async def test_an_entry_that_cant_be_read_is_passed_over(
    world: World, read: FeedPage, entry: bytes
) -> None:
    world.cache_server.kept[feed_key("alice")].entries.append(entry)
    page, _ = await Reader(world).page("alice", ranking="relevance")
    assert page.items == read.items


async def test_an_older_part_is_added_to_the_list(world: World) -> None:
    await world.follow("alice", "bob")
    for ago_s in range(30):
        await world.post("bob", ago_s=ago_s)
    await Reader(world).whole("alice", limits=[5])
    world.timelines.calls.clear()
    assert len(await Reader(world).whole("alice", limits=[5])) == 30
    assert world.timelines.calls["timeline"] == 0


async def test_packed_values_are_read_as_they_were(world: World) -> None:
    await world.follow("alice", "bob", "star")
    await world.happen(world.a_tie("mute", "alice", "star"))
    graph = await reads(world).viewer_graph("alice")
    assert packing.unpack_graph(packing.pack_graph(graph)) == graph
    likes = await reads(world).recent_likes("alice")
    assert packing.unpack_recent_likes(packing.pack_recent_likes(likes)) == likes
