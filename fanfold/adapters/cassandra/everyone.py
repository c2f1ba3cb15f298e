"""Walks over all users, in Cassandra: for what an operator does once in a while."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fanfold.adapters.cassandra.session import CassandraSession, Row
from fanfold.core.ports import User

EVERYONE = """
SELECT user_id, display_name, follower_count, generation, delivery, pull_since_ms, count_position,
asleep, asleep_position, woke_position, has_left FROM users
"""
EVERYONE_WHO_FOLLOWS = "SELECT DISTINCT user_id FROM following_by_user"


class Everyone:
    """See `fanfold.core.ports.Graph`."""

    def __init__(self, session: CassandraSession) -> None:
        self._session = session
        self._everyone = session.statement(EVERYONE)
        self._everyone_who_follows = session.statement(EVERYONE_WHO_FOLLOWS)

    async def everyone(self) -> AsyncIterator[User]:
        async for page in self._session.pages(self._everyone):
            for row in page:
                yield user_of(row)

    async def everyone_who_follows(self) -> AsyncIterator[str]:
        async for page in self._session.pages(self._everyone_who_follows):
            for (user_id,) in page:
                yield user_id


def user_of(row: Row) -> User:
    """The user of a row of `EVERYONE`."""
    (
        user_id,
        display_name,
        follower_count,
        generation,
        delivery,
        pull_since_ms,
        count_position,
        asleep,
        asleep_position,
        woke_position,
        has_left,
    ) = row
    return User(
        user_id=user_id,
        display_name=display_name,
        follower_count=follower_count or 0,
        generation=generation or 0,
        delivery=delivery or "push",
        pull_since_ms=pull_since_ms or None,
        count_position=count_position,
        asleep=bool(asleep),
        asleep_position=asleep_position,
        woke_position=woke_position,
        left=bool(has_left),
    )
