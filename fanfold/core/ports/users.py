"""Users' rows: names, follower counts, delivery, sleep and leaving."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from typing import Protocol

from fanfold.core.delivery import Delivery


@dataclass(frozen=True, slots=True)
class User:
    """A user's row. A user who never registered has no display name.

    `name_offset` is the offset of the last registration applied. `generation` is the newest generation of follower buckets. `pull_since_ms` is when the author last crossed to pull (log
    time). `count_offset` is the offset of the last follow event counted; None before the first. In the topic of activity,
    `asleep_offset` is the offset of the last sleep or awakening applied, and `woke_offset` that of the last awakening begun.
    `registered_at_ms` is the time of the first registration; None in a row that an earlier version wrote. A profile without a bio or an avatar has None there. `post_count` counts
    posts that are not deleted, and `post_offset` is the offset of the last creation or deletion that it includes.
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
    bio: str | None = None
    avatar_url: str | None = None
    registered_at_ms: int | None = None
    post_count: int = 0
    post_offset: int | None = None

    @property
    def name(self) -> str:
        """The name to show: the display name, or the id of an unregistered user."""
        return self.display_name or self.user_id

    @property
    def shown_name(self) -> str:
        """The same where users who have left are listed too: of them only the id is shown."""
        return self.user_id if self.left else self.name

    @property
    def shown_avatar_url(self) -> str | None:
        """The avatar to show there; None if there is none."""
        return None if self.left else self.avatar_url


class Users(Protocol):
    """Users' rows. Only the fan-out worker writes them, except the profile and the mark of leaving."""

    async def get(self, user_id: str) -> User:
        """A user. A user without a row is unregistered and has no followers."""

    async def get_many(self, user_ids: Collection[str]) -> dict[str, User]:
        """These users by id; users without a row too, as from `get`."""

    async def left(self, user_ids: Collection[str]) -> set[str]:
        """Those of these users who have left. Reads one cell of each row."""

    async def generations(self, user_ids: Collection[str]) -> dict[str, int]:
        """The newest generation of each of these users' followers; 0 without a row. Reads one cell of each row."""

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
        """Set the display name, and the bio and the avatar that are not None; an empty text removes one.

        `registered_at_ms` stays that of the registration with the lowest offset.
        """

    async def write_follower_count(self, user: User, *, offset: int) -> None:
        """Write the follower count and what depends on it (generation, delivery, `pull_since_ms`) atomically, with `count_offset = offset`."""

    async def write_post_count(self, user_id: str, post_count: int, *, offset: int) -> None:
        """Write the number of the author's posts, with `post_offset = offset`."""

    async def set_asleep(self, user_id: str, *, asleep: bool, offset: int) -> None:
        """Write whether the user is asleep, with `asleep_offset = offset`."""

    async def begin_waking(self, user_id: str, *, offset: int) -> None:
        """Write that an awakening has begun, with `woke_offset = offset`. The user is asleep until `set_asleep`."""

    async def leave(self, user_id: str, *, offset: int) -> None:
        """Mark a user as having left, for good."""

    def all_users(self) -> AsyncIterator[User]:
        """Every user with a row, in no order, read a page at a time. Changes meanwhile may or may not show."""
