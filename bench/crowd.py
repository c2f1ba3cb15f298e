"""Authors with followers, written straight into the tables, as 100,000 follows through the log would write them.

The follows themselves are not measured here. Edges lie in the generations in which a growing audience would have put them, and every
follow counts as backfilled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import TypeVar

from fanfold.core.buckets import generation_for
from fanfold.core.delivery import Delivery
from fanfold.core.errors import Unavailable
from fanfold.core.events import PostCreated
from fanfold.core.ids import created_at_ms, new_post_id
from fanfold.core.ports import FollowerEdge, Stores, User
from fanfold.core.settings import Settings
from tests.support.stores import write_edges

T = TypeVar("T")
_EDGES_AT_ONCE = 20_000
_CALLS_AT_ONCE = 64
_TRIES = 5


def reader_id(number: int) -> str:
    return f"reader-{number:07}"


def edges(followers: Sequence[str], settings: Settings, *, since_ms: int) -> Iterable[FollowerEdge]:
    """One active edge for each follower, as if they had followed one after the other."""
    for count, follower_id in enumerate(followers, start=1):
        generation = generation_for(count, settings.bucket_followers)
        yield FollowerEdge(follower_id, generation, True, since_ms, 0, 0)


async def seed_author(
    stores: Stores,
    author_id: str,
    followers: Sequence[str],
    settings: Settings,
    *,
    delivery: Delivery = "push",
    count: int | None = None,
) -> None:
    """Register an author with these followers; `count` may claim more followers than there are rows."""
    total = len(followers) if count is None else count
    standing = User(
        author_id,
        follower_count=total,
        generation=generation_for(total, settings.bucket_followers),
        delivery=delivery,
        pull_since_ms=1 if delivery == "pull" else None,
    )
    await stores.users.register(author_id, f"Author {author_id}", registered_at_ms=0, offset=0)
    await stores.users.write_follower_count(standing, offset=0)
    rows = iter(edges(followers, settings, since_ms=1))
    while chunk := list(islice(rows, _EDGES_AT_ONCE)):
        marks = [(edge.follower_id, 0) for edge in chunk]
        await patiently(partial(write_edges, stores, author_id, chunk))
        await patiently(partial(stores.follows.mark_materialised, author_id, marks))


async def patiently(write: Callable[[], Awaitable[T]]) -> T:
    """Repeat an idempotent write: a freshly started JVM on a busy machine times out now and then."""
    for _ in range(_TRIES - 1):
        try:
            return await write()
        except Unavailable:
            await asyncio.sleep(1)
    return await write()


def new_post(
    author_id: str, *, now_ms: int, content: str = "Measured, not guessed."
) -> PostCreated:
    post_id = new_post_id(now_ms)
    created = datetime.fromtimestamp(created_at_ms(post_id) / 1000, UTC)
    return PostCreated(post_id=post_id, author_id=author_id, content=content, created_at=created)


async def await_each(calls: Iterable[Awaitable[T]]) -> None:
    """Await all, some at a time."""
    await answers_of(calls)


async def answers_of(calls: Iterable[Awaitable[T]]) -> list[T]:
    """The same, and what each answered."""
    waiting, answers = iter(calls), list[T]()
    while chunk := list(islice(waiting, _CALLS_AT_ONCE)):
        answers += await asyncio.gather(*chunk)
    return answers
