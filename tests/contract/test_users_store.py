"""Users' rows in both adapters."""

from __future__ import annotations

import pytest

from fanfold.core.ports import Stores, User
from tests.support.clock import START_MS, ManualClock
from tests.support.stores import an_edge, fresh, stores_of_each_adapter, write_edges

stores = stores_of_each_adapter()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


async def test_a_user_without_a_row_is_an_unregistered_user(stores: Stores) -> None:
    alice, bob = fresh("alice"), fresh("bob")
    await stores.users.register(alice, "Alice 🌊", registered_at_ms=START_MS, offset=0)
    found = await stores.users.get_many([alice, bob, alice])
    assert found == {
        alice: User(alice, display_name="Alice 🌊", registered_at_ms=START_MS, name_offset=0),
        bob: User(bob),
    }
    assert [await stores.users.get(user_id) for user_id in found] == list(found.values())


async def test_the_follower_count_and_the_display_name_do_not_change_each_other(
    stores: Stores,
) -> None:
    bob = fresh("bob")
    counted = User(
        bob,
        follower_count=100_000,
        generation=2,
        delivery="pull",
        pull_since_ms=START_MS,
        count_offset=9,
    )
    await stores.users.write_follower_count(counted, offset=9)
    assert await stores.users.get_many([bob]) == {bob: counted}
    await stores.users.register(bob, "Bob", registered_at_ms=START_MS, offset=3)
    [found] = (await stores.users.get_many([bob])).values()
    assert (found.display_name, found.follower_count, found.count_offset) == ("Bob", 100_000, 9)


async def test_the_post_count_is_a_cell_of_its_own_and_an_older_one_never_wins(
    stores: Stores,
) -> None:
    bob = fresh("bob")
    await stores.users.write_follower_count(User(bob, follower_count=2), offset=9)
    for offset, count in ((5, 7), (4, 8)):
        await stores.users.write_post_count(bob, count, offset=offset)
    assert await stores.users.get(bob) == User(
        bob, follower_count=2, count_offset=9, post_count=7, post_offset=5
    )


async def test_an_author_who_never_crossed_has_no_pull_since(stores: Stores) -> None:
    bob = fresh("bob")
    await stores.users.write_follower_count(User(bob, follower_count=1), offset=0)
    assert await stores.users.get_many([bob]) == {bob: User(bob, follower_count=1, count_offset=0)}


async def test_an_older_name_or_follower_count_never_wins(stores: Stores) -> None:
    bob = fresh("bob")
    await stores.users.register(bob, "Robert", registered_at_ms=START_MS, offset=5)
    await stores.users.register(bob, "Zacharias", registered_at_ms=START_MS, offset=4)
    await stores.users.write_follower_count(User(bob, follower_count=2), offset=8)
    await stores.users.write_follower_count(User(bob, follower_count=3, pull_since_ms=1), offset=7)
    [found] = (await stores.users.get_many([bob])).values()
    assert found == User(
        bob,
        display_name="Robert",
        follower_count=2,
        count_offset=8,
        registered_at_ms=START_MS,
        name_offset=5,
    )


async def test_a_profile_keeps_what_a_later_registration_leaves_out_and_loses_what_it_empties(
    stores: Stores,
) -> None:
    bob = fresh("bob")
    picture = "https://example.org/bob.png"
    first = {"registered_at_ms": START_MS, "offset": 4}
    await stores.users.register(bob, "Bob", bio="Sails", avatar_url=picture, **first)
    await stores.users.register(bob, "Robert", registered_at_ms=START_MS + 9, offset=6)
    found = await stores.users.get(bob)
    assert (found.display_name, found.bio, found.avatar_url) == ("Robert", "Sails", picture)
    assert (found.registered_at_ms, found.name_offset) == (START_MS, 6)
    await stores.users.register(
        bob, "Robert", bio="", avatar_url="", registered_at_ms=START_MS + 10, offset=7
    )
    found = await stores.users.get(bob)
    assert (found.bio, found.avatar_url, found.name_offset) == (None, None, 7)
    # Redelivered, and out of order: nothing comes back.
    await stores.users.register(bob, "Bob", bio="Sails", avatar_url=picture, **first)
    assert await stores.users.get(bob) == found


@pytest.mark.parametrize("offsets", [(0, 5), (5, 0)])
async def test_of_several_registrations_the_first_of_the_log_is_the_time_of_the_profile(
    stores: Stores, offsets: tuple[int, int]
) -> None:
    bob = fresh("bob")
    for offset in offsets:
        await stores.users.register(bob, "Bob", registered_at_ms=START_MS - offset, offset=offset)
    assert (await stores.users.get(bob)).registered_at_ms == START_MS


async def test_leaving_is_final_and_changes_neither_name_nor_follower_count(stores: Stores) -> None:
    bob, ghost = fresh("bob"), fresh("ghost")
    await stores.users.register(bob, "Bob", registered_at_ms=START_MS, offset=1)
    await stores.users.leave(bob, offset=5)
    await stores.users.leave(bob, offset=2)
    await stores.users.register(bob, "Bobby", registered_at_ms=START_MS, offset=7)
    await stores.users.write_follower_count(User(bob, follower_count=2), offset=8)
    await stores.users.leave(ghost, offset=0)
    assert await stores.users.get_many([bob, ghost]) == {
        bob: User(
            bob,
            display_name="Bobby",
            follower_count=2,
            count_offset=8,
            left=True,
            registered_at_ms=START_MS,
            name_offset=7,
        ),
        ghost: User(ghost, left=True),
    }
    users = [bob, ghost, fresh("alice"), bob]
    assert await stores.users.left(users) == {bob, ghost}
    await stores.users.write_follower_count(User(bob, follower_count=9, generation=2), offset=9)
    assert await stores.users.generations(users) == {bob: 2, ghost: 0, users[2]: 0}
    assert await stores.users.left([]) == set()


async def test_a_walk_finds_every_user_with_a_row_once_and_as_a_read_does(stores: Stores) -> None:
    users = [fresh("u") for _ in range(30)]
    for offset, user in enumerate(users):
        match offset % 4:
            case 0:
                await stores.users.register(
                    user, f"Name {offset}", registered_at_ms=START_MS, offset=offset
                )
            case 1:
                counted = User(user, follower_count=offset, delivery="pull", pull_since_ms=START_MS)
                await stores.users.write_follower_count(counted, offset=offset)
            case 2:
                await stores.users.set_asleep(user, asleep=True, offset=offset)
            case _:
                await stores.users.leave(user, offset=offset)
    stranger = fresh("stranger")
    await write_edges(stores, stranger, [an_edge(stranger, offset=0)])
    found = [user async for user in stores.users.all_users()]
    ids = [user.user_id for user in found]
    assert len(ids) == len(set(ids))
    assert stranger not in ids, "a user with edges only has no row"
    walked = {user.user_id: user for user in found if user.user_id in users}
    assert walked == await stores.users.get_many(users)
    assert set(walked) == set(users)
