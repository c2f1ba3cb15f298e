"""`Users` in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection

from fanfold.adapters.memory.cells import Row, Table
from fanfold.core.ports import User


class MemoryUsers:
    """See `fanfold.core.ports.Users`."""

    def __init__(self) -> None:
        self._users: Table[str] = Table()

    async def get(self, user_id: str) -> User:
        return _user(user_id, self._users.row(user_id) or {})

    async def get_many(self, user_ids: Collection[str]) -> dict[str, User]:
        return {user_id: await self.get(user_id) for user_id in user_ids}

    async def left(self, user_ids: Collection[str]) -> set[str]:
        return {user_id for user_id, user in (await self.get_many(user_ids)).items() if user.left}

    async def generations(self, user_ids: Collection[str]) -> dict[str, int]:
        users = await self.get_many(user_ids)
        return {user_id: user.generation for user_id, user in users.items()}

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
        given = {"bio": bio, "avatar_url": avatar_url}
        self._users.write(
            user_id,
            offset,
            display_name=display_name,
            name_offset=offset,
            **{column: text for column, text in given.items() if text is not None},
        )
        # Negative, so that of several the first registration stays.
        self._users.write(user_id, -offset, registered_at_ms=registered_at_ms)

    async def write_follower_count(self, user: User, *, offset: int) -> None:
        self._users.write(
            user.user_id,
            offset,
            follower_count=user.follower_count,
            generation=user.generation,
            delivery=user.delivery,
            pull_since_ms=user.pull_since_ms or 0,  # a number, so that cells compare
            count_offset=offset,
        )

    async def write_post_count(self, user_id: str, post_count: int, *, offset: int) -> None:
        self._users.write(user_id, offset, post_count=post_count, post_offset=offset)

    async def set_asleep(self, user_id: str, *, asleep: bool, offset: int) -> None:
        self._users.write(user_id, offset, asleep=asleep, asleep_offset=offset)

    async def begin_waking(self, user_id: str, *, offset: int) -> None:
        self._users.write(user_id, offset, woke_offset=offset)

    async def leave(self, user_id: str, *, offset: int) -> None:
        self._users.write(user_id, offset, left=True)

    async def all_users(self) -> AsyncIterator[User]:
        for user_id, row in list(self._users.items()):
            yield _user(user_id, row)


def _user(user_id: str, row: Row) -> User:
    empty: Row = {
        column: row.get(column) or None for column in ("pull_since_ms", "bio", "avatar_url")
    }
    return User(**{**row, **empty, "user_id": user_id})
