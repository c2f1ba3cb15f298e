"""A user who comes back after a long absence finds the feed that follows from the log, from the first read on."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from functools import partial

import pytest

from fanfold.core.events import Event, PostCreated, UserFellAsleep, UserFollowed, UserUnfollowed
from fanfold.core.ids import created_at_ms, new_post_id
from tests.support.eventually import eventually
from tests.support.oracle import Oracle
from tests.support.stacks import Stack

AUTHORS = [f"author-{n}" for n in range(6)]
CELEBRITY = "nova"
SLEEPERS = [f"sleeper-{n}" for n in range(4)]
AWAKE = ["awake-0", "awake-1"]
READERS = SLEEPERS + AWAKE


@pytest.fixture
def stack_settings() -> dict[str, float]:
    return {"pull_threshold": len(READERS), "overlap_s": 0}


def now() -> datetime:
    return datetime.fromtimestamp(time.time_ns() // 1_000_000 / 1000, UTC)


def a_follow(reader: str, author: str) -> Event:
    return UserFollowed(follower_id=reader, followee_id=author, followed_at=now())


def an_unfollow(reader: str, author: str) -> Event:
    return UserUnfollowed(follower_id=reader, followee_id=author, unfollowed_at=now())


def a_post(author: str) -> Event:
    post_id = new_post_id(time.time_ns() // 1_000_000)
    at = datetime.fromtimestamp(created_at_ms(post_id) / 1000, UTC)
    return PostCreated(post_id=post_id, author_id=author, content=f"by {author}", created_at=at)


def a_sleep(reader: str) -> Event:
    return UserFellAsleep(user_id=reader, fell_asleep_at=now())


async def shown(stack: Stack, reader: str) -> list[str]:
    path = f"/users/{reader}/feed?ranking=chronological&limit=100"
    answer = await stack.api("GET", path, actor=reader)
    assert answer.status_code == 200
    page = answer.json()
    assert page["complete"], answer.headers
    assert page["next_cursor"] is None
    return [item["post_id"] for item in page["items"]]


async def fold(stack: Stack) -> Oracle:
    """Once for all readers: what reading appends is in no feed."""
    return Oracle().fold(await stack.raw_records())


def expected(oracle: Oracle, reader: str) -> list[str]:
    return [post_id for post_id, *_ in oracle.feed(reader)]


async def is_right(stack: Stack, oracle: Oracle, reader: str) -> bool:
    return await shown(stack, reader) == expected(oracle, reader)


async def live(stack: Stack, rng: random.Random) -> None:
    """A while of posts, follows and unfollows, by those who sleep as well."""
    for _ in range(3):
        edges = [(rng.choice(READERS), rng.choice(AUTHORS)) for _ in range(6)]
        changes = [rng.choice([a_follow, a_follow, an_unfollow])(*edge) for edge in edges]
        posts = [a_post(rng.choice(AUTHORS)) for _ in range(5)]
        await stack.log.append_many([*posts, *changes, a_post(CELEBRITY)])


async def awakenings(stack: Stack) -> int:
    return sum(kind == "fanfold.UserWoke.v1" for *_, kind, _ in await stack.raw_records())


async def test_a_feed_is_right_at_the_first_read_after_sleeping_and_after_the_awakening(
    stack: Stack,
) -> None:
    rng = random.Random(7)
    first = [a_follow(reader, author) for reader in READERS for author in (CELEBRITY, *AUTHORS[:3])]
    await stack.log.append_many(first)
    await stack.quiet()
    for turn in range(1, 4):
        await stack.log.append_many([a_sleep(reader) for reader in SLEEPERS])
        await live(stack, rng)
        await stack.quiet()
        oracle = await fold(stack)
        # The set of pulled authors is at most a second old.
        for reader in AWAKE:
            await eventually(partial(is_right, stack, oracle, reader), within_s=30, what=reader)
        for reader in SLEEPERS:
            assert await shown(stack, reader) == expected(oracle, reader)
            assert await shown(stack, reader) == expected(oracle, reader), "and again"

        async def all_woken(turn: int = turn) -> bool:
            return await awakenings(stack) == turn * len(SLEEPERS)

        await eventually(all_woken, within_s=30, what="each sleeper woken once")
        await stack.quiet()
        for reader in READERS:
            assert await shown(stack, reader) == expected(oracle, reader)
        await live(stack, rng)
        await stack.quiet()
        oracle = await fold(stack)
        for reader in READERS:
            await eventually(partial(is_right, stack, oracle, reader), within_s=30, what=reader)
