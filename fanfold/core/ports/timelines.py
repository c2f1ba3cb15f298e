"""Timelines and pulled posts: pointers that expire."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol
from uuid import UUID


class Pointer(NamedTuple):
    """A pointer to a post: all that a timeline stores."""

    post_id: UUID
    author_id: str


class TimelineEntry(NamedTuple):
    """A pointer as a timeline read returns it: with the post id as an integer, which is faster to make and to compare.

    A read compares hundreds of entries and shows ten of them.
    """

    post_number: int
    author_id: str

    @property
    def post_id(self) -> UUID:
        return UUID(int=self.post_number)


class Timelines(Protocol):
    """Pointers: each user's timeline (push) and each celebrity's posts (pull).

    Both expire a day after the retention window. A pointer that has expired already is not written.
    """

    async def push(self, pointers: Sequence[Pointer], user_ids: Sequence[str]) -> int:
        """Put every pointer into the timeline of every user. Returns the number of rows written."""

    async def correct(self, user_id: str, pointer: Pointer) -> None:
        """Write the author into a pointer that may name another one. It stays, whatever is pushed to this row later."""

    async def timeline(
        self, user_id: str, *, before: UUID | None, since_ms: int, limit: int
    ) -> list[TimelineEntry]:
        """A user's timeline, newest first. Posts by authors that the user has unfollowed may still be in it."""

    async def add_pulled(self, pointer: Pointer) -> None:
        """Store a celebrity's post. Readers look for it only if its author is among the `PulledAuthors`."""

    async def pulled(
        self, author_id: str, *, before: UUID | None, since_ms: int, limit: int
    ) -> list[UUID]:
        """A celebrity's pulled posts, newest first."""
