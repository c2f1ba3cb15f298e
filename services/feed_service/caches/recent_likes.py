"""What a reader likes: the latest likes at hand, and a question for each older one."""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from fanfold.core.ports import RecentLike
from feed_service.caches.pending import Held

LISTED: Final = 500
"""Likes at hand of a reader, the latest. A feed's newest posts are rarely older than that many likes."""

JUDGED: Final = 100
"""Of these, the latest tell whom the reader likes."""

_CLOCKS_APART_MS: Final = 10_000
"""A like may seem older than its post by the difference of two services' clocks; they are never that far apart."""

_HALF: Final = (1 << 64) - 1


class Ids:
    """Post ids, in a seventh of the memory of a set: there is one of these for each of ten thousand readers."""

    __slots__ = ("_first", "_second")

    def __init__(self, post_ids: Iterable[UUID]) -> None:
        numbers = sorted(post_id.int for post_id in post_ids)
        self._first = array("Q", [number >> 64 for number in numbers])
        self._second = array("Q", [number & _HALF for number in numbers])

    def __len__(self) -> int:
        return len(self._first)

    def __contains__(self, post_id: UUID) -> bool:
        first, second = post_id.int >> 64, post_id.int & _HALF
        at = bisect_left(self._first, first)
        while at < len(self._first) and self._first[at] == first:
            if self._second[at] == second:
                return True
            at += 1
        return False


@dataclass(frozen=True, slots=True)
class RecentLikes:
    """A reader's latest likes. `shares`: author → their share, 0 to 1, of the last hundred.

    Of posts created since `listed_since_ms` (None: of all) every one that the reader likes is in the list.
    """

    ids: Ids = field(default_factory=lambda: Ids(()))
    shares: Mapping[str, float] = field(default_factory=dict)
    listed_since_ms: int | None = None

    def lists(self, post_id: UUID) -> bool:
        """Whether the post is in the list."""
        return post_id in self.ids

    def tells(self, created_at_ms: int) -> bool:
        """Whether a post of that time is in the list if the reader likes it."""
        return self.listed_since_ms is None or created_at_ms >= self.listed_since_ms


def recent_likes_of(recent: Sequence[RecentLike], *, listed: int = LISTED) -> RecentLikes:
    """From a viewer's newest likes, newest first; they are all of them if fewer than `listed`."""
    judged = recent[:JUDGED]
    authors = Counter(sys.intern(like.author_id) for like in judged)
    since_ms = None if len(recent) < listed else recent[-1].liked_at_ms + _CLOCKS_APART_MS
    return RecentLikes(
        ids=Ids(like.post_id for like in recent),
        shares={author_id: likes / len(judged) for author_id, likes in authors.items()},
        listed_since_ms=since_ms,
    )


def shows_likes(
    recent: RecentLikes, changes: Mapping[UUID, Held], offsets: Mapping[UUID, int]
) -> bool:
    """Whether a list of recent likes holds every change known of likes. `offsets`: of likes that had to be looked up.

    What counts is whether a post is in the list or not, as for any cell that is on or off; only the list's end hides it.
    """
    return all(
        recent.lists(post_id) == change.active
        or (post_id in offsets and offsets[post_id] >= change.offset)
        for post_id, change in changes.items()
    )


def hidden_likes(recent: RecentLikes, changes: Mapping[UUID, Held]) -> list[UUID]:
    """Posts liked, says the log, and not in a full list: liked again, maybe, which doesn't renew a like's time."""
    if recent.listed_since_ms is None:
        return []
    return [
        post_id for post_id, held in changes.items() if held.active and not recent.lists(post_id)
    ]
