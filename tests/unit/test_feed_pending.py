"""Pending changes: the latest stays, even if an older event is applied again, and only for a while."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Set
from dataclasses import dataclass

import pytest

from fanfold.core.events import ViewerCell
from fanfold.core.ids import new_post_id
from feed_service.caches.pending import PENDING_S, CellState, Pending
from tests.support.clock import START_MS, ManualClock
from tests.support.feed import Change, Reader, World, a_reader
from tests.support.liking import a_like


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def reader(world: World) -> AsyncIterator[Reader]:
    async with a_reader(world) as opened:
        yield opened


async def read_after(reader: Reader, *changes: Change) -> list[str]:
    """The contents of Alice's feed, read after those writes, which are all projected."""
    positions = [reader.log.keep(change.event, change.offset) for change in changes]
    awaited = await reader.after_writes("alice", positions)
    assert not awaited.behind
    page, missing = await reader.feeds.page(
        "alice", ranking="chronological", limit=10, cursor=None, awaited=awaited
    )
    assert not missing
    return [item.content for item in page.items]


async def contents(reader: Reader) -> list[str]:
    return [item.content for item in await reader.whole("alice")]


# --- applied again, out of order -----------------------------------------------------------------------------


async def test_a_read_after_a_follow_does_not_undo_a_later_unfollow(
    world: World, reader: Reader
) -> None:
    await world.post("bob", content="Bob's")
    follow = world.a_follow("alice", "bob")
    await world.happen(follow)
    unfollow = world.an_unfollow("alice", "bob")
    world.publish(unfollow)
    assert await read_after(reader, follow) == ["Bob's"]
    await unfollow.project()
    assert await contents(reader) == []


async def test_a_read_after_an_older_own_post_does_not_hide_the_newer_one(
    world: World, reader: Reader
) -> None:
    older = world.a_post("alice", content="older", ago_s=1)
    await world.happen(older)
    newer = world.a_post("alice", content="newer")
    world.publish(newer)
    assert await read_after(reader, older) == ["older"]
    await newer.project()
    assert await contents(reader) == ["newer", "older"]


@pytest.mark.parametrize("later_s", [1, PENDING_S + 1, 10 * PENDING_S])
async def test_a_read_after_an_old_name_sees_the_latest_name(
    world: World, reader: Reader, later_s: float
) -> None:
    await world.happen(world.a_post("alice"))
    first = world.a_name("alice", "Allie")
    await world.happen(first)
    await world.happen(world.a_name("alice", "Alice"))
    world.clock.advance(later_s)
    await read_after(reader, first)
    (item,) = await reader.whole("alice")
    assert item.author == "Alice"


async def test_a_read_after_a_like_does_not_share_the_load_of_an_older_count(
    world: World, reader: Reader
) -> None:
    post_id = await world.post("alice")
    await reader.reads.names(("alice",))
    release = world.posts.pause_after("get")
    before = asyncio.create_task(reader.whole("alice"))
    await world.posts.until_paused("get")
    like = a_like(world, "alice", post_id)
    world.publish(like)
    await like.project()
    position = reader.log.keep(like.event, like.offset)
    awaited = await reader.after_writes("alice", [position])
    release()
    await before
    page, _ = await reader.feeds.page(
        "alice", ranking="chronological", limit=10, cursor=None, awaited=awaited
    )
    (item,) = page.items
    assert (item.like_count, item.liked_by_me) == (1, True)


# --- only for a while ---------------------------------------------------------------------------------------


@dataclass
class Rows:
    """The cells read, and their rows."""

    rows: dict[ViewerCell, CellState]
    read: Set[ViewerCell]

    def state_of(self, cell: ViewerCell) -> CellState | None:
        return self.rows.get(cell)

    def decides(self, cell: ViewerCell) -> bool:
        return cell in self.read


def test_a_pending_change_expires_however_many_other_changes_its_user_makes() -> None:
    clock = ManualClock()
    pending = Pending(clock)
    posts = [new_post_id(START_MS + n) for n in range(10)]
    for n, post_id in enumerate(posts):
        pending.like_changed("alice", post_id, CellState(True, n))
        pending.viewer_graph_changed(
            "alice", ViewerCell("blocked_by", f"user-{n}"), CellState(True, n)
        )
        clock.advance(PENDING_S / 2)
    assert dict(pending.likes_of("alice")) == {posts[-1]: CellState(True, 9)}
    cell = ViewerCell("blocked_by", "user-9")
    assert pending.shows_viewer_graph("alice", Rows({cell: CellState(True, 9)}, read={cell}))
    assert not pending.shows_viewer_graph("alice", Rows({}, read={cell}))


def test_a_block_with_a_user_who_is_not_followed_needs_no_row() -> None:
    """Blocks are read only with users who are followed, and the others hide nothing."""
    pending = Pending(ManualClock())
    cell = ViewerCell("blocked_by", "a-stranger")
    pending.viewer_graph_changed("alice", cell, CellState(True, 9))
    assert pending.shows_viewer_graph("alice", Rows({}, read=set()))
    assert not pending.shows_viewer_graph("alice", Rows({}, read={cell}))
