"""What a reader likes: the latest likes at hand, and a question for each older one."""

from __future__ import annotations

import sys
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from fanfold.stores import RecentLike
from feed_service.pending import Held

LISTED: Final = 500
"""Likes at hand of a reader, the latest. A feed's newest posts are rarely older than that many likes."""

JUDGED: Final = 100
"""Of these, the latest tell whom the reader likes."""

_CLOCKS_APART_MS: Final = 10_000
"""A like may seem older than its post by the difference of two services' clocks; they are never that far apart."""

_ID_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Taste:
    """A reader's latest likes. `shares`: author → their share, 0 to 1, of the last hundred.

    Of posts created since `listed_since_ms` (None: of all) every one that the reader likes is in the list.
    """

    ids: bytes = b""
    shares: Mapping[str, float] = field(default_factory=dict)
    listed_since_ms: int | None = None

    def lists(self, post_id: UUID) -> bool:
        """Whether the post is in the list."""
        # Ids side by side, in order: a set of them would be seven times as large, for each of ten thousand readers.
        count, wanted = len(self.ids) // _ID_BYTES, post_id.bytes
        at = bisect_left(range(count), wanted, key=self._id)
        return at < count and self._id(at) == wanted

    def tells(self, created_at_ms: int) -> bool:
        """Whether a post of that time is in the list if the reader likes it."""
        return self.listed_since_ms is None or created_at_ms >= self.listed_since_ms

    def _id(self, at: int) -> bytes:
        return self.ids[at * _ID_BYTES : (at + 1) * _ID_BYTES]


def taste_of(recent: Sequence[RecentLike], *, listed: int = LISTED) -> Taste:
    """The taste of a reader with these likes, which are the latest, newest first, and all of them if fewer than `listed`."""
    judged = recent[:JUDGED]
    authors = Counter(sys.intern(like.author_id) for like in judged)
    since_ms = None if len(recent) < listed else recent[-1].liked_at_ms + _CLOCKS_APART_MS
    return Taste(
        ids=b"".join(sorted(like.post_id.bytes for like in recent)),
        shares={author_id: likes / len(judged) for author_id, likes in authors.items()},
        listed_since_ms=since_ms,
    )


def shows_likes(taste: Taste, changes: Mapping[UUID, Held], positions: Mapping[UUID, int]) -> bool:
    """Whether a taste holds every change known of likes. `positions`: of likes that had to be looked up.

    What counts is whether a post is in the list or not, as for any cell that is on or off; only the list's end hides it.
    """
    return all(
        taste.lists(post_id) == change.active
        or (post_id in positions and positions[post_id] >= change.position)
        for post_id, change in changes.items()
    )


def hidden_likes(taste: Taste, changes: Mapping[UUID, Held]) -> list[UUID]:
    """Posts liked, says the log, and not in a full list: liked again, maybe, which doesn't renew a like's time."""
    if taste.listed_since_ms is None:
        return []
    return [
        post_id for post_id, held in changes.items() if held.active and not taste.lists(post_id)
    ]
