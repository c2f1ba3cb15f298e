"""A change is seen half a second after the tables show it, whatever was read before or at that time.

Each race is played with every cell that is cached, with the shared cache and without.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from fanfold.core.cache_keys import feed_key
from fanfold.core.ports.log import Position
from fanfold.http.positions import Written
from feed_service.caches.cache import SHARED_S
from feed_service.query.items import FeedItem
from tests.support.feed import Change, FaultyStore, Reader, World, a_reader
from tests.support.liking import a_departure, a_like, an_unlike

Shown = tuple[object, ...]


@dataclass
class Case:
    """A cell of the tables: the store's method that reads it, a change of it, and what Alice sees of it."""

    store: FaultyStore
    method: str
    change: Callable[[], Change]
    sees: Callable[[Sequence[FeedItem]], Shown]
    before: Shown
    after: Shown

    async def look(self, reader: Reader) -> Shown:
        return self.sees(await reader.whole("alice"))


def contents(items: Sequence[FeedItem]) -> Shown:
    return tuple(item.content for item in items)


def names(items: Sequence[FeedItem]) -> Shown:
    return tuple({item.author for item in items if item.author_id == "bob"})


def liked(items: Sequence[FeedItem]) -> Shown:
    return tuple(item.liked_by_me for item in items)


def counts(items: Sequence[FeedItem]) -> Shown:
    return tuple(item.like_count for item in items)


async def build(kind: str, world: World) -> Case:
    """Alice follows Bob, who has one post. Carol has one too, and Alice follows her or will."""
    await world.follow("alice", "bob")
    post_id = await world.post("bob", content="old", ago_s=100)
    await world.post("carol", content="carol's", ago_s=200)
    await world.happen(world.a_name("bob", "Bob"))
    if kind == "unlike":
        await world.happen(a_like(world, "alice", post_id))
    elif kind.startswith("un") and kind != "unfollow":
        await world.happen(world.a_tie(kind.removeprefix("un"), "alice", "bob"))
    store, method, change, sees, before, after = {
        "edit": (
            world.posts,
            "get",
            partial(world.an_edit, post_id, "new"),
            contents,
            OLD,
            ("new",),
        ),
        "delete": (world.posts, "get", partial(world.a_deletion, post_id), contents, OLD, ()),
        "follow": (*_follows(world, world.a_follow, "carol"), OLD, ("old", "carol's")),
        "unfollow": (*_follows(world, world.an_unfollow, "bob"), OLD, ()),
        "own post": (
            *(world.posts, "by_author", partial(world.a_post, "alice", content="mine"), contents),
            *(OLD, ("mine", "old")),
        ),
        "rename": (
            *(world.graph, "get_many", partial(world.a_name, "bob", "Robert"), names),
            *(("Bob",), ("Robert",)),
        ),
        "mute": (*_ties(world, "mute", "mutes"), OLD, ()),
        "unmute": (*_ties(world, "unmute", "mutes"), (), OLD),
        "block": (*_ties(world, "block", "blocks_with"), OLD, ()),
        "unblock": (*_ties(world, "unblock", "blocks_with"), (), OLD),
        "blocked by": (
            *(world.graph, "blocks_with", partial(world.a_tie, "block", "bob", "alice"), contents),
            *(OLD, ()),
        ),
        "like": (
            *(world.posts, "get", partial(a_like, world, "carol", post_id), counts),
            *((0,), (1,)),
        ),
        "own like": (
            *(world.likes, "recent", partial(a_like, world, "alice", post_id), liked),
            *((False,), (True,)),
        ),
        "unlike": (
            *(world.likes, "recent", partial(an_unlike, world, "alice", post_id), liked),
            *((True,), (False,)),
        ),
        "leave": (world.graph, "get_many", partial(a_departure, world, "bob"), contents, OLD, ()),
    }[kind]
    return Case(store, method, change, sees, before, after)


OLD = ("old",)


def _follows(world: World, change: Callable[..., Change], followee: str) -> tuple[Any, ...]:
    return world.graph, "following", partial(change, "alice", followee), contents


def _ties(world: World, kind: str, method: str) -> tuple[Any, ...]:
    return world.graph, method, partial(world.a_tie, kind, "alice", "bob"), contents


KINDS = (
    *("edit", "delete", "follow", "unfollow", "own post", "rename"),
    *("mute", "unmute", "block", "unblock", "blocked by"),
    *("like", "own like", "unlike", "leave"),
)


@pytest.fixture(params=[False, True], ids=["tables alone", "shared cache"])
async def world(request: pytest.FixtureRequest) -> World:
    world = World(cached=request.param)
    await world.cache_epoch.read()
    return world


@pytest.fixture
async def reader(world: World) -> AsyncIterator[Reader]:
    async with a_reader(world, kept_s=SHARED_S) as opened:
        yield opened


@pytest.fixture(params=KINDS)
async def case(request: pytest.FixtureRequest, world: World, reader: Reader) -> Case:
    return await build(request.param, world)


async def half_a_second(world: World) -> None:
    world.clock.advance(SHARED_S)
    await world.cache_epoch.read()


async def test_a_change_is_seen_half_a_second_after_the_tables_show_it(
    case: Case, world: World, reader: Reader
) -> None:
    assert await case.look(reader) == case.before
    change = case.change()
    await half_a_second(world)
    assert await case.look(reader) == case.before
    await change.project()
    assert await case.look(reader) in (case.before, case.after)
    await half_a_second(world)
    assert await case.look(reader) == case.after


async def test_a_load_that_began_before_the_change_is_used_no_longer_than_half_a_second(
    case: Case, world: World, reader: Reader
) -> None:
    release = case.store.pause_after(case.method)
    look = asyncio.ensure_future(case.look(reader))
    await case.store.until_paused(case.method)
    await case.change().project()
    world.clock.advance(SHARED_S / 2)
    release()
    assert await look in (case.before, case.after)
    world.clock.advance(SHARED_S / 2)
    assert await case.look(reader) == case.after


async def test_a_slow_load_does_not_replace_a_newer_one(
    case: Case, world: World, reader: Reader
) -> None:
    if case.method == "get_many":
        # Otherwise the paused call would be that of the viewer graph, which reads the viewer's own row.
        await reader.reads.viewer_graph("alice")
    release = case.store.pause_after(case.method)
    slow = asyncio.ensure_future(case.look(reader))
    await case.store.until_paused(case.method)
    case.store._pauses_after.clear()  # only the slow load is paused
    await case.change().project()
    await half_a_second(world)
    assert await case.look(reader) == case.after
    release()
    await slow
    assert await case.look(reader) == case.after


async def test_a_request_that_awaits_the_change_sees_it_at_once(
    case: Case, world: World, reader: Reader
) -> None:
    """Whatever this process or the shared cache holds."""
    assert await case.look(reader) == case.before
    change, held = case.change(), world.cache_server.snapshot()
    await change.project()
    # The worker has not told the cache yet; deliveries it tells before it marks a follow as materialised.
    kept = world.cache_server.kept
    kept |= {key: value for key, value in held.items() if key != feed_key("alice")}
    written = Written(Position(change.event.topic, 0, change.offset), change.event.changes())
    awaited = await reader.after_writes("alice", [written])
    assert not awaited.behind
    page, missing = await reader.feeds.page(
        "alice", ranking="chronological", limit=10, cursor=None, awaited=awaited
    )
    assert missing == []
    assert case.sees(page.items) == case.after


async def test_what_many_readers_share_is_read_twice_a_second(world: World) -> None:
    """Without a shared cache: posts, names and celebrities' newest posts."""
    world.celebrities |= {f"star-{n}" for n in range(20)}
    await world.follow("alice", "bob", *sorted(world.celebrities))
    for n, author in enumerate(["alice", "bob", *sorted(world.celebrities)]):
        await world.post(author, ago_s=n)
    async with a_reader(world, kept_s=SHARED_S) as reader:
        await reader.page("alice", ranking="relevance")
        doors = (world.posts, world.graph, world.timelines, world.likes)
        for store in doors:
            store.calls.clear()
        page, _ = await reader.page("alice", ranking="relevance")
        assert len(page.items) == 10
        asked = sum((store.calls for store in doors), start=type(doors[0].calls)())
        own = {"following", "mutes", "get", "blocks_with", "recent", "by_author", "timeline"}
        assert asked == ({} if world.cached else dict.fromkeys(own, 1))


async def test_requests_for_a_cold_post_share_one_load(world: World, reader: Reader) -> None:
    fans = [f"fan-{n}" for n in range(200)]
    for fan in fans:
        await world.follow(fan, "bob")
    post_id = await world.post("bob")
    release = world.posts.pause_after("get")
    looks = [asyncio.create_task(reader.ids(fan)) for fan in fans]
    await world.posts.until_paused("get")
    release()
    assert await asyncio.gather(*looks) == [[post_id]] * len(fans)
    assert world.posts.calls["get"] == 1


# --- celebrities ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("cached", [False, True])
async def test_a_celebrity_s_newest_posts_are_read_again_after_half_a_second_at_most(
    cached: bool,
) -> None:
    """From the tables only where no shared cache has them, or after a new post."""
    world = World(celebrities={"star"}, cached=cached)
    reader = Reader(world)
    await world.cache_epoch.read()
    await world.follow("alice", "star")
    await world.follow("bob", "star")
    posts = [await world.post("star", ago_s=10)]
    for _ in range(3):
        for fan in ("alice", "bob"):
            assert await reader.ids(fan) == posts
        world.clock.advance(SHARED_S)
        await world.cache_epoch.read()
    assert world.timelines.calls["pulled"] == (1 if cached else 3)
    assert await reader.ids("alice") == posts
    asked = world.timelines.calls["pulled"]
    posts.insert(0, await world.post("star"))
    world.clock.advance(SHARED_S - 0.01)
    assert await reader.ids("alice") == posts[1:]
    world.clock.advance(0.01)
    assert await reader.ids("alice") == posts
    assert world.timelines.calls["pulled"] == asked + 1


async def test_newest_posts_that_took_long_to_load_are_soon_read_again(
    world: World, reader: Reader
) -> None:
    """The half second begins with the load, not at its end."""
    first, second = await looks_while_a_star_posts(world, reader, load_takes_s=SHARED_S)
    assert await reader.ids("alice") == [second, first]


async def test_newest_posts_loaded_while_a_post_arrives_are_not_kept_for_long(
    world: World, reader: Reader
) -> None:
    first, second = await looks_while_a_star_posts(world, reader, load_takes_s=0)
    world.clock.advance(1)
    assert await reader.ids("alice") == [second, first]


async def looks_while_a_star_posts(
    world: World, reader: Reader, *, load_takes_s: float
) -> tuple[UUID, UUID]:
    """Alice sees a star's first post, and not the second, which arrives while the first is loaded. Returns both."""
    world.celebrities.add("star")
    await world.follow("alice", "star")
    first = await world.post("star", ago_s=10)
    release = world.timelines.pause_after("pulled")
    look = asyncio.create_task(reader.ids("alice"))
    await world.timelines.until_paused("pulled")
    second = await world.post("star")
    world.clock.advance(load_takes_s)
    release()
    assert await look == [first]
    return first, second


async def test_requests_for_a_cold_celebrity_share_one_load(world: World, reader: Reader) -> None:
    world.celebrities.add("star")
    fans = [f"fan-{n}" for n in range(200)]
    for fan in fans:
        await world.follow(fan, "star")
    post_id = await world.post("star")
    release = world.timelines.pause_after("pulled")
    looks = [asyncio.create_task(reader.ids(fan)) for fan in fans]
    await world.timelines.until_paused("pulled")
    release()
    assert await asyncio.gather(*looks) == [[post_id]] * len(fans)
    assert world.timelines.calls["pulled"] == 1


async def test_a_backfill_that_ends_between_two_reads_hides_nothing(
    world: World, reader: Reader
) -> None:
    """A viewer graph says that a timeline is complete only if the timeline is read after it."""
    for n in range(3):
        await world.post("bob", ago_s=100 + n)
    await world.follow("alice", "bob", backfilled=False)
    assert len(await reader.ids("alice")) == 3
    world.cache_server.kept.clear()
    release = world.graph.pause_before("following")
    reading = asyncio.create_task(reader.page("alice"))
    await world.graph.until_paused("following")
    await world.backfill("alice", "bob")
    release()
    page, _ = await reading
    assert (len(page.items), page.complete) == (3, True)
