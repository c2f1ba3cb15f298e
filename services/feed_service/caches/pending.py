"""Changes that the log has shown and the tables may not hold yet.

The tail of the log may see an event before the worker has projected it. Forgetting the cached value is then not
enough: the next load would cache the old one again. So a change stays pending here, and a loaded value is kept only
if it shows the change. It stays pending afterwards too, because a load that began earlier may still be on its way.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID

from cachetools import TTLCache

from fanfold.core.clock import Clock
from fanfold.core.events import ViewerCell
from fanfold.core.ports import AuthoredPost, Post

K = TypeVar("K", bound=Hashable)

PENDING_S = 300.0
"""How long a change stays pending. If the worker is further behind, `cache_ttl_s` bounds what a cache adds to that."""

_MOST_PENDING = 200_000  # cells of a kind changed within those minutes; the oldest beyond are bounded like that too


class Held(NamedTuple):
    """What a cell holds, or will: whether it is on, and the offset of the event that made it so."""

    active: bool
    offset: int


class Pending:
    """What is known to have changed. Offsets of one cell are of one partition, so they compare.

    Of one cell the change with the largest offset stays, in whichever order they are told: a tail may start again from an
    earlier place, and who reads after a write repeats that write.
    """

    def __init__(self, clock: Clock) -> None:
        self._posts: TTLCache[UUID, int] = _cells(clock)
        self._newest_of: TTLCache[str, tuple[int, UUID]] = _cells(clock)
        self._seen_by: _Changes[ViewerCell] = _Changes(clock)
        self._names: TTLCache[str, tuple[int, str]] = _cells(clock)
        self._left: TTLCache[str, bool] = _cells(clock)
        # Apart from the posts' own: the offsets of two topics don't compare.
        self._counts: TTLCache[UUID, int] = _cells(clock)
        self._awaited_counts: TTLCache[UUID, int] = _cells(clock)
        self._likes_of: _Changes[UUID] = _Changes(clock)

    def post_changed(self, post_id: UUID, offset: int) -> None:
        """A post was edited or deleted."""
        self._posts[post_id] = max(offset, self._posts.get(post_id, offset))

    def post_created(self, author_id: str, post_id: UUID, offset: int) -> None:
        """An author's list grew."""
        latest = self._newest_of.get(author_id, (offset, post_id))
        self._newest_of[author_id] = max(latest, (offset, post_id))

    def viewer_graph_changed(self, user_id: str, cell: ViewerCell, held: Held) -> None:
        """Something changed about whose posts a user sees."""
        self._seen_by.note(user_id, cell, held)

    def renamed(self, user_id: str, display_name: str, offset: int) -> None:
        """A user registered or changed the display name."""
        latest = self._names.get(user_id, (offset, display_name))
        self._names[user_id] = max(latest, (offset, display_name))

    def user_left(self, user_id: str) -> None:
        """A user left, for good."""
        self._left[user_id] = True

    def like_changed(self, user_id: str, post_id: UUID, held: Held) -> None:
        """A user liked a post, or took a like back."""
        self._counts[post_id] = max(held.offset, self._counts.get(post_id, held.offset))
        self._likes_of.note(user_id, post_id, held)

    def count_awaited(self, post_id: UUID, offset: int) -> None:
        """Somebody has to see this like counted."""
        self._awaited_counts[post_id] = max(offset, self._awaited_counts.get(post_id, offset))

    def shows_post(self, post: Post) -> bool:
        """Whether this row holds every edit known of the post, its deletion, and the likes that somebody has to see."""
        counted = _reaches(post.like_offset, self._awaited_counts.get(post.post_id))
        return counted and _reaches(post.offset, self._posts.get(post.post_id))

    def shows_count(self, post: Post) -> bool:
        """Whether this row counts every like known of the post."""
        return _reaches(post.like_offset, self._counts.get(post.post_id))

    def shows_authored(self, author_id: str, newest: Sequence[AuthoredPost]) -> bool:
        """Whether an author's newest pointers hold every post known, all with their modes.

        A mode is written once a post's fan-out is planned, by the worker, which takes an author's posts in the order of the
        log: a mode on the last one known says that those before it are in the table too.
        """
        if any(pointer.delivery is None for pointer in newest):
            return False
        last = self._newest_of.get(author_id)
        return last is None or any(pointer.post_id == last[1] for pointer in newest)

    def shows_viewer_graph(self, user_id: str, rows: Mapping[ViewerCell, Held]) -> bool:
        """Whether the rows about whose posts a user sees hold every change known."""
        changed = self._seen_by.of(user_id)
        return all(_shows(rows.get(cell), held) for cell, held in changed.items())

    def name_of(self, user_id: str) -> str | None:
        """The display name last set, if lately: the log's word counts before the table's."""
        last = self._names.get(user_id)
        return None if last is None else last[1]

    def has_left(self, user_id: str) -> bool:
        """Whether the log has lately said that a user left."""
        return user_id in self._left

    def likes_of(self, user_id: str) -> Mapping[UUID, Held]:
        """The likes that a user has lately given or taken back."""
        return self._likes_of.of(user_id)


class _Changes(Generic[K]):
    """Users' changed cells, each for its own lifetime: who changes something all the time doesn't keep all of it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._by_user: TTLCache[str, dict[K, tuple[float, Held]]] = _cells(clock)

    def note(self, user_id: str, key: K, held: Held) -> None:
        changes = self._by_user.get(user_id, {})
        now_s = self._clock.monotonic_s()
        until_s, known = changes.pop(key, (now_s, held))
        if until_s > now_s and known.offset > held.offset:
            held = known
        changes[key] = (now_s + PENDING_S, held)  # the last, as it lasts longest
        while changes[oldest := next(iter(changes))][0] <= now_s:
            del changes[oldest]
        self._by_user[user_id] = changes  # set again, for a new lifetime

    def of(self, user_id: str) -> Mapping[K, Held]:
        now_s = self._clock.monotonic_s()
        changes = self._by_user.get(user_id, {})
        return {key: held for key, (until_s, held) in changes.items() if until_s > now_s}


def _cells(clock: Clock) -> TTLCache[Any, Any]:
    return TTLCache(_MOST_PENDING, PENDING_S, timer=clock.monotonic_s)


def _reaches(shown: int | None, awaited: int | None) -> bool:
    return awaited is None or (shown is not None and shown >= awaited)


def _shows(row: Held | None, change: Held) -> bool:
    if row is None or not row.active:
        # Off is what an end leaves, whichever of its rows we see.
        return not change.active or (row is not None and row.offset >= change.offset)
    return row.offset >= change.offset
