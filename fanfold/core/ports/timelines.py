"""Timelines and pulled posts: pointers that expire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol
from uuid import UUID


class Pointer(NamedTuple):
    """A post in a timeline: its content is elsewhere."""

    post_id: UUID
    author_id: str


class TimelineEntry(NamedTuple):
    """A pointer as a timeline is read. `post_number` is the integer in the post's id.

    A feed reads a hundred entries for ten posts that it shows, and integers are made several times faster than UUIDs.
    """

    post_number: int
    author_id: str

    @property
    def post_id(self) -> UUID:
        return UUID(int=self.post_number)


class Pulled(NamedTuple):
    """An author with pulled posts. `version` grows with each of them, in the log's order."""

    last_pulled_at_ms: int
    version: int


class Timelines(Protocol):
    """Pointers: each user's timeline (push) and each celebrity's posts (pull).

    Both expire a day after the retention window; a pointer already past it is not written.
    """

    async def push(self, pointers: Sequence[Pointer], reader_ids: Sequence[str]) -> int:
        """Put every pointer into every reader's timeline. Returns the rows written."""

    async def timeline(
        self, user_id: str, *, before: UUID | None, since_ms: int, limit: int
    ) -> list[TimelineEntry]:
        """A user's timeline, newest first; it may hold authors no longer followed."""

    async def add_pulled(self, pointer: Pointer, *, offset: int) -> None:
        """Store a celebrity's post once, then raise the author's `Pulled`: a reader of the new version sees it."""

    async def pulled(
        self, author_id: str, *, before: UUID | None, since_ms: int, limit: int
    ) -> list[UUID]:
        """A celebrity's pulled posts, newest first."""

    async def pulled_authors(self) -> Mapping[str, Pulled]:
        """Every author with a pulled post that has not expired."""
