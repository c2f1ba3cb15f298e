"""Users' rows: names, follower counts, delivery, sleep, and departure."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from typing import Protocol

from fanfold.core.delivery import Delivery


@dataclass(frozen=True, slots=True)
class User:
    """A user's row. A user who was never registered has no display name.

    `generation` is the newest generation of follower buckets. `pull_since_ms` is when the author last crossed
    to pull (log time). `count_offset` is the offset of the last follow event counted; None before the first.
    `asleep_offset` is that of the last sleep or awakening applied, in the topic of activity, and `woke_offset`
    that of the last awakening begun.
    """

    user_id: str
    display_name: str | None = None
    follower_count: int = 0
    generation: int = 0
    delivery: Delivery = "push"
    pull_since_ms: int | None = None
    count_offset: int | None = None
    asleep: bool = False
    asleep_offset: int | None = None
    woke_offset: int | None = None
    left: bool = False


class Users(Protocol):
    """Users' rows. The fan-out worker alone writes all but the display name and the departure."""

    async def get(self, user_id: str) -> User:
        """A user. One who has no row is a user who never registered, without followers."""

    async def get_many(self, user_ids: Collection[str]) -> dict[str, User]:
        """Each of these users by id, likewise."""

    async def register(self, user_id: str, display_name: str, *, offset: int) -> None:
        """Set the display name."""

    async def write_follower_count(self, user: User, *, offset: int) -> None:
        """Write all of the row but the display name, with `count_offset = offset`: one atomic row."""

    async def set_asleep(self, user_id: str, *, asleep: bool, offset: int) -> None:
        """Write whether the user sleeps, with `asleep_offset = offset`."""

    async def begin_waking(self, user_id: str, *, offset: int) -> None:
        """Write that an awakening has begun, with `woke_offset = offset`. The user sleeps on until `set_asleep`."""

    async def leave(self, user_id: str, *, offset: int) -> None:
        """Mark a user as gone, for good."""

    def everyone(self) -> AsyncIterator[User]:
        """Every user with a row, in no order, a page at a time. Changes meanwhile may or may not be seen."""
