"""`Users` in Cassandra."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection

from cassandra.query import UNSET_VALUE

from fanfold.adapters.cassandra.batches import BatchWriter
from fanfold.adapters.cassandra.multi_get import (
    KEYS_IN_A_LIST,
    KEYS_OF_ONE_CELL,
    MultiGet,
)
from fanfold.adapters.cassandra.replica_sets import ReplicaSets
from fanfold.adapters.cassandra.session import CassandraSession, Row
from fanfold.adapters.cassandra.timestamps import at_offset, before_later_ones, offset_of
from fanfold.core.ports import User

ALL_USERS = """
SELECT user_id, display_name, WRITETIME(display_name), follower_count, generation, delivery, pull_since_ms, count_offset,
asleep, asleep_offset, woke_offset, has_left, bio, avatar_url, registered_at_ms,
post_count, post_offset FROM users
"""
GET = ALL_USERS + "WHERE user_id IN ?"
# Of each follow and of each followee of a sleeper: a whole row costs ten times as much.
LEFT = "SELECT user_id, has_left FROM users WHERE user_id IN ?"
GENERATIONS = "SELECT user_id, generation FROM users WHERE user_id IN ?"
REGISTER = """
UPDATE users USING TIMESTAMP ? SET display_name = ?, bio = ?, avatar_url = ? WHERE user_id = ?
"""
NOTE_REGISTRATION = "UPDATE users USING TIMESTAMP ? SET registered_at_ms = ? WHERE user_id = ?"
WRITE_FOLLOWER_COUNT = """
UPDATE users USING TIMESTAMP ?
SET follower_count = ?, generation = ?, delivery = ?, pull_since_ms = ?, count_offset = ?
WHERE user_id = ?
"""
WRITE_POST_COUNT = """
UPDATE users USING TIMESTAMP ? SET post_count = ?, post_offset = ? WHERE user_id = ?
"""
SET_ASLEEP = "UPDATE users USING TIMESTAMP ? SET asleep = ?, asleep_offset = ? WHERE user_id = ?"
BEGIN_WAKING = "UPDATE users USING TIMESTAMP ? SET woke_offset = ? WHERE user_id = ?"
LEAVE = "UPDATE users USING TIMESTAMP ? SET has_left = true WHERE user_id = ?"


class CassandraUsers:
    """See `fanfold.core.ports.Users`."""

    def __init__(
        self, session: CassandraSession, *, batches: BatchWriter, replica_sets: ReplicaSets
    ) -> None:
        self._session = session
        self._batches = batches
        self._get, self._left, self._generations = (
            MultiGet[str](
                session,
                session.statement(statement),
                replica_sets=replica_sets,
                routing_key=str.encode,
                most_keys=most_keys,
            )
            for statement, most_keys in (
                (GET, KEYS_IN_A_LIST),
                (LEFT, KEYS_OF_ONE_CELL),
                (GENERATIONS, KEYS_OF_ONE_CELL),
            )
        )
        self._register = session.statement(REGISTER)
        self._note_registration = session.statement(NOTE_REGISTRATION)
        self._write_follower_count = session.statement(WRITE_FOLLOWER_COUNT)
        self._write_post_count = session.statement(WRITE_POST_COUNT)
        self._set_asleep = session.statement(SET_ASLEEP)
        self._begin_waking = session.statement(BEGIN_WAKING)
        self._leave = session.statement(LEAVE)
        self._all_users = session.statement(ALL_USERS)

    async def get(self, user_id: str) -> User:
        row = await self._get.row(user_id)
        return User(user_id) if row is None else _user(row)

    async def get_many(self, user_ids: Collection[str]) -> dict[str, User]:
        found = {row[0]: _user(row) for row in await self._get.rows(user_ids)}
        return {user_id: found.get(user_id) or User(user_id) for user_id in user_ids}

    async def left(self, user_ids: Collection[str]) -> set[str]:
        return {user_id for user_id, left in await self._left.rows(user_ids) if left}

    async def generations(self, user_ids: Collection[str]) -> dict[str, int]:
        found = dict.fromkeys(user_ids, 0)
        for user_id, generation in await self._generations.rows(user_ids):
            found[user_id] = generation or 0
        return found

    async def register(
        self,
        user_id: str,
        display_name: str,
        *,
        bio: str | None = None,
        avatar_url: str | None = None,
        registered_at_ms: int,
        offset: int,
    ) -> None:
        # Null would be a tombstone, and would remove what is to stay.
        given = (UNSET_VALUE if text is None else text for text in (bio, avatar_url))
        row_of = self._session.packing
        await self._batches.write(
            [
                row_of(self._register).row(at_offset(offset), display_name, *given, user_id),
                row_of(self._note_registration).row(
                    before_later_ones(offset), registered_at_ms, user_id
                ),
            ]
        )

    async def write_follower_count(self, user: User, *, offset: int) -> None:
        await self._batches.write_row(
            self._write_follower_count,
            at_offset(offset),
            user.follower_count,
            user.generation,
            user.delivery,
            user.pull_since_ms or 0,  # null would be a tombstone
            offset,
            user.user_id,
        )

    async def write_post_count(self, user_id: str, post_count: int, *, offset: int) -> None:
        await self._batches.write_row(
            self._write_post_count, at_offset(offset), post_count, offset, user_id
        )

    async def set_asleep(self, user_id: str, *, asleep: bool, offset: int) -> None:
        await self._batches.write_row(self._set_asleep, at_offset(offset), asleep, offset, user_id)

    async def begin_waking(self, user_id: str, *, offset: int) -> None:
        await self._batches.write_row(self._begin_waking, at_offset(offset), offset, user_id)

    async def leave(self, user_id: str, *, offset: int) -> None:
        await self._batches.write_row(self._leave, at_offset(offset), user_id)

    async def all_users(self) -> AsyncIterator[User]:
        async for page in self._session.pages(self._all_users):
            for row in page:
                yield _user(row)


def _user(row: Row) -> User:
    (
        user_id,
        display_name,
        name_written,
        follower_count,
        generation,
        delivery,
        pull_since_ms,
        count_offset,
        asleep,
        asleep_offset,
        woke_offset,
        has_left,
        bio,
        avatar_url,
        registered_at_ms,
        post_count,
        post_offset,
    ) = row
    return User(
        user_id=user_id,
        display_name=display_name,
        name_offset=None if name_written is None else offset_of(name_written),
        follower_count=follower_count or 0,
        generation=generation or 0,
        delivery=delivery or "push",
        pull_since_ms=pull_since_ms or None,
        count_offset=count_offset,
        asleep=bool(asleep),
        asleep_offset=asleep_offset,
        woke_offset=woke_offset,
        left=bool(has_left),
        bio=bio or None,
        avatar_url=avatar_url or None,
        registered_at_ms=registered_at_ms,
        post_count=post_count or 0,
        post_offset=post_offset,
    )
