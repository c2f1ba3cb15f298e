"""A reader's timeline through the reader's list in the shared cache, which a read from the tables fills or extends."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from uuid import UUID

from fanfold.core.cache_keys import entry_authors, entry_numbers, feed_entry
from fanfold.core.ids import first_post_id_at
from fanfold.core.ports import Timelines
from fanfold.core.ports.shared_cache import FeedList, Lease, SharedCache
from feed_service.candidates import Page, candidates


async def read_timeline(
    user_id: str,
    *,
    cache: SharedCache,
    timelines: Timelines,
    before: UUID | None,
    since_ms: int,
    limit: int,
) -> Page:
    """The part of a timeline that follows a post. Raises `Unavailable` when the table is needed and doesn't answer."""
    held = await cache.feed(user_id)
    if isinstance(held, FeedList) and len(held.end) not in (0, 16):
        held = None  # its end can't be read
    oldest = first_post_id_at(max(0, since_ms)).bytes
    if isinstance(held, FeedList):
        entries = _newest_first(held, before, oldest)
        if entries or held.end <= oldest:
            return _page(entries[:limit], more=len(entries) > limit or held.end > oldest)
        if before is None or before.bytes >= held.end:
            before = UUID(bytes=held.end)
    rows = await timelines.timeline(user_id, before=before, since_ms=since_ms, limit=limit)
    entries = [feed_entry(UUID(int=number), author_id) for number, author_id in rows]
    more = len(rows) == limit
    end = rows[-1].post_id.bytes if more else oldest
    if isinstance(held, Lease) and before is None:
        await cache.fill_feed(held, entries, end=end)
    elif isinstance(held, FeedList) and before is not None and before.bytes == held.end:
        await cache.extend_feed(user_id, held, entries, end=end)
    return _page(entries, more=more)


def _newest_first(held: FeedList, before: UUID | None, oldest: bytes) -> list[bytes]:
    """The entries that a list is known to hold completely, older than `before`."""
    # Most of them are in order already, so sorting takes little; a set would lose that.
    entries = list(dict.fromkeys(sorted(held.entries)))
    oldest = max(oldest, held.end)
    first = bisect_left(entries, oldest)
    last = len(entries) if before is None else bisect_left(entries, before.bytes)
    return entries[first:last][::-1]


def _page(entries: Sequence[bytes], *, more: bool) -> Page:
    return Page(candidates(entry_numbers(entries), entry_authors(entries), "push"), more)
