"""Presence: reads are noted and sleepers woken, once, and never at the viewer's cost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest

from fanfold.core.events import UserWoke, from_ms
from fanfold.core.ports import Pointer
from feed_service.presence import GATHERED_S, NOTED_S, WAKING_S, Presence
from feed_service.query.cursor import Ranking
from tests.support.clock import START_MS
from tests.support.feed import Reader, World, a_feed_client, a_reader
from tests.support.virtual_loop import run_on_virtual_time

AT = from_ms(START_MS)


@asynccontextmanager
async def a_presence(world: World, *, most: int = 100) -> AsyncIterator[tuple[Presence, Reader]]:
    """One process's presence, and the reader with its log and stores."""
    async with a_reader(world) as reader:
        presence = Presence(
            reader.log,  # type: ignore[arg-type]
            world.stores.activity,
            clock=world.clock,
            most_remembered=most,
        )
        yield presence, reader
        await presence.close()


async def settled(world: World) -> None:
    """Let the background tasks end: a second later they are no more."""
    await asyncio.sleep(0)
    world.clock.advance(GATHERED_S)
    await asyncio.gather(*in_background())


def in_background() -> list[asyncio.Task[None]]:
    return [task for task in asyncio.all_tasks() if task.get_name().startswith("presence")]


# --- notes ---------------------------------------------------------------------------------------------


async def test_a_read_is_noted_once_a_day() -> None:
    world = World()
    async with a_presence(world) as (presence, _):
        for _ in range(3):
            presence.seen("alice", asleep_offset=None)
            await settled(world)
        assert world.activity.calls["note_reads"] == 1
        assert await world.stores.activity.last_reads(["alice"]) == {"alice": START_MS}
        world.clock.advance(NOTED_S)
        presence.seen("alice", asleep_offset=None)
        await settled(world)
        assert world.activity.calls["note_reads"] == 2


async def test_a_note_that_failed_is_made_at_the_next_read() -> None:
    world = World()
    async with a_presence(world) as (presence, _):
        world.activity.away.add("note_reads")
        presence.seen("alice", asleep_offset=None)
        await settled(world)
        world.activity.away.clear()
        again_ms = world.clock.now_ms()
        presence.seen("alice", asleep_offset=None)
        await settled(world)
        assert await world.stores.activity.last_reads(["alice"]) == {"alice": again_ms}


async def test_the_reads_of_a_second_are_noted_together() -> None:
    world = World()
    async with a_presence(world) as (presence, _):
        for second in (0, 1):
            for n in range(50):
                presence.seen(f"reader-{second}-{n}", asleep_offset=None)
            await settled(world)
        assert world.activity.calls["note_reads"] == 2
        noted = await world.stores.activity.last_reads([f"reader-1-{n}" for n in range(50)])
        assert set(noted.values()) == {START_MS + 1000 * GATHERED_S}, "when they read"
        assert in_background() == [], "nothing runs while nobody reads"


async def test_reads_of_the_last_second_are_noted_when_the_process_stops() -> None:
    world = World()
    async with a_presence(world) as (presence, _):
        presence.seen("alice", asleep_offset=None)
        await asyncio.sleep(0)
    assert await world.stores.activity.last_reads(["alice"]) == {"alice": START_MS}


async def test_notes_that_are_being_written_when_the_process_stops_are_written() -> None:
    world = World()
    async with a_presence(world) as (presence, _):
        release = world.activity.pause_before("note_reads")
        presence.seen("alice", asleep_offset=None)
        await asyncio.sleep(0)
        world.clock.advance(GATHERED_S)
        await world.activity.until_paused("note_reads")
        # What is paused is cancelled before it goes on.
        asyncio.get_running_loop().call_soon(release)
    assert await world.stores.activity.last_reads(["alice"]) == {"alice": START_MS}


async def test_remembered_users_waiting_notes_and_awakenings_in_flight_are_bounded() -> None:
    world = World()
    readers = [f"reader-{n}" for n in range(1500)]
    async with a_presence(world, most=2000) as (presence, _):
        for reader_id in readers:
            presence.seen(reader_id, asleep_offset=7)
        assert len(in_background()) == 64
        await settled(world)
        assert len(await world.stores.activity.last_reads(readers)) == 1000
        for reader_id in readers:
            presence.seen(reader_id, asleep_offset=7)
        await settled(world)
        assert len(await world.stores.activity.last_reads(readers)) == 1500, "at the next read"
    world = World()
    async with a_presence(world, most=10) as (presence, _):
        for n in range(500):
            presence.seen(f"reader-{n}", asleep_offset=None)
            await settled(world)
        world.activity.calls.clear()
        for n in range(490, 500):
            presence.seen(f"reader-{n}", asleep_offset=None)
        await settled(world)
        latest = world.activity.calls.total()
        assert latest == 0, "the latest are remembered"
        presence.seen("reader-1", asleep_offset=None)
        await settled(world)
        older = world.activity.calls.total()
        assert older == 1, "older ones are not"


# --- awakenings ----------------------------------------------------------------------------------------


async def test_a_sleeper_is_woken_once_however_often_they_read() -> None:
    world = World()
    async with a_presence(world) as (presence, reader):
        for _ in range(5):
            presence.seen("alice", asleep_offset=7)
        await settled(world)
        assert reader.log.appended == [UserWoke(user_id="alice", woke_at=AT)]
        presence.seen("bob", asleep_offset=None)
        await settled(world)
        assert len(reader.log.appended) == 1


async def test_an_awakening_by_another_process_is_enough() -> None:
    world = World()
    async with a_presence(world) as (presence, reader):
        presence.seen("alice", asleep_offset=7, woke_offset=8)
        await settled(world)
        assert reader.log.appended == []
        world.clock.advance(WAKING_S)
        presence.seen("alice", asleep_offset=7, woke_offset=8)
        await settled(world)
        assert len(reader.log.appended) == 1, "unless it was lost"


async def test_a_user_who_falls_asleep_again_is_woken_and_noted_again() -> None:
    world = World()
    async with a_presence(world) as (presence, reader):
        presence.seen("alice", asleep_offset=7)
        await settled(world)
        presence.seen("alice", asleep_offset=7, woke_offset=8)
        presence.seen("alice", asleep_offset=None)
        await settled(world)
        assert len(reader.log.appended) == 1
        assert world.activity.calls["note_reads"] == 1
        presence.seen("alice", asleep_offset=9, woke_offset=8)
        await settled(world)
        assert len(reader.log.appended) == 2
        assert world.activity.calls["note_reads"] == 2


async def test_a_lost_awakening_is_begun_again() -> None:
    world = World()
    async with a_presence(world) as (presence, reader):
        reader.log.away = True
        presence.seen("alice", asleep_offset=7)
        await settled(world)
        reader.log.away = False
        presence.seen("alice", asleep_offset=7)
        await settled(world)
        assert len(reader.log.appended) == 1, "the log was away"
        world.clock.advance(WAKING_S)
        presence.seen("alice", asleep_offset=7)
        await settled(world)
        assert len(reader.log.appended) == 2, "and the worker has made a dead letter of it"


# --- the reader ----------------------------------------------------------------------------------------


async def a_sleeper(world: World, followees: int) -> list[UUID]:
    """Alice sleeps, and has missed two posts of each followee."""
    names = [f"author-{n:03}" for n in range(followees)]
    await world.follow("alice", *names)
    await world.stores.users.set_asleep("alice", asleep=True, offset=world.offset)
    posts = []
    for name in names:
        world.followers[name].clear()
        posts += [await world.post(name, ago_s=60), await world.post(name, ago_s=30)]
    return posts


@pytest.mark.parametrize("ranking", ["chronological", "relevance"])
async def test_a_sleeper_reads_a_whole_feed_at_once_by_pull_and_is_woken(
    ranking: Ranking,
) -> None:
    world = World()
    async with a_reader(world) as reader:
        posts = await a_sleeper(world, 5)
        page, missing = await reader.page("alice", ranking=ranking, limit=10)
        assert {item.post_id for item in page.items} == set(posts)
        assert missing == []
        await settled(world)
        assert reader.log.appended == [UserWoke(user_id="alice", woke_at=AT)]
        assert await world.stores.activity.last_reads(["alice"]) == {"alice": START_MS}


async def test_the_first_read_of_a_sleeper_asks_once_for_each_followee_and_for_little_else() -> (
    None
):
    def asked(world: World) -> int:
        doors = (world.posts, world.graph, world.timelines, world.likes)
        return sum(sum(door.calls.values()) for door in doors)

    for followees in (0, 10, 60):
        world = World()
        async with a_reader(world) as reader:
            await a_sleeper(world, followees)
            before, by_author = asked(world), world.posts.calls["by_author"]
            await reader.page("alice", limit=10)
            assert world.posts.calls["by_author"] - by_author == followees + 1, "and her own"
            assert asked(world) - before <= followees + 12
            await settled(world)


def test_a_pull_that_takes_too_long_is_named_and_the_rest_is_shown() -> None:
    async def read() -> None:
        world = World(cached=True)
        await world.cache_epoch.read()
        async with a_reader(world, budget_s=0.02) as reader:
            posts = await a_sleeper(world, 2)
            await reader.reads.authored(["author-000", "alice"])
            world.posts.hanging.add("by_author")
            page, missing = await reader.page("alice")
            assert missing == ["rebuilding"]
            assert not page.complete
            assert {item.post_id for item in page.items} == set(posts[:2])
            world.posts.hanging.clear()
            page, missing = await reader.page("alice")
            assert missing == []
            assert {item.post_id for item in page.items} == set(posts)
            await settled(world)

    run_on_virtual_time(read())


async def test_neither_a_note_nor_an_awakening_delays_or_fails_an_answer() -> None:
    world = World()
    async with a_reader(world) as reader, a_feed_client(world, reader) as client:
        await a_sleeper(world, 1)
        reader.log.away = True
        world.activity.hanging.add("note_reads")
        answer = await client.get("/users/alice/feed", headers={"X-User-Id": "alice"})
        assert answer.status_code == 200
        assert len(answer.json()["items"]) == 2


async def test_once_awake_a_viewer_is_served_from_the_timeline_within_a_second() -> None:
    world = World()
    async with a_reader(world) as reader:
        posts = await a_sleeper(world, 2)
        assert set(await reader.ids("alice")) == set(posts)
        pointers = [Pointer(post, f"author-{n // 2:03}") for n, post in enumerate(posts)]
        await world.stores.timelines.push(pointers, ["alice"])
        await world.stores.users.set_asleep("alice", asleep=False, offset=world.offset + 1)
        world.clock.advance(1)
        calls = world.posts.calls["by_author"]
        assert set(await reader.ids("alice")) == set(posts)
        assert world.posts.calls["by_author"] == calls + 1, "her own"
        await settled(world)
