"""Mutes and blocks: what the worker makes of their events, whatever comes twice, late, or half-way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfold.adapters.cassandra.ties import CassandraTies
from fanfold.core.events import GRAPH, TIES, Event
from fanfold.core.ports import Tie
from fanout_service.ties import TieChange, fold_tie
from feed_service.caches.viewer_graph import read_viewer_graph
from tests.support.clock import START_MS
from tests.support.crashes import Killed, Life
from tests.support.fanout import (
    Pipeline,
    a_block,
    a_follow,
    a_mute,
    a_pipeline,
    a_record,
    an_unblock,
    an_unfollow,
    an_unmute,
)

LATER_MS = START_MS + 5000


async def mute_of(pipeline: Pipeline, user: str, target: str) -> tuple[bool, int]:
    """(active, since)."""
    tie = await pipeline.stores.ties.mute_of(user, target)
    assert tie is not None
    return tie.active, tie.since_ms


async def block_of(pipeline: Pipeline, user: str, target: str) -> tuple[bool, int]:
    """The same of a block, as both its sides have it."""
    stores = pipeline.stores
    [own] = [tie for tie in await stores.ties.blocks_between(user, target) if tie.mine]
    [suffered] = [tie for tie in await stores.ties.blocks_between(target, user) if not tie.mine]
    assert (own.active, own.since_ms, own.offset) == (
        suffered.active,
        suffered.since_ms,
        suffered.offset,
    )
    return own.active, own.since_ms


@pytest.mark.parametrize(
    ("make", "end", "read"), [(a_mute, an_unmute, mute_of), (a_block, an_unblock, block_of)]
)
async def test_a_tie_is_made_kept_ended_and_made_again(make: Any, end: Any, read: Any) -> None:
    async with a_pipeline() as pipeline:
        await pipeline.handle(make("bob"))
        assert await read(pipeline, "bob", "alice") == (True, START_MS)
        await pipeline.handle(make("bob", ms=LATER_MS))
        assert await read(pipeline, "bob", "alice") == (True, START_MS)
        await pipeline.handle(end("bob", ms=LATER_MS), end("bob", ms=LATER_MS))
        assert await read(pipeline, "bob", "alice") == (False, START_MS)
        await pipeline.handle(make("bob", ms=LATER_MS))
        assert await read(pipeline, "bob", "alice") == (True, LATER_MS)


@pytest.mark.parametrize(("make", "read"), [(a_mute, mute_of), (a_block, block_of)])
async def test_a_tie_made_again_writes_its_offset_for_the_caches_that_wait_for_it(
    make: Any, read: Any
) -> None:
    async with a_pipeline() as pipeline:
        await pipeline.handle(make("bob"), make("bob", ms=LATER_MS))
        assert await read(pipeline, "bob", "alice") == (True, START_MS)
        stores = pipeline.stores
        ties = [
            *(await stores.ties.mutes("bob")).values(),
            *(await stores.ties.blocks_made("bob")).values(),
        ]
        assert [tie.offset for tie in ties] == [1]


@pytest.mark.parametrize(("end", "read"), [(an_unmute, mute_of), (an_unblock, block_of)])
async def test_the_end_of_a_tie_that_never_began_leaves_an_inactive_row(
    end: Any, read: Any
) -> None:
    """A cache or a reader that saw the event waits until the row shows it."""
    async with a_pipeline() as pipeline:
        await pipeline.handle(end("bob"))
        assert await read(pipeline, "bob", "alice") == (False, START_MS)


async def test_two_users_who_block_each_other_end_only_their_own_blocks() -> None:
    async with a_pipeline() as pipeline:
        await pipeline.handle(a_block("bob", "alice"), a_block("alice", "bob"))
        await pipeline.handle(an_unblock("bob", "alice", ms=LATER_MS))
        assert await block_of(pipeline, "bob", "alice") == (False, START_MS)
        assert await block_of(pipeline, "alice", "bob") == (True, START_MS)


async def test_follows_and_ties_of_one_group_are_all_projected() -> None:
    async with a_pipeline() as pipeline:
        await pipeline.handle(a_follow("bob", "alice"), a_follow("alice", "bob"))
        # As the API appends a block by Alice; her key has all but the second.
        events: list[Event] = [
            an_unfollow("bob", "alice"),
            an_unfollow("alice", "bob"),
            a_block("alice", "bob"),
        ]
        await pipeline.handle(*events, a_mute("alice", "carl"))
        assert await block_of(pipeline, "alice", "bob") == (True, START_MS)
        assert await mute_of(pipeline, "alice", "carl") == (True, START_MS)
        assert [(await pipeline.user(name)).follower_count for name in ("alice", "bob")] == [0, 0]
        assert not (await pipeline.stores.follows.following("alice"))["bob"].active


@pytest.mark.parametrize("first", [GRAPH, TIES])
async def test_a_block_and_the_unfollows_before_it_may_be_projected_in_either_order(
    first: str,
) -> None:
    """They lie on two topics. From the first of the two on, neither user sees the other."""
    async with a_pipeline() as pipeline:
        await pipeline.handle(a_follow("bob", "alice"), a_follow("alice", "bob"))
        await pipeline.append(
            an_unfollow("bob", "alice"), an_unfollow("alice", "bob"), a_block("alice", "bob")
        )
        worker = pipeline.worker()
        await pipeline.step(worker, first, limit=10)
        follow = (await pipeline.stores.follows.following("alice"))["bob"]
        assert follow.active == (first == TIES)
        for user in ("alice", "bob"):
            graph = await read_viewer_graph(user, stores=pipeline.stores)
            assert graph.visible == {user}
        await pipeline.drain(worker)
        assert await block_of(pipeline, "alice", "bob") == (True, START_MS)
        assert [(await pipeline.user(name)).follower_count for name in ("alice", "bob")] == [0, 0]
        assert not (await pipeline.stores.follows.following("alice"))["bob"].active


async def test_an_event_about_oneself_is_dead_lettered_and_the_others_are_projected() -> None:
    async with a_pipeline() as pipeline:
        await pipeline.handle(a_mute("bob", "bob"), a_block("bob", "bob"), a_mute("bob", "alice"))
        assert await mute_of(pipeline, "bob", "alice") == (True, START_MS)
        assert list(await pipeline.stores.ties.mutes("bob")) == ["alice"]
        assert await pipeline.stores.ties.blocks_made("bob") == {}
        assert await pipeline.stores.ties.blocks_with("bob", ["alice", "bob"]) == []
        assert len(await pipeline.dead_letters()) == 2


async def test_redelivered_events_change_nothing() -> None:
    async with a_pipeline() as pipeline:
        history: list[Event] = [a_block("bob"), an_unblock("bob"), a_mute("bob"), an_unmute("bob")]
        history += [a_mute("bob", ms=LATER_MS)]
        await pipeline.handle(*history)
        zombie = pipeline.worker().handlers()[TIES]
        for length in range(1, len(history) + 1):
            records = [a_record(event, offset=n) for n, event in enumerate(history[:length])]
            await zombie(records)
            await zombie(records[-1:])
            assert await block_of(pipeline, "bob", "alice") == (False, START_MS)
            assert await mute_of(pipeline, "bob", "alice") == (True, LATER_MS)


# --- the fold ------------------------------------------------------------------------------------------

histories = st.lists(st.booleans(), min_size=1, max_size=8)


def changes(history: Sequence[bool]) -> list[TieChange]:
    return [TieChange(active, START_MS + n, 10 * n) for n, active in enumerate(history)]


@given(histories, st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=6))
def test_a_fold_gives_the_same_result_in_any_batches_and_after_any_repetition(
    history: list[bool], batches: list[tuple[int, int]]
) -> None:
    whole = fold_tie("alice", None, changes(history))
    held: Tie | None = None
    applied = 0
    for wanted, length in [*batches, (0, len(history))]:
        start = min(wanted, applied)  # a consumer may go back, but never leaves anything out
        batch = changes(history)[start : start + length]
        held = fold_tie("alice", held, batch) or held
        applied = max(applied, start + len(batch))
    assert held == whole


@given(histories)
def test_since_is_when_the_last_unbroken_run_began(history: list[bool]) -> None:
    tie = fold_tie("alice", None, changes(history))
    assert tie is not None
    assert (tie.active, tie.offset) == (history[-1], 10 * (len(history) - 1))
    if tie.active:
        run = list(reversed(history)).index(False) if False in history else len(history)
        assert tie.since_ms == START_MS + len(history) - run


def test_events_that_are_applied_already_write_nothing() -> None:
    held = Tie("alice", active=True, since_ms=START_MS, offset=20)
    assert fold_tie("alice", held, changes([True, False, True])) is None


# --- a block is two rows -------------------------------------------------------------------------------


class TwoRows:
    """A session and its writer of batches. Keeps the rows of blocks, and dies with its worker."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self.rows_written: dict[tuple[str, str, bool], tuple[Any, ...]] = {}

    def statement(self, text: str) -> str:
        return text

    async def write_row(
        self, _statement: str, user: str, other: str, mine: bool, *state: Any
    ) -> None:
        self._life.spend()
        self.rows_written[user, other, mine] = state


async def test_a_worker_that_dies_between_the_rows_of_a_block_leaves_the_makers_unwritten() -> None:
    """The next one judges by the maker's row: were it first, the target would never learn of the block."""
    session = TwoRows(Life(1))
    ties = CassandraTies(session, batches=session, replica_sets=session)  # type: ignore[arg-type]
    with pytest.raises(Killed):
        await ties.write_block("alice", "bob", active=True, since_ms=START_MS, offset=4)
    assert list(session.rows_written) == [("bob", "alice", False)]
