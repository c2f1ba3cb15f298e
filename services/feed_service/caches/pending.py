"""Changes that the log has shown and the tables may not show yet.

The tail of the log may see an event before the worker has projected it. Dropping the cached value is then not enough,
because the next load would cache the old one again. So a change stays pending here, and a loaded value is cached only if
it shows the change. It stays pending afterwards too, because a load that began earlier may still be in flight.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar
from uuid import UUID

from cachetools import Cache, TTLCache

from fanfold.core.clock import Clock
from fanfold.core.events import ViewerCell
from fanfold.core.ports import AuthoredPost, Post

K = TypeVar("K", bound=Hashable)

PENDING_S = 300.0
"""How long a change stays pending. If the worker is further behind, `cache_ttl_s` bounds the extra staleness."""

_MOST_PENDING = (
    200_000  # changes of one kind; `cache_ttl_s` bounds the extra staleness of older ones too
)


class CellState(NamedTuple):
    """The value of a cell, now or soon: whether it is on, and the offset of the event behind that."""

    active: bool
    offset: int


class ViewerGraphRows(Protocol):
    """The rows that a viewer graph was made of, as cells."""

    def state_of(self, cell: ViewerCell) -> CellState | None:
        """The state of a cell; None if there is no row."""

    def decides(self, cell: ViewerCell) -> bool:
        """Whether the cell was read. Where it wasn't, the graph is the same whatever its state."""


class Pending:
    """The changes that are known. Offsets of one cell are of one partition, so they compare.

    The change of a cell with the largest offset stays, whatever the order of the calls: the tail may start again from an
    earlier offset, and a request that reads after a write applies that write again.
    """

    def __init__(self, clock: Clock) -> None:
        self._posts: TTLCache[UUID, int] = _cells(clock)
        self._newest_of: TTLCache[str, tuple[int, UUID]] = _cells(clock)
        self._viewer_graphs: _Changes[ViewerCell] = _Changes(clock)
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

    def viewer_graph_changed(self, user_id: str, cell: ViewerCell, state: CellState) -> None:
        """A cell of a viewer graph changed."""
        self._viewer_graphs.note(user_id, cell, state)

    def renamed(self, user_id: str, display_name: str, offset: int) -> None:
        """A user registered or changed the display name."""
        latest = self._names.get(user_id, (offset, display_name))
        self._names[user_id] = max(latest, (offset, display_name))

    def user_left(self, user_id: str) -> None:
        """A user left, for good."""
        self._left[user_id] = True

    def like_changed(self, user_id: str, post_id: UUID, state: CellState) -> None:
        """A user liked a post, or took a like back."""
        self._counts[post_id] = max(state.offset, self._counts.get(post_id, state.offset))
        self._likes_of.note(user_id, post_id, state)

    def count_awaited(self, post_id: UUID, offset: int) -> None:
        """A request has to see this like counted."""
        self._awaited_counts[post_id] = max(offset, self._awaited_counts.get(post_id, offset))

    def shows_post(self, post: Post) -> bool:
        """Whether this row shows all known edits of the post, its deletion, and the likes that a request has to see."""
        counted = _reaches(post.like_offset, self._awaited_counts.get(post.post_id))
        return counted and _reaches(post.offset, self._posts.get(post.post_id))

    def shows_count(self, post: Post) -> bool:
        """Whether this row counts all known likes of the post."""
        return _reaches(post.like_offset, self._counts.get(post.post_id))

    def shows_authored(self, author_id: str, newest: Sequence[AuthoredPost]) -> bool:
        """Whether an author's newest pointers show all known posts, each with its delivery.

        The worker writes the delivery when it plans a post's fan-out, in the order of the log. So if the last known post
        has one, the posts before it are in the table too.
        """
        if any(pointer.delivery is None for pointer in newest):
            return False
        last = self._newest_of.get(author_id)
        return last is None or any(pointer.post_id == last[1] for pointer in newest)

    def changes_viewer_graph(self, user_id: str) -> bool:
        """Whether any change of a viewer graph is pending."""
        return bool(self._viewer_graphs.of(user_id))

    def shows_viewer_graph(self, user_id: str, rows: ViewerGraphRows | None) -> bool:
        """Whether these rows show all known changes of a viewer graph. A change that has no effect on it needn't show.

        A graph without rows, as cached, shows none.
        """
        changed = self._viewer_graphs.of(user_id)
        if rows is None:
            return not changed
        return all(
            _shows(rows.state_of(cell), state)
            for cell, state in changed.items()
            if rows.decides(cell)
        )

    def name_of(self, user_id: str) -> str | None:
        """The display name set last, if it was lately. The log is newer than the table."""
        last = self._names.get(user_id)
        return None if last is None else last[1]

    def has_left(self, user_id: str) -> bool:
        """Whether a user has left, according to the newest part of the log."""
        return self._left.get(user_id, False)

    def likes_of(self, user_id: str) -> Mapping[UUID, CellState]:
        """The likes that a user has lately given or taken back, by post."""
        return self._likes_of.of(user_id)


class _Changes(Generic[K]):
    """Users' changed cells. Each has its own lifetime, so a user who keeps changing cells doesn't keep all of them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._by_user: TTLCache[str, dict[K, tuple[float, CellState]]] = _cells(clock)

    def note(self, user_id: str, key: K, state: CellState) -> None:
        changes = self._by_user.get(user_id, {})
        now_s = self._clock.monotonic_s()
        until_s, known = changes.pop(key, (now_s, state))
        if until_s > now_s and known.offset > state.offset:
            state = known
        changes[key] = (now_s + PENDING_S, state)  # at the end, because it expires last
        while changes[oldest := next(iter(changes))][0] <= now_s:
            del changes[oldest]
        self._by_user[user_id] = changes  # set again, for a new lifetime

    def of(self, user_id: str) -> Mapping[K, CellState]:
        now_s = self._clock.monotonic_s()
        changes = self._by_user.get(user_id, {})
        return {key: state for key, (until_s, state) in changes.items() if until_s > now_s}


class _Cells(TTLCache[Any, Any]):
    """A page looks up hundreds of cells, and nearly none is pending: such a one needs no look at the clock."""

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(key, default) if Cache.__contains__(self, key) else default


def _cells(clock: Clock) -> TTLCache[Any, Any]:
    return _Cells(_MOST_PENDING, PENDING_S, timer=clock.monotonic_s)


def _reaches(shown: int | None, awaited: int | None) -> bool:
    return awaited is None or (shown is not None and shown >= awaited)


def _shows(row: CellState | None, change: CellState) -> bool:
    if row is None or not row.active:
        # A cell that was switched off may have an inactive row or none.
        return not change.active or (row is not None and row.offset >= change.offset)
    return row.offset >= change.offset
