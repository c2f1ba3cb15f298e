"""Users' rows: names, follower counts, delivery, sleep and leaving."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from typing import Protocol

from fanfold.core.delivery import Delivery


@dataclass(frozen=True, slots=True)
class User:
    """A user's row. A user who never registered has no display name.

    `name_offset` is the offset of the event that set the display name. `generation` is the newest generation of follower buckets. `pull_since_ms` is when the author last crossed to pull (log
    time). `count_offset` is the offset of the last follow event counted; None before the first. In the topic of activity,
    `asleep_offset` is the offset of the last sleep or awakening applied, and `woke_offset` that of the last awakening begun.
    """

    user_id: str
    display_name: str | None = None
    name_offset: int | None = None
    follower_count: int = 0
    generation: int = 0
    delivery: Delivery = "push"
    pull_since_ms: int | None = None
    count_offset: int | None = None
    asleep: bool = False
    asleep_offset: int | None = None
    woke_offset: int | None = None
    left: bool = False

    @property
    def name(self) -> str:
        """The name to show: the display name, or the id of an unregistered user."""
        return self.display_name or self.user_id


class Users(Protocol):
    """Users' rows. Only the fan-out worker writes them, except the display name and the mark of leaving."""

    async def get(self, user_id: str) -> User:
        """A user. A user without a row is unregistered and has no followers."""

    async def get_many(self, user_ids: Collection[str]) -> dict[str, User]:
        """These users by id; users without a row too, as from `get`."""

    async def register(self, user_id: str, display_name: str, *, offset: int) -> None:
        """Set the display name."""

    async def write_follower_count(self, user: User, *, offset: int) -> None:
        """Write the follower count and what depends on it (generation, delivery, `pull_since_ms`) atomically, with `count_offset = offset`."""

    async def set_asleep(self, user_id: str, *, asleep: bool, offset: int) -> None:
        """Write whether the user is asleep, with `asleep_offset = offset`."""

    async def begin_waking(self, user_id: str, *, offset: int) -> None:
        """Write that an awakening has begun, with `woke_offset = offset`. The user is asleep until `set_asleep`."""

    async def leave(self, user_id: str, *, offset: int) -> None:
        """Mark a user as having left, for good."""

    def all_users(self) -> AsyncIterator[User]:
        """Every user with a row, in no order, read a page at a time. Changes meanwhile may or may not show."""
