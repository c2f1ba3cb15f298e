"""Which users an audit looks at."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence

from fanfold.core.ports import Follows


async def named(user_ids: Sequence[str]) -> AsyncIterator[str]:
    """These users."""
    for user_id in user_ids:
        yield user_id


async def everyone(follows: Follows) -> AsyncIterator[str]:
    """Every user who follows or followed someone."""
    async for user_id in follows.all_follower_ids():
        yield user_id


async def sample(follows: Follows, count: int) -> AsyncIterator[str]:
    """This many of them, from a random one on: the tables keep users in the order of a hash, so neighbours have nothing in common."""
    found = 0
    first: str | None = None
    async for user_id in follows.all_follower_ids(after=secrets.token_hex(8)):
        if found == count:
            return
        found, first = found + 1, first or user_id
        yield user_id
    # The end was reached: the others are before the first.
    async for user_id in follows.all_follower_ids():
        if found == count or user_id == first:
            return
        found += 1
        yield user_id
