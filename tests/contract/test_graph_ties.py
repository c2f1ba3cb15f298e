"""Mutes and blocks in the tables of both adapters."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fanfold.core.ports import Graph, Stores, Tie
from tests.support.clock import START_MS, ManualClock
from tests.support.stores import fresh, shuffled_with_repetitions, stores_of_each_adapter

stores = stores_of_each_adapter()
histories = st.lists(st.booleans(), min_size=1, max_size=6)
on_each_example_afresh = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


async def mute(graph: Graph, user: str, target: str, *, at: int, active: bool = True) -> None:
    await graph.write_mute(user, target, active=active, since_ms=START_MS + at, at=at)


async def block(graph: Graph, user: str, target: str, *, at: int, active: bool = True) -> None:
    await graph.write_block(user, target, active=active, since_ms=START_MS + at, at=at)


def a_tie(other: str, *, at: int, active: bool = True, mine: bool = True) -> Tie:
    return Tie(other, active=active, since_ms=START_MS + at, position=at, mine=mine)


async def test_who_never_muted_or_blocked_has_no_ties(stores: Stores) -> None:
    alice, bob, graph = fresh("alice"), fresh("bob"), stores.graph
    assert await graph.mutes(alice) == {}
    assert await graph.mute_of(alice, bob) is None
    assert await graph.blocks(alice) == []
    assert await graph.blocks_between(alice, bob) == []


@on_each_example_afresh
@given(history=histories, seed=st.integers())
async def test_a_mute_is_the_same_whatever_the_order_and_number_of_writes(
    stores: Stores, history: list[bool], seed: int
) -> None:
    alice, bob, graph = fresh("alice"), fresh("bob"), stores.graph
    writes = [
        partial(mute, graph, alice, bob, at=at, active=active) for at, active in enumerate(history)
    ]
    for write in shuffled_with_repetitions(writes, seed):
        await write()
    last = a_tie(bob, at=len(history) - 1, active=history[-1])
    assert await graph.mutes(alice) == {bob: last}
    assert await graph.mute_of(alice, bob) == last
    assert await graph.mutes(bob) == {}, "whom it concerns isn't told"


@on_each_example_afresh
@given(mine=histories, theirs=histories, seed=st.integers())
async def test_two_blocks_are_told_apart_whatever_the_order_and_number_of_writes(
    stores: Stores, mine: list[bool], theirs: list[bool], seed: int
) -> None:
    # Each comes from its maker's partition, so the offsets of the two say nothing about each other.
    alice, bob, graph = fresh("alice"), fresh("bob"), stores.graph
    writes = [
        partial(block, graph, alice, bob, at=at, active=active) for at, active in enumerate(mine)
    ]
    writes += [
        partial(block, graph, bob, alice, at=at, active=active) for at, active in enumerate(theirs)
    ]
    for write in shuffled_with_repetitions(writes, seed):
        await write()
    own, suffered = (len(mine) - 1, mine[-1]), (len(theirs) - 1, theirs[-1])
    for user, other, (made_at, made), (met_at, met) in (
        (alice, bob, own, suffered),
        (bob, alice, suffered, own),
    ):
        expected = [
            a_tie(other, at=met_at, active=met, mine=False),
            a_tie(other, at=made_at, active=made),
        ]
        assert await graph.blocks(user) == expected
        assert await graph.blocks_between(user, other) == expected


async def test_a_block_of_one_is_seen_by_both_and_known_for_whose_it_is(stores: Stores) -> None:
    alice, bob, graph = fresh("alice"), fresh("bob"), stores.graph
    await block(graph, alice, bob, at=4)
    assert await graph.blocks(alice) == [a_tie(bob, at=4)]
    assert await graph.blocks(bob) == [a_tie(alice, at=4, mine=False)]


async def test_ties_are_in_order_of_the_other_and_of_nobody_else(stores: Stores) -> None:
    alice, graph = fresh("alice"), stores.graph
    others = [fresh(name) for name in ("zoe", "Bob", "bob", "_x", "0")]
    for at, other in enumerate(others):
        await mute(graph, alice, other, at=at, active=at % 2 == 0)
        if at % 2:
            await block(graph, alice, other, at=at)
        else:
            await block(graph, other, alice, at=at)
    mutes, blocks = await graph.mutes(alice), await graph.blocks(alice)
    assert list(mutes) == [tie.other_id for tie in blocks] == sorted(others)
    assert {other for other, tie in mutes.items() if not tie.active} == {others[1], others[3]}
    assert {tie.other_id for tie in blocks if not tie.mine} == {others[0], others[2], others[4]}
    for other in others:
        assert await graph.mute_of(alice, other) == mutes[other]
        assert await graph.blocks_between(alice, other) == [
            tie for tie in blocks if tie.other_id == other
        ]


async def test_a_mute_and_a_block_of_the_same_two_leave_each_other_alone(stores: Stores) -> None:
    alice, bob, graph = fresh("alice"), fresh("bob"), stores.graph
    await mute(graph, alice, bob, at=9)
    await block(graph, alice, bob, at=2)
    assert await graph.mutes(alice) == {bob: a_tie(bob, at=9)}
    assert await graph.blocks(alice) == [a_tie(bob, at=2)]
