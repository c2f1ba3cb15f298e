"""Mutes and blocks in both adapters."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfold.core.ports import Stores, Tie
from tests.support.clock import START_MS, ManualClock
from tests.support.examples import examples_in_one_store
from tests.support.stores import fresh, shuffled_with_repetitions, stores_of_each_adapter

stores = stores_of_each_adapter()
histories = st.lists(st.booleans(), min_size=1, max_size=6)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


async def mute(stores: Stores, user: str, target: str, *, offset: int, active: bool = True) -> None:
    await stores.ties.write_mute(
        user, target, active=active, since_ms=START_MS + offset, offset=offset
    )


async def block(
    stores: Stores, user: str, target: str, *, offset: int, active: bool = True
) -> None:
    await stores.ties.write_block(
        user, target, active=active, since_ms=START_MS + offset, offset=offset
    )


def a_tie(other: str, *, offset: int, active: bool = True, mine: bool = True) -> Tie:
    return Tie(other, active=active, since_ms=START_MS + offset, offset=offset, mine=mine)


def order(tie: Tie) -> tuple[str, bool]:
    return tie.other_id, tie.mine


async def blocks_with(stores: Stores, user: str, others: list[str]) -> list[Tie]:
    """The port promises no order."""
    return sorted(await stores.ties.blocks_with(user, others), key=order)


async def test_a_user_who_never_muted_or_blocked_has_no_ties(stores: Stores) -> None:
    alice, bob = fresh("alice"), fresh("bob")
    assert await stores.ties.mutes(alice) == {}
    assert await stores.ties.mute_of(alice, bob) is None
    assert await stores.ties.blocks_made(alice) == {}
    assert await stores.ties.blocks_with(alice, [bob]) == []
    assert await stores.ties.blocks_with(alice, []) == []
    assert await stores.ties.blocks_between(alice, bob) == []


@examples_in_one_store
@given(history=histories, seed=st.integers())
async def test_a_mute_is_the_same_whatever_the_order_and_number_of_writes(
    stores: Stores, history: list[bool], seed: int
) -> None:
    alice, bob = fresh("alice"), fresh("bob")
    writes = [
        partial(mute, stores, alice, bob, offset=offset, active=active)
        for offset, active in enumerate(history)
    ]
    for write in shuffled_with_repetitions(writes, seed):
        await write()
    last = a_tie(bob, offset=len(history) - 1, active=history[-1])
    assert await stores.ties.mutes(alice) == {bob: last}
    assert await stores.ties.mute_of(alice, bob) == last
    assert await stores.ties.mutes(bob) == {}, "the muted user doesn't see it"


@examples_in_one_store
@given(mine=histories, theirs=histories, seed=st.integers())
async def test_two_opposite_blocks_stay_distinct_whatever_the_order_and_number_of_writes(
    stores: Stores, mine: list[bool], theirs: list[bool], seed: int
) -> None:
    # Each event is in its maker's partition, so the offsets of the two don't compare.
    alice, bob = fresh("alice"), fresh("bob")
    writes = [
        partial(block, stores, alice, bob, offset=offset, active=active)
        for offset, active in enumerate(mine)
    ]
    writes += [
        partial(block, stores, bob, alice, offset=offset, active=active)
        for offset, active in enumerate(theirs)
    ]
    for write in shuffled_with_repetitions(writes, seed):
        await write()
    made_by_alice, made_by_bob = (len(mine) - 1, mine[-1]), (len(theirs) - 1, theirs[-1])
    for user, other, (own_offset, own), (other_offset, others) in (
        (alice, bob, made_by_alice, made_by_bob),
        (bob, alice, made_by_bob, made_by_alice),
    ):
        expected = [
            a_tie(other, offset=other_offset, active=others, mine=False),
            a_tie(other, offset=own_offset, active=own),
        ]
        assert await blocks_with(stores, user, [other]) == expected
        assert await stores.ties.blocks_made(user) == {other: expected[1]}
        assert await stores.ties.blocks_between(user, other) == expected


async def test_both_users_see_a_block_and_who_made_it(stores: Stores) -> None:
    alice, bob = fresh("alice"), fresh("bob")
    await block(stores, alice, bob, offset=4)
    assert await blocks_with(stores, alice, [bob]) == [a_tie(bob, offset=4)]
    assert await blocks_with(stores, bob, [alice]) == [a_tie(alice, offset=4, mine=False)]
    assert await stores.ties.blocks_made(alice) == {bob: a_tie(bob, offset=4)}
    assert await stores.ties.blocks_made(bob) == {}, "a block suffered is read only by name"


async def test_blocks_are_read_only_with_the_users_named_however_many_are_named(
    stores: Stores,
) -> None:
    alice = fresh("alice")
    others = [fresh(f"u{number}") for number in range(250)]
    for offset, other in enumerate(others):
        await block(stores, other, alice, offset=offset)
        if offset % 50 == 0:
            await block(stores, alice, other, offset=offset, active=False)
    suffered = [a_tie(other, offset=offset, mine=False) for offset, other in enumerate(others)]
    made = [
        a_tie(other, offset=offset, active=False)
        for offset, other in enumerate(others)
        if offset % 50 == 0
    ]
    assert await blocks_with(stores, alice, others[2:4]) == sorted(suffered[2:4], key=order)
    assert await blocks_with(stores, alice, [*others, fresh("nobody")]) == sorted(
        suffered + made, key=order
    )
    assert list((await stores.ties.blocks_made(alice)).values()) == sorted(made, key=order)


async def test_ties_are_in_order_of_the_other_user_and_only_ones_own(stores: Stores) -> None:
    alice = fresh("alice")
    others = [fresh(name) for name in ("zoe", "Bob", "bob", "_x", "0")]
    for offset, other in enumerate(others):
        await mute(stores, alice, other, offset=offset, active=offset % 2 == 0)
        if offset % 2:
            await block(stores, alice, other, offset=offset)
        else:
            await block(stores, other, alice, offset=offset)
    mutes, blocks = await stores.ties.mutes(alice), await blocks_with(stores, alice, others)
    assert list(mutes) == [tie.other_id for tie in blocks] == sorted(others)
    assert list(await stores.ties.blocks_made(alice)) == sorted([others[1], others[3]])
    assert {other for other, tie in mutes.items() if not tie.active} == {others[1], others[3]}
    assert {tie.other_id for tie in blocks if not tie.mine} == {others[0], others[2], others[4]}
    for other in others:
        assert await stores.ties.mute_of(alice, other) == mutes[other]
        assert await stores.ties.blocks_between(alice, other) == [
            tie for tie in blocks if tie.other_id == other
        ]
    with_some = await stores.ties.blocks_with(alice, [others[0], others[1], fresh("stranger")])
    assert sorted(with_some, key=lambda tie: tie.other_id) == [
        tie for tie in blocks if tie.other_id in others[:2]
    ]
    assert await stores.ties.blocks_with(alice, []) == []


async def test_the_blocks_with_many_others_are_all_found(stores: Stores) -> None:
    alice = fresh("alice")
    others = [fresh(f"user-{n:03}") for n in range(230)]
    for offset, other in enumerate(others[::40]):
        await block(stores, other, alice, offset=offset)
    found = await stores.ties.blocks_with(alice, others)
    assert sorted(tie.other_id for tie in found) == sorted(others[::40])
    assert not any(tie.mine for tie in found)


async def test_a_mute_and_a_block_of_the_same_two_users_are_independent(stores: Stores) -> None:
    alice, bob = fresh("alice"), fresh("bob")
    await mute(stores, alice, bob, offset=9)
    await block(stores, alice, bob, offset=2)
    assert await stores.ties.mutes(alice) == {bob: a_tie(bob, offset=9)}
    assert await blocks_with(stores, alice, [bob]) == [a_tie(bob, offset=2)]


async def test_the_mutes_of_some_users_are_read_without_all_the_rest(stores: Stores) -> None:
    alice, bob, carl, dora = (fresh(name) for name in ("alice", "bob", "carl", "dora"))
    await mute(stores, alice, bob, offset=1)
    await mute(stores, alice, carl, offset=2, active=False)
    await mute(stores, alice, dora, offset=3)
    await mute(stores, bob, alice, offset=4)
    assert await stores.ties.mutes_of(alice, [bob, carl, fresh("nobody"), bob]) == {
        bob: a_tie(bob, offset=1),
        carl: a_tie(carl, offset=2, active=False),
    }


async def test_a_user_has_tied_also_after_the_tie_has_ended(stores: Stores) -> None:
    alice, bob, carl, dora = (fresh(name) for name in ("alice", "bob", "carl", "dora"))
    await mute(stores, alice, dora, offset=1)
    await block(stores, bob, dora, offset=2)
    await mute(stores, carl, dora, offset=3, active=False)
    assert [await stores.ties.has_tied(user) for user in (alice, bob, carl)] == [True] * 3
    assert not await stores.ties.has_tied(dora), "a block that is suffered is not the user's"
