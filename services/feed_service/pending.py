"""Changes that the log has shown and the tables may not hold yet.

The tail of the log may see an event before the worker has projected it. Forgetting the cached value is then not
enough: the next load would cache the old one again. So a change stays pending here, and a loaded value is kept only
if it shows the change. It stays pending afterwards too, because a load that began earlier may still be on its way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple
from uuid import UUID

from cachetools import TTLCache

from fanfold.clock import Clock
from fanfold.stores import AuthoredPost, Post

PENDING_S = 300.0
"""How long a change stays pending. If the worker is further behind, `cache_ttl_s` bounds what a cache adds to that."""

_MOST_PENDING = 200_000  # cells of a kind changed within those minutes; the oldest beyond are bounded like that too


class Cell(NamedTuple):
    """One of the cells that decide whose posts a reader sees: which of them, and about whom."""

    kind: Literal["follow", "mute", "block", "blocked_by", "asleep"]
    other_id: str = ""


class Held(NamedTuple):
    """What a cell holds, or will: whether it is on, and the offset of the event that made it so."""

    active: bool
    position: int


class Pending:
    """What is known to have changed. Offsets of one cell are of one partition, so they compare."""

    def __init__(self, clock: Clock) -> None:
        self._posts: TTLCache[UUID, int] = _cells(clock)
        self._newest_of: TTLCache[str, UUID] = _cells(clock)
        self._seen_by: TTLCache[str, dict[Cell, Held]] = _cells(clock)
        self._names: TTLCache[str, str] = _cells(clock)
        self._left: TTLCache[str, bool] = _cells(clock)
        # Apart from the posts' own: the offsets of two topics don't compare.
        self._counts: TTLCache[UUID, int] = _cells(clock)
        self._likes_of: TTLCache[str, dict[UUID, Held]] = _cells(clock)

    def post_changed(self, post_id: UUID, offset: int) -> None:
        """A post was edited or deleted."""
        # The tail may start again from an earlier place.
        self._posts[post_id] = max(offset, self._posts.get(post_id, offset))

    def post_created(self, author_id: str, post_id: UUID) -> None:
        """An author's list grew; called in the order of the log."""
        self._newest_of[author_id] = post_id

    def sight_changed(self, user_id: str, cell: Cell, held: Held) -> None:
        """Something changed about whose posts a user sees."""
        cells = self._seen_by.get(user_id, {})
        cells[cell] = held
        self._seen_by[user_id] = cells  # set again, for a new lifetime

    def renamed(self, user_id: str, display_name: str) -> None:
        """A user registered or changed the display name."""
        self._names[user_id] = display_name

    def user_left(self, user_id: str) -> None:
        """A user left, for good."""
        self._left[user_id] = True

    def like_changed(self, user_id: str, post_id: UUID, held: Held) -> None:
        """A user liked a post, or took a like back."""
        self._counts[post_id] = max(held.position, self._counts.get(post_id, held.position))
        likes = self._likes_of.get(user_id, {})
        if post_id not in likes or likes[post_id].position <= held.position:
            likes[post_id] = held
        self._likes_of[user_id] = likes  # set again, for a new lifetime

    def shows_post(self, post: Post) -> bool:
        """Whether this row holds every edit known of the post, and its deletion."""
        offset = self._posts.get(post.post_id)
        return offset is None or (post.position is not None and post.position >= offset)

    def shows_count(self, post: Post) -> bool:
        """Whether this row counts every like known of the post."""
        offset = self._counts.get(post.post_id)
        return offset is None or (post.like_position is not None and post.like_position >= offset)

    def shows_authored(self, author_id: str, newest: Sequence[AuthoredPost]) -> bool:
        """Whether an author's newest pointers hold every post known, all with their modes.

        A mode is written once a post's fan-out is planned, by the worker, which takes an author's posts in the order of the
        log: a mode on the last one known says that those before it are in the table too.
        """
        if any(pointer.mode is None for pointer in newest):
            return False
        last = self._newest_of.get(author_id)
        return last is None or any(pointer.post_id == last for pointer in newest)

    def shows_sight(self, user_id: str, rows: Mapping[Cell, Held]) -> bool:
        """Whether the rows about whose posts a user sees hold every change known."""
        changed = self._seen_by.get(user_id, {})
        return all(_shows(rows.get(cell), held) for cell, held in changed.items())

    def name_of(self, user_id: str) -> str | None:
        """The display name last set, if lately: the log's word counts before the table's."""
        return self._names.get(user_id)

    def has_left(self, user_id: str) -> bool:
        """Whether the log has lately said that a user left."""
        return user_id in self._left

    def likes_of(self, user_id: str) -> Mapping[UUID, Held]:
        """The likes that a user has lately given or taken back."""
        return self._likes_of.get(user_id, {})


def _cells(clock: Clock) -> TTLCache[Any, Any]:
    return TTLCache(_MOST_PENDING, PENDING_S, timer=clock.monotonic_s)


def _shows(row: Held | None, change: Held) -> bool:
    if row is None or not row.active:
        # Off is what an end leaves, whichever of its rows we see.
        return not change.active or (row is not None and row.position >= change.position)
    return row.position >= change.position
