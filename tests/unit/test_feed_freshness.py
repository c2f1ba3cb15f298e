"""Races between the log, the worker and the caches: no value that is older than the log has shown is cached.

Each race is played with every cell that is cached. A *change* is published (the tail applies it) and projected (the
worker writes it), in either order, before, after or during a load.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from fanfold.core.events import PostCreated
from feed_service.caches.cached_reads import COUNTS_S
from tests.support.feed import Change, FaultyStore, Reader, World, a_reader
from tests.support.liking import a_departure, a_like, an_unlike

Shown = tuple[object, ...]


@dataclass
class Case:
    """A cell of the tables: the store's method that reads it, a change of it, and what Alice sees of it."""

    store: FaultyStore
    method: str
    change: Callable[[], Change]
    look: Callable[[Reader], Awaitable[Shown]]
    before: Shown
    after: Shown


async def contents(reader: Reader) -> Shown:
    return tuple(item.content for item in await reader.whole("alice"))


async def names(reader: Reader) -> Shown:
    return tuple({item.author for item in await reader.whole("alice") if item.author_id == "bob"})


async def liked(reader: Reader) -> Shown:
    return tuple(item.liked_by_me for item in await reader.whole("alice"))


async def counts(world: World, reader: Reader) -> Shown:
    world.clock.advance(COUNTS_S)  # a count's maximum extra staleness
    return tuple(item.like_count for item in await reader.whole("alice"))


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
    store, method, change, look, before, after = {
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
            *(world.posts, "get", partial(a_like, world, "carol", post_id), partial(counts, world)),
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
    return Case(store, method, change, look, before, after)


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


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def reader(world: World) -> AsyncIterator[Reader]:
    async with a_reader(world) as opened:
        yield opened


@pytest.fixture(params=KINDS)
async def case(request: pytest.FixtureRequest, world: World, reader: Reader) -> Case:
    return await build(request.param, world)


def forget(world: World, reader: Reader) -> None:
    """Let every cached value expire, so that the next read loads."""
    world.clock.advance(world.settings.cache_ttl_s)


async def test_a_warm_read_loads_nothing(case: Case, reader: Reader) -> None:
    assert await case.look(reader) == case.before
    loads = case.store.calls[case.method]
    assert await case.look(reader) == case.before
    assert case.store.calls[case.method] == loads


async def test_a_change_is_seen_at_the_next_read_and_then_cached(
    case: Case, world: World, reader: Reader
) -> None:
    assert await case.look(reader) == case.before
    await world.happen(case.change())
    assert await case.look(reader) == case.after
    loads = case.store.calls[case.method]
    assert await case.look(reader) == case.after
    assert case.store.calls[case.method] == loads, "the new value is not cached"


async def test_a_change_that_is_published_first_is_seen_as_soon_as_it_is_projected(
    case: Case, world: World, reader: Reader
) -> None:
    assert await case.look(reader) == case.before
    change = case.change()
    world.publish(change)
    early = await case.look(reader)
    assert early in (case.before, case.after)
    await change.project()
    assert await case.look(reader) == case.after
    forget(world, reader)
    assert await case.look(reader) == case.after


async def test_a_change_that_is_projected_first_is_seen_as_soon_as_it_is_published(
    case: Case, world: World, reader: Reader
) -> None:
    assert await case.look(reader) == case.before
    change = case.change()
    await change.project()
    world.publish(change)
    assert await case.look(reader) == case.after


async def test_a_load_that_began_before_the_change_is_not_cached(
    case: Case, world: World, reader: Reader
) -> None:
    release = case.store.pause_after(case.method)
    look = asyncio.ensure_future(case.look(reader))
    await case.store.until_paused(case.method)
    await world.happen(case.change())
    release()
    assert await look in (case.before, case.after)
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
    await world.happen(case.change())
    assert await case.look(reader) == case.after
    release()
    await slow
    assert await case.look(reader) == case.after


async def test_while_the_tail_is_behind_the_caches_are_bypassed(
    case: Case, world: World, reader: Reader
) -> None:
    assert await case.look(reader) == case.before
    reader.trusted = False
    change = case.change()
    await change.project()
    assert await case.look(reader) == case.after
    world.publish(change)
    reader.trusted = True
    assert await case.look(reader) == case.after


async def test_successive_changes_are_seen_however_many_are_projected(
    world: World, reader: Reader
) -> None:
    await world.follow("alice", "bob")
    post_id = await world.post("bob", content="0", ago_s=100)
    edits = [world.an_edit(post_id, str(n)) for n in (1, 2)]
    for edit in edits:
        world.publish(edit)
    await edits[0].project()
    assert await contents(reader) == ("1",)
    await edits[1].project()
    assert await contents(reader) == ("2",)


async def test_an_edit_that_changes_nothing_lets_the_post_be_cached_again(
    world: World, reader: Reader
) -> None:
    await world.follow("alice", "bob")
    post_id = await world.post("bob", content="same")
    edit = world.an_edit(post_id, "same")
    world.publish(edit)
    await world.stores.posts.note_offset(post_id, offset=edit.offset)
    for _ in range(2):
        assert await contents(reader) == ("same",)
    assert world.posts.calls["get"] == 1


async def test_an_own_post_is_cached_once_its_delivery_is_known(
    world: World, reader: Reader
) -> None:
    planned = world.a_post("alice", strategy="pull")
    assert isinstance(planned.event, PostCreated)
    post_id = planned.event.post_id
    world.publish(planned)
    await world.stores.posts.create(post_id, "alice", "mine")
    (item,) = await reader.whole("alice")
    assert item.source == "push"
    await planned.project()
    (item,) = await reader.whole("alice")
    assert item.source == "pull"
    asked = world.posts.calls["by_author"]
    await reader.whole("alice")
    assert world.posts.calls["by_author"] == asked


async def test_a_name_in_the_log_is_shown_before_the_tables_have_it(
    world: World, reader: Reader
) -> None:
    await world.post("bob")
    for name in ("A", "B", "A"):
        world.publish(world.a_name("bob", name))
    (item,) = await reader.whole("bob")
    assert item.author == "A"


# --- celebrities ---------------------------------------------------------------------------------------


async def test_a_celebrity_s_newest_posts_are_read_again_only_after_a_new_post(
    world: World, reader: Reader
) -> None:
    world.celebrities.add("star")
    await world.follow("alice", "star")
    posts = [await world.post("star", ago_s=10)]
    assert await reader.ids("alice") == posts
    for _ in range(3):
        world.clock.advance(1)
        assert await reader.ids("alice") == posts
    assert world.timelines.calls["pulled"] == 1
    posts.insert(0, await world.post("star"))
    world.clock.advance(1)
    assert await reader.ids("alice") == posts
    assert world.timelines.calls["pulled"] == 2


async def test_newest_posts_loaded_while_a_post_arrives_are_not_taken_for_the_newer_version(
    world: World, reader: Reader
) -> None:
    world.celebrities.add("star")
    await world.follow("alice", "star")
    first = await world.post("star", ago_s=10)
    release = world.timelines.pause_after("pulled")
    look = asyncio.create_task(reader.ids("alice"))
    await world.timelines.until_paused("pulled")
    second = await world.post("star")
    release()
    assert await look == [first]
    world.clock.advance(1)
    assert await reader.ids("alice") == [second, first]


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


async def test_a_warm_read_is_one_timeline_query(world: World, reader: Reader) -> None:
    world.celebrities |= {f"star-{n}" for n in range(20)}
    await world.follow("alice", "bob", *sorted(world.celebrities))
    for n, author in enumerate(["alice", "bob", *sorted(world.celebrities)]):
        await world.post(author, ago_s=n)
    doors = (world.posts, world.graph, world.timelines, world.likes)
    await reader.page("alice", ranking="relevance")
    for store in doors:
        store.calls.clear()
    page, _ = await reader.page("alice", ranking="relevance")
    assert len(page.items) == 10
    assert sum((store.calls for store in doors), start=type(doors[0].calls)()) == {"timeline": 1}


async def test_a_backfill_that_ends_between_two_reads_hides_nothing(
    world: World, reader: Reader
) -> None:
    """A viewer graph says that a timeline is complete only if the timeline is read after it."""
    for n in range(3):
        await world.post("bob", ago_s=100 + n)
    await world.follow("alice", "bob", backfilled=False)
    assert len(await reader.ids("alice")) == 3
    world.clock.advance(2)  # the graph of a viewer with a backfill is cached for a second
    release = world.graph.pause_before("following")
    reading = asyncio.create_task(reader.page("alice"))
    await world.graph.until_paused("following")
    await world.backfill("alice", "bob")
    release()
    page, _ = await reading
    assert (len(page.items), page.complete) == (3, True)
