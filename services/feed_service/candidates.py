"""Posts that may be in a feed, and pages of them: what the caches hold and the merge reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import repeat
from operator import neg
from typing import NamedTuple
from uuid import UUID

from fanfold.core.delivery import Delivery


class Candidate(NamedTuple):
    """A post that may be in the feed. `order` is the negated integer of its id: ascending is newest first.

    Ten of a hundred candidates are shown, and integers are made and compared several times faster than UUIDs.
    """

    order: int
    author_id: str
    source: Delivery

    @property
    def post_id(self) -> UUID:
        return UUID(int=-self.order)


def candidates(
    numbers: Iterable[int], authors: Iterable[str], source: Delivery
) -> Sequence[Candidate]:
    """Candidates of posts with these integers in their ids, and their authors; at a third of the cost of one call for each."""
    return list(map(_candidate, zip(map(neg, numbers), authors, repeat(source))))


_candidate: Callable[[tuple[int, str, Delivery]], Candidate] = partial(tuple.__new__, Candidate)


class Page(NamedTuple):
    """Some candidates, newest first, and whether the store may have older ones."""

    candidates: Sequence[Candidate]
    more: bool
