"""What a viewer graph reads, and how long the worst user allowed holds the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import replace
from typing import Any, cast

import pytest

from fanfold.adapters.memory import memory_stores
from fanfold.core.ports import Stores, Tie, Ties
from fanfold.core.settings import Settings
from feed_service.caches.viewer_graph import read_viewer_graph
from graph_service.export import Export
from graph_service.lists import list_blocked, list_following, list_muted
from tests.support.clock import ManualClock
from tests.support.feed import World, a_reader
from tests.support.longest_step import longest_step_s
from tests.support.stores import an_edge

MOST = Settings().max_following
INACTIVE = 20_000
LONGEST_S = 0.02


async def write_follows(stores: Stores, followees: int, *, ended: int = 0) -> None:
    for offset in range(followees + ended):
        edge = an_edge("viewer", offset=offset, active=offset < followees)
        await stores.follows.write_following(f"f{offset:06}", [edge], materialised=["viewer"])


async def write_ties(stores: Stores, write: Any, prefix: str, *, active: int, ended: int) -> None:
    for offset in range(active + ended):
        await write(
            "viewer", f"{prefix}{offset:06}", active=offset < active, since_ms=0, offset=offset
        )


class ReadTies:
    """Ties, and the blocks that were read."""

    def __init__(self, ties: Ties) -> None:
        self._ties = ties
        self.read: list[Tie] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ties, name)

    async def blocks_with(self, user_id: str, other_ids: Collection[str]) -> list[Tie]:
        found = await self._ties.blocks_with(user_id, other_ids)
        self.read += found
        return found


@pytest.fixture
def stores() -> Stores:
    return memory_stores(Settings(), clock=ManualClock())


async def test_a_viewer_graph_reads_no_block_suffered_from_a_user_who_is_not_followed(
    stores: Stores,
) -> None:
    await write_follows(stores, 3, ended=1)
    for offset in range(1000):
        await stores.ties.write_block(
            f"stranger{offset}", "viewer", active=True, since_ms=0, offset=offset
        )
    await stores.ties.write_block("f000001", "viewer", active=True, since_ms=0, offset=7)
    await stores.ties.write_block("f000003", "viewer", active=True, since_ms=0, offset=8)
    await stores.ties.write_mute("viewer", "f000002", active=True, since_ms=0, offset=9)
    ties = ReadTies(stores.ties)
    graph = await read_viewer_graph("viewer", stores=replace(stores, ties=cast("Ties", ties)))
    assert graph.visible == {"viewer", "f000000"}
    assert [tie.other_id for tie in ties.read] == ["f000001"]


@pytest.mark.slow
async def test_the_worst_user_allowed_holds_the_event_loop_no_longer_than_20_ms(
    stores: Stores,
) -> None:
    await write_follows(stores, MOST, ended=INACTIVE)
    ties = stores.ties
    await write_ties(stores, ties.write_mute, "m", active=MOST, ended=INACTIVE)
    await write_ties(stores, ties.write_block, "b", active=MOST, ended=INACTIVE)
    follows = stores.follows

    async def read() -> None:
        graph = await read_viewer_graph("viewer", stores=stores)
        assert len(graph.visible) == MOST + 1
        await list_following("viewer", cursor=None, limit=100, follows=follows)
        await list_muted("viewer", cursor=None, limit=100, ties=ties)
        await list_blocked("viewer", cursor=None, limit=100, ties=ties)

    assert await longest_step_s(read) < LONGEST_S
    export = Export(stores=stores, clock=ManualClock())

    async def export_all() -> None:
        user, _ = await export.begin("viewer")
        async for lines in export.rest(user):
            assert lines
            await asyncio.sleep(0)  # sent

    assert await longest_step_s(export_all) < LONGEST_S


@pytest.mark.slow
async def test_the_first_feed_of_the_worst_user_has_no_long_step_either() -> None:
    world = World()
    await write_follows(world.stores, MOST, ended=INACTIVE)
    await write_ties(world.stores, world.stores.ties.write_mute, "m", active=MOST, ended=INACTIVE)

    async def read_first() -> None:
        async with a_reader(world) as reader:
            page, _ = await reader.feeds.page("viewer", ranking="relevance", limit=10, cursor=None)
        assert (page.items, page.complete) == ([], True)

    assert await longest_step_s(read_first) < LONGEST_S
