"""Posts that may be in a feed, and pages of them: what caches hold and the merge reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from fanfold.core.delivery import Delivery


class Candidate(NamedTuple):
    """A post that may be in the feed. `order` is its place, the negative integer in its id: ascending is newest first.

    Of a hundred candidates ten are shown, and integers are made and compared several times faster than UUIDs.
    """

    order: int
    author_id: str
    source: Delivery

    @property
    def post_id(self) -> UUID:
        return UUID(int=-self.order)


def candidate(post_id: UUID, author_id: str, source: Delivery) -> Candidate:
    """A candidate in its place."""
    return Candidate(-post_id.int, author_id, source)


class Page(NamedTuple):
    """Some candidates, newest first, and whether the source may have older ones."""

    candidates: Sequence[Candidate]
    more: bool


class Head:
    """A source's newest candidates, to be kept and read from any place by many merges at once."""

    __slots__ = ("candidates", "more", "orders")

    def __init__(self, candidates: Sequence[Candidate], *, more: bool) -> None:
        self.candidates = tuple(candidates)
        self.orders = [each.order for each in candidates]
        self.more = more
