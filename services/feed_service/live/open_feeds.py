"""The live feeds that are open in a process."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from feed_service.query.watched_keys import NOTHING, Watched


@dataclass(eq=False, slots=True)
class LiveFeed:
    """One open stream: the keys that its last look read, when it looks next at the latest, and why.

    `looked_after`: how many comparisons of marks had been made when its last look began. `counts_at_s`: when the marks of the counts are asked next. `spread`, from 0 to 1, is
    another one for each stream, so that those that were opened together don't go on looking together.
    """

    viewer: str
    spread: float = 0.0
    watched: Watched = NOTHING
    looked_at_s: float = float("-inf")
    looked_after: int = 0
    counts_at_s: float = float("inf")
    due_s: float = float("-inf")
    cause: str = "first"
    viewer_left: bool = False
    look: asyncio.Event = field(default_factory=asyncio.Event)

    def plan(self, at_s: float, cause: str) -> None:
        """Look at this time, unless a look is due before."""
        if at_s < self.due_s:
            self.due_s, self.cause = at_s, cause


class OpenFeeds:
    """All of them, counted by viewer."""

    def __init__(self) -> None:
        self._all: set[LiveFeed] = set()
        self._of_viewer: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[LiveFeed]:
        return iter(self._all)

    def add(self, feed: LiveFeed) -> None:
        self._all.add(feed)
        self._of_viewer[feed.viewer] += 1

    def remove(self, feed: LiveFeed) -> None:
        self._all.discard(feed)
        self._of_viewer -= Counter((feed.viewer,))

    def count_of(self, viewer: str) -> int:
        """How many a viewer has open."""
        return self._of_viewer[viewer]
