"""What a follow reads of the tables, and how exact the limit of followed users is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from fanfold.core.ports import Follow, FollowingCounts
from fanfold.core.settings import Settings
from graph_service.tie_limit import COUNT_TTL_S, TieLimit, TooManyFollowed, by_counts, by_rows
from tests.support.app import WriteSide, a_write_side
from tests.support.clock import ManualClock
from tests.support.stores import an_edge, fresh


class Follows:
    """One user's follows, and how many of their rows were read."""

    def __init__(self, *followees: str) -> None:
        self.followees = list(followees)
        self.rows_read = 0

    async def following(self, _user_id: str) -> dict[str, Follow]:
        self.rows_read += len(self.followees)
        return {
            followee: Follow(followee, active=True, since_ms=0, follow_offset=0, offset=0)
            for followee in self.followees
        }


def a_limit(follows: Any, clock: ManualClock, *, max_following: int = 100) -> TieLimit:
    return TieLimit(
        by_rows(follows.following), clock=clock, most=max_following, too_many=TooManyFollowed
    )


async def others(limit: TieLimit, follower: str, followee: str) -> int:
    return (await limit.count(follower, followee)).active


async def test_a_count_is_read_once_and_raised_by_the_follows_of_this_process() -> None:
    follows = Follows("bob", "carol")
    limit = a_limit(follows, ManualClock())
    assert await others(limit, "alice", "dave") == 2
    for count in range(2, 20):
        assert await others(limit, "alice", "dave") == count
        limit.made("alice")
    assert follows.rows_read == 2


async def test_a_count_is_read_again_after_its_time_to_live() -> None:
    follows, clock = Follows("bob"), ManualClock()
    limit = a_limit(follows, clock)
    await others(limit, "alice", "dave")
    follows.followees.append("carol")
    clock.advance(COUNT_TTL_S / 2)
    limit.made("alice")
    clock.advance(COUNT_TTL_S / 2 + 0.001)
    assert await others(limit, "alice", "dave") == 2
    assert follows.rows_read == 3, "a follow of this process doesn't renew the count"


@pytest.mark.parametrize(("followed", "rows_read"), [(89, 89), (90, 180), (99, 198)])
async def test_within_a_tenth_of_the_maximum_every_follow_counts(
    followed: int, rows_read: int
) -> None:
    follows = Follows(*(f"u{number}" for number in range(followed)))
    limit = a_limit(follows, ManualClock())
    for _ in range(2):
        await others(limit, "alice", "dave")
    assert follows.rows_read == rows_read


async def test_near_the_maximum_the_followee_itself_is_not_counted() -> None:
    limit = a_limit(Follows("bob", "carol"), ManualClock(), max_following=2)
    assert await others(limit, "alice", "bob") == 1
    assert await others(limit, "alice", "dave") == 2


class Looked:
    """One user's follows as an engine counts them, and what it was asked for."""

    def __init__(self, *, active: int, ended: int) -> None:
        self.active, self.rows = active, active + ended
        self.asked: list[str] = []

    async def following_rows(self, _user_id: str) -> int:
        self.asked.append("rows")
        return self.rows

    async def following_counts(self, _user_id: str) -> FollowingCounts:
        self.asked.append("counts")
        return FollowingCounts(self.active, self.rows)

    async def follows_of(self, _user_id: str, _followee_ids: Any) -> dict[str, Follow]:
        self.asked.append("targets")
        return {}


@pytest.mark.parametrize(
    ("active", "ended", "asked", "counted"),
    [
        (0, 0, ["rows"], 0),
        (89, 0, ["rows"], 89),
        (9, 80, ["rows"], 89),
        (90, 0, ["rows", "targets", "counts"], 90),
        (10, 80, ["rows", "targets", "counts"], 10),
    ],
)
async def test_while_few_rows_are_there_their_number_is_enough(
    active: int, ended: int, asked: list[str], counted: int
) -> None:
    follows = Looked(active=active, ended=ended)
    limit = TieLimit(
        by_counts(cast("Any", follows)), clock=ManualClock(), most=100, too_many=TooManyFollowed
    )
    assert await others(limit, "alice", "dave") == counted
    assert follows.asked == asked


async def test_ended_follows_never_count_as_active_at_the_maximum() -> None:
    follows = Looked(active=10, ended=79)
    limit = TieLimit(
        by_counts(cast("Any", follows)), clock=ManualClock(), most=100, too_many=TooManyFollowed
    )
    for _ in range(90):
        limit.refuse_too_many(await limit.count("alice", "dave"))
        limit.made("alice")
        follows.active += 1
        follows.rows += 1
    with pytest.raises(TooManyFollowed):
        limit.refuse_too_many(await limit.count("alice", "dave"))


@pytest.fixture
async def api() -> AsyncIterator[WriteSide]:
    async with a_write_side(Settings()) as write_side:
        yield write_side


async def test_a_follow_reads_three_rows_and_a_second_one_two_however_many_users_are_followed(
    api: WriteSide,
) -> None:
    await api.registered("alice", "bob", "carol")
    for _ in range(40):
        await api.pipeline.stores.follows.write_following(fresh("u"), [an_edge("alice", offset=0)])
    read: list[str] = []

    def counted(name: str, method: Any) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
            found = await method(*args, **kwargs)
            read.extend([name] * (len(found) if isinstance(found, dict | list) else 1))
            return found

        return call

    stores = api.tables.stores
    for port, name in (
        (stores.users, "get"),
        (stores.ties, "blocks_between"),
        (stores.follows, "following"),
        (stores.follows, "following_counts"),
        (stores.follows, "following_rows"),
        (stores.follows, "follows_of"),
    ):
        setattr(port, name, counted(name, getattr(port, name)))
    assert (await api("PUT", "/users/alice/following/bob")).status_code == 204
    assert sorted(read) == ["following_rows", "get", "get"]
    read.clear()
    assert (await api("PUT", "/users/alice/following/carol")).status_code == 204
    assert read == ["get", "get"], "the actor's row and the followee's; there is no block"
