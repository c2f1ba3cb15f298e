"""Likes, and their number for each post."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Like:
    """One user's like of one post: it decides the post's count.

    `liked_at_ms` is when the present or last like began; one that begins again within a day keeps the time of the one before. `offset` is the offset of the last event applied.
    """

    user_id: str
    post_id: UUID
    author_id: str
    active: bool
    liked_at_ms: int
    offset: int


class LikeCount(NamedTuple):
    """A post's count, and the offset of the last event counted (None before the first)."""

    likes: int
    offset: int | None


class RecentLike(NamedTuple):
    """A like in the order of a user's likes."""

    liked_at_ms: int
    post_id: UUID
    author_id: str


class ListedLike(NamedTuple):
    """An entry to write in a user's list by time; not `active` if the like has ended. `offset` is its event's."""

    user_id: str
    like: RecentLike
    active: bool
    offset: int


class Likes(Protocol):
    """Likes, stored by the user who likes: no post has a partition that grows with its likes.

    Only the fan-out worker writes them: first the count, then the lists by time, then the likes themselves.
    """

    async def counts(self, post_ids: Collection[UUID]) -> dict[UUID, LikeCount]:
        """The count of each of these posts; (0, None) before its first like. `Posts.get` answers it too."""

    async def write_counts(self, counts: Mapping[UUID, LikeCount]) -> None:
        """Write the counts of these posts, each with its offset atomically. None of the offsets may be None."""

    async def of_post(self, post_id: UUID, user_ids: Collection[str]) -> dict[str, Like]:
        """The likes of one post by these users, active or not."""

    async def of_pairs(self, pairs: Collection[tuple[str, UUID]]) -> dict[tuple[str, UUID], Like]:
        """The likes of these (user id, post id), active or not."""

    async def write(self, likes: Sequence[Like]) -> None:
        """Write each like, each with its own `offset`."""

    async def write_recent(self, entries: Sequence[ListedLike]) -> None:
        """Write each entry into its user's list by time."""

    async def of_user(self, user_id: str, post_ids: Collection[UUID]) -> set[UUID]:
        """Those of these posts that the user likes."""

    async def recent(
        self, user_id: str, *, before: RecentLike | None = None, limit: int
    ) -> list[RecentLike]:
        """A user's active likes, newest first, `before` exclusive; equal times are in order of post id, descending."""
