"""The live feeds that are open in a process, found by their viewer and by the authors that they show."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field


@dataclass(eq=False)
class LiveFeed:
    """One open stream: the authors it shows (None: not known before the first look), and when its next looks are due."""

    viewer: str
    authors: frozenset[str] | None = None
    looked_at_s: float = float("-inf")
    looks_at_s: list[float] = field(default_factory=list)
    fresh_until_s: dict[str, float] = field(default_factory=dict)
    viewer_left: bool = False
    look: asyncio.Event = field(default_factory=asyncio.Event)


class OpenFeeds:
    """An index, because an event concerns few of a thousand streams. An author of a stream costs some 100 bytes."""

    def __init__(self) -> None:
        self._all: set[LiveFeed] = set()
        self._new: set[LiveFeed] = set()
        self._of_viewer: defaultdict[str, set[LiveFeed]] = defaultdict(set)
        self._of_author: defaultdict[str, set[LiveFeed]] = defaultdict(set)

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[LiveFeed]:
        return iter(self._all)

    def add(self, feed: LiveFeed) -> None:
        self._all.add(feed)
        self._new.add(feed)
        self._of_viewer[feed.viewer].add(feed)

    def remove(self, feed: LiveFeed) -> None:
        self.show(feed, frozenset())
        self._all.discard(feed)
        _discard(self._of_viewer, feed.viewer, feed)

    def show(self, feed: LiveFeed, authors: frozenset[str]) -> None:
        """From now on the feed shows these authors."""
        before = feed.authors or frozenset()
        if authors is not before:
            for author_id in before - authors:
                _discard(self._of_author, author_id, feed)
            for author_id in authors - before:
                self._of_author[author_id].add(feed)
        feed.authors = authors
        self._new.discard(feed)

    def of(self, viewer: str) -> Collection[LiveFeed]:
        """The feeds of a viewer."""
        return self._of_viewer.get(viewer, ())

    def showing(self, author_id: str) -> set[LiveFeed]:
        """The feeds that may show an author's posts.

        The first look may miss a post that comes meanwhile, so a feed whose first look has not finished shows every author.
        """
        return {*self._of_author.get(author_id, ()), *self.of(author_id), *self._new}


def _discard(index: defaultdict[str, set[LiveFeed]], key: str, feed: LiveFeed) -> None:
    feeds = index.get(key)
    if feeds is not None:
        feeds.discard(feed)
        if not feeds:
            del index[key]
