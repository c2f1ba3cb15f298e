"""Posts, and each author's list of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple, Protocol
from uuid import UUID

from fanfold.core.delivery import Delivery
from fanfold.core.ids import created_at_ms


@dataclass(frozen=True, slots=True)
class Post:
    """A post's content, stored once.

    `offset` is the offset of the last edit or deletion applied, `like_offset` that of the last like counted (in
    another topic: the two don't compare); None before the first.
    """

    post_id: UUID
    author_id: str
    content: str
    edited_at_ms: int | None = None
    deleted: bool = False
    offset: int | None = None
    like_count: int = 0
    like_offset: int | None = None

    @property
    def created_at_ms(self) -> int:
        return created_at_ms(self.post_id)


class Counted(NamedTuple):
    """What ranking needs of a post; its age is in its id."""

    like_count: int
    deleted: bool


class AuthoredPost(NamedTuple):
    """A pointer to a post of an author. `delivery` is None until the fan-out is planned."""

    post_id: UUID
    delivery: Delivery | None


class Posts(Protocol):
    """Posts, and each author's list of them."""

    async def create(self, post_id: UUID, author_id: str, content: str) -> None:
        """Write the post, then the author's pointer to it."""

    async def edit(self, post_id: UUID, content: str, *, edited_at_ms: int, offset: int) -> None:
        """Replace the shown text."""

    async def note_offset(self, post_id: UUID, *, offset: int) -> None:
        """Record the offset of an event that changed nothing else."""

    async def delete(self, post_id: UUID, *, offset: int) -> None:
        """Mark the post as deleted: a value, not a tombstone."""

    async def get(self, post_ids: Collection[UUID]) -> dict[UUID, Post]:
        """The posts that exist, deleted ones too, in no order."""

    async def counted(self, post_ids: Collection[UUID]) -> dict[UUID, Counted]:
        """The same posts without their content, which may be long."""

    async def set_delivery(
        self, author_id: str, post_id: UUID, delivery: Delivery, *, offset: int
    ) -> None:
        """Record how the post is fanned out."""

    async def by_author(
        self, author_id: str, *, before: UUID | None, since_ms: int, limit: int
    ) -> list[AuthoredPost]:
        """The author's posts, newest first, deleted ones too."""

    async def newest_by_authors(
        self, author_ids: Collection[str], *, since_ms: int, limit: int
    ) -> dict[str, list[AuthoredPost]]:
        """The first page of `by_author` of each of these authors, in their order; empty for an author without posts."""
