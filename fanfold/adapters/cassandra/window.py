"""The number of batches that a process may have in flight: fewer while Cassandra can't keep up."""

from __future__ import annotations

NARROWED_TO = 0.5
WIDENED_BY = 0.1


class Window:
    """Room for batches that a failure narrows and answers widen again, between one and `most`.

    A node that has just restarted is slow at first. Batches that it can't answer within the timeout would be retried all at
    once and overload it again.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._allowed = float(most)
        self._taken = 0

    def has_room(self) -> bool:
        return self._taken < int(self._allowed)

    def enter(self) -> None:
        """Take the room of one batch."""
        self._taken += 1

    def leave(self, *, answered: bool) -> None:
        """Give it back."""
        change = self._allowed + WIDENED_BY if answered else self._allowed * NARROWED_TO
        self._allowed = min(max(change, 1.0), float(self._most))
        self._taken -= 1
