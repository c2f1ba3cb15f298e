"""The write timestamp of a cell: µs since the epoch, or a log offset (ARCHITECTURE, "Order and idempotence"). And the longest TTL."""

from __future__ import annotations

from uuid import UUID

from fanfold.core.ids import created_at_ms

MAX_TTL_S = 3651 * 24 * 3600  # the longest retention window and a day


def at_creation(post_id: UUID) -> int:
    """For a cell that never changes once written: the post's creation time."""
    return created_at_ms(post_id) * 1000


def before_later_ones(offset: int) -> int:
    """For a cell that keeps its first value: of two events, the one with the lower offset stays."""
    return -at_offset(offset)


def at_offset(offset: int) -> int:
    """For a cell that events change: the offset plus one, because the first offset is 0 and timestamps should be positive."""
    return offset + 1


def offset_of(timestamp: int) -> int:
    """The offset of a cell that `at_offset` wrote."""
    return timestamp - 1


def ttl_of(post_id: UUID, *, keep_ms: int, now_ms: int) -> int:
    """Seconds until a row about this post expires, `keep_ms` after the post's creation; none are left if it is 0 or less."""
    left_ms = created_at_ms(post_id) + keep_ms - now_ms
    # Cassandra refuses a longer TTL, and a post from a clock that was decades ahead would stop its worker for good.
    return min(-(-left_ms // 1000), MAX_TTL_S)
