"""`Timelines` in memory: a sorted list for each user. Nearly every pointer is the newest of its list."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from operator import itemgetter
from uuid import UUID

from fanfold.core.clock import Clock
from fanfold.core.ids import created_at_ms, first_post_id_at
from fanfold.core.ports import Pointer, TimelineEntry
from fanfold.core.settings import MS_PER_DAY

_BY_POST = itemgetter(0)


class MemoryTimelines:
    """See `fanfold.core.ports.Timelines`. Expired pointers are removed when their list is next read."""

    def __init__(self, *, retention_ms: int, clock: Clock) -> None:
        self._ttl_ms = retention_ms + MS_PER_DAY
        self._clock = clock
        self._timelines: defaultdict[str, list[TimelineEntry]] = defaultdict(list)
        self._celebrity_posts: defaultdict[str, list[TimelineEntry]] = defaultdict(list)

    async def push(self, pointers: Sequence[Pointer], user_ids: Sequence[str]) -> int:
        entries = [
            _entry(pointer) for pointer in pointers if self._lives(created_at_ms(pointer.post_id))
        ]
        timelines = self._timelines
        for entry in entries:
            for user_id in user_ids:
                _insert(timelines[user_id], entry)
        return len(entries) * len(user_ids)

    async def correct(self, user_id: str, pointer: Pointer) -> None:
        if self._lives(created_at_ms(pointer.post_id)):
            timeline, entry = self._timelines[user_id], _entry(pointer)
            _insert(timeline, entry)
            timeline[_index(timeline, entry.post_number)] = entry

    async def timeline(
        self, user_id: str, *, before: UUID | None, since_ms: int, limit: int
    ) -> list[TimelineEntry]:
        return self._page(self._timelines, user_id, before, since_ms, limit)

    async def add_pulled(self, pointer: Pointer) -> None:
        if self._lives(created_at_ms(pointer.post_id)):
            _insert(self._celebrity_posts[pointer.author_id], _entry(pointer))

    async def pulled(
        self, author_id: str, *, before: UUID | None, since_ms: int, limit: int
    ) -> list[UUID]:
        page = self._page(self._celebrity_posts, author_id, before, since_ms, limit)
        return [entry.post_id for entry in page]

    def _lives(self, created_ms: int) -> bool:
        return created_ms + self._ttl_ms > self._clock.now_ms()

    def _page(
        self,
        lists: dict[str, list[TimelineEntry]],
        key: str,
        before: UUID | None,
        since_ms: int,
        limit: int,
    ) -> list[TimelineEntry]:
        oldest_first = lists.get(key)
        if not oldest_first:
            return []
        expired_before = first_post_id_at(max(0, self._clock.now_ms() - self._ttl_ms + 1))
        del oldest_first[: _index(oldest_first, expired_before.int)]
        start = _index(oldest_first, first_post_id_at(since_ms).int)
        end = len(oldest_first)
        if before is not None:
            end = _index(oldest_first, before.int)
        return oldest_first[max(start, end - limit) : max(start, end)][::-1]


def _entry(pointer: Pointer) -> TimelineEntry:
    return TimelineEntry(pointer.post_id.int, pointer.author_id)


def _index(oldest_first: list[TimelineEntry], post_number: int) -> int:
    return bisect_left(oldest_first, post_number, key=_BY_POST)


def _insert(oldest_first: list[TimelineEntry], entry: TimelineEntry) -> None:
    if not oldest_first or oldest_first[-1].post_number < entry.post_number:
        oldest_first.append(entry)
        return
    index = _index(oldest_first, entry.post_number)
    if index == len(oldest_first) or oldest_first[index].post_number != entry.post_number:
        oldest_first.insert(index, entry)
