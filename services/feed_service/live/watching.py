"""Which keys the live feeds of a process watch, and the marks that these had when they were last asked.

A mark that is known before a look begins and is still the same afterwards shows that the look missed nothing. So a feed looks again
whenever the mark of a key changes. The first mark counts as a change: it may already be that of a write that the look has missed. For the same
reason a look is repeated if a key that it found had a change while it read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from feed_service.live.open_feeds import LiveFeed
from feed_service.query.watched_keys import NOTHING, Watched


@dataclass(slots=True)
class _Key:
    """A watched key: its feeds, its mark (None: not asked yet), and the comparison that found its last change."""

    feeds: set[LiveFeed] = field(default_factory=set)
    mark: bytes | None = None
    changed_in: int = 0


class Found(NamedTuple):
    """What a comparison found: the keys that have changed, the feeds that they concern, those that only counts concern, and the feeds with a key that is not in the cache."""

    changed: set[str]
    feeds: set[LiveFeed]
    counting: set[LiveFeed]
    unmarked: set[LiveFeed]


class Watching:
    """An index, so that a key that many feeds watch is asked once, and a change costs the feeds that it concerns. A feed that shows 20 posts takes some 25 KB."""

    def __init__(self) -> None:
        self.comparisons = 0
        self._sources: dict[str, _Key] = {}
        self._shown: dict[str, _Key] = {}
        self._counts: dict[str, _Key] = {}
        self._new: set[str] = set()

    def watch(self, feed: LiveFeed, watched: Watched) -> bool:
        """From now on the feed watches these keys. Answers whether one of them has changed since its last look began."""
        changed = False
        for keys, before, now in zip(self._kinds, feed.watched, watched, strict=True):
            for key in before - now:
                self._unwatch(keys, key, feed)
            for key in now - before:
                changed |= self._add(keys, key, feed)
        feed.watched = watched
        return changed

    def unwatch(self, feed: LiveFeed) -> None:
        """The feed is closed."""
        self.watch(feed, NOTHING)

    def sources(self) -> list[str]:
        """The keys of all feeds' sources, and those that have no mark yet."""
        return [*self._sources, *(self._new - self._sources.keys())]

    def shown(self) -> list[str]:
        """The keys of all that is shown, but for counts."""
        return [*self._shown]

    def compare(self, keys: Sequence[str], marks: Sequence[bytes]) -> Found:
        """Take the marks of these keys as those that are known."""
        self.comparisons += 1
        self._new.difference_update(keys)
        found = Found(set(), set(), set(), set())
        for name, mark in zip(keys, marks, strict=True):
            key = self._sources.get(name) or self._shown.get(name)
            if key is None:
                self._compare_count(name, mark, found)
                continue
            if key.mark != mark:
                key.mark, key.changed_in = mark, self.comparisons
                found.changed.add(name)
                found.feeds.update(key.feeds)
            if not mark:
                found.unmarked.update(key.feeds)
        return found

    def _compare_count(self, name: str, mark: bytes, found: Found) -> None:
        key = self._counts.get(name)
        if key is None or key.mark == mark:
            return
        # The first mark comes with that of the post, which is looked at again anyway.
        if key.mark is not None:
            found.changed.add(name)
            found.counting.update(key.feeds)
        key.mark, key.changed_in = mark, self.comparisons

    @property
    def _kinds(self) -> tuple[dict[str, _Key], ...]:
        return self._sources, self._shown, self._counts

    def _add(self, keys: dict[str, _Key], name: str, feed: LiveFeed) -> bool:
        key = keys.get(name)
        if key is None:
            key = keys[name] = _Key()
            self._new.add(name)
        key.feeds.add(feed)
        return key.changed_in > feed.looked_after

    def _unwatch(self, keys: dict[str, _Key], name: str, feed: LiveFeed) -> None:
        key = keys[name]
        key.feeds.discard(feed)
        if not key.feeds:
            del keys[name]
            self._new.discard(name)
