"""A viewer's recent likes: the newest are in memory, and an older one is looked up."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self
from uuid import UUID

from fanfold.core.ports import Post, RecentLike

LISTED: Final = 500
"""Newest likes kept of a viewer. A feed's newest posts are rarely older than that many likes."""

JUDGED: Final = 100
"""Of these, the newest decide which authors the viewer likes best."""

_CLOCKS_APART_MS: Final = 10_000
"""A like may seem older than its post by the difference of two services' clocks; they are never that far apart."""

_HALF: Final = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class RecentLikes:
    """The posts that a viewer has liked last. `author_shares`: author → their share, 0 to 1, of the last hundred likes.

    Every liked post that was created since `complete_since_ms` (None: every liked post) is among them. The post ids
    are two sorted arrays of half an id each, a seventh of the memory of a set: there are ten thousand such lists.
    """

    author_shares: Mapping[str, float]
    complete_since_ms: int | None
    upper_halves: array[int]
    lower_halves: array[int]

    @classmethod
    def of(cls, likes: Sequence[RecentLike], *, listed: int = LISTED) -> Self:
        """From a viewer's newest likes, newest first; they are all of them if fewer than `listed`."""
        judged = likes[:JUDGED]
        authors = Counter(like.author_id for like in judged)
        numbers = sorted(like.post_id.int for like in likes)
        return cls(
            {author_id: count / len(judged) for author_id, count in authors.items()},
            None if len(likes) < listed else likes[-1].liked_at_ms + _CLOCKS_APART_MS,
            array("Q", [number >> 64 for number in numbers]),
            array("Q", [number & _HALF for number in numbers]),
        )

    def __len__(self) -> int:
        return len(self.upper_halves)

    def __contains__(self, post_id: UUID) -> bool:
        upper, lower = post_id.int >> 64, post_id.int & _HALF
        index = bisect_left(self.upper_halves, upper)
        while index < len(self.upper_halves) and self.upper_halves[index] == upper:
            if self.lower_halves[index] == lower:
                return True
            index += 1
        return False

    def covers(self, created_at_ms: int) -> bool:
        """Whether a post of that time is among them if the viewer likes it."""
        return self.complete_since_ms is None or created_at_ms >= self.complete_since_ms

    def split(self, posts: Sequence[Post]) -> tuple[set[UUID], list[UUID]]:
        """Those of the posts that the viewer likes, and those that are too old to tell: they must be looked up."""
        if not self:
            return set(), []
        liked = {post.post_id for post in posts if post.post_id in self}
        unsure = [
            post.post_id
            for post in posts
            if post.post_id not in liked and not self.covers(post.created_at_ms)
        ]
        return liked, unsure
