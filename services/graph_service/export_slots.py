"""How many exports are written at a time: a client may read one as slowly as it likes, and a few users must not take all requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from fanfold.http.problems import NotNow, TooManyRequests


class ExportSlots:
    """The exports under way in this process: at most `most` in all, and `most_per_user` of one user."""

    most = 16
    most_per_user = 2

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    @contextmanager
    def taken(self, user_id: str) -> Iterator[None]:
        """One slot, until the block ends. Answers 429 when this user has as many as one may, and 503 when none is free."""
        if self._open[user_id] >= self.most_per_user:
            raise TooManyRequests(f"Finish one of your {self.most_per_user} exports first.")
        if self._open.total() >= self.most:
            raise NotNow("This server writes as many exports as it may. Retry later.")
        self._open[user_id] += 1
        try:
            yield
        finally:
            self._open[user_id] -= 1
            self._open += Counter()  # forgets those at 0
