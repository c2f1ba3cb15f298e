"""What a sequence of like events does to one post: pure, so that tests can cut it anywhere.

Two offsets distinguish replayed events from new ones, as in `fold_follows`: the offset of a like, up to which the like includes
events, and the offset of the count. The count is written first, so an event may be counted and not yet in its like, but
never the other way round. A like is written last: an event that it includes needs no further write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, assert_never
from uuid import UUID

from fanfold.core.events import LikeEvent, PostLiked, PostUnliked, to_ms
from fanfold.core.ports import Like, LikeCount, ListedLike, RecentLike

PLACE_KEPT_MS = 24 * 3600 * 1000
"""A like that begins again so soon keeps its place in the list: a user who likes and unlikes all day leaves a row a day, not a row a like."""


class LikeChange(NamedTuple):
    """A like (`active`) or its end, at a log offset."""

    user_id: str
    post_id: UUID
    author_id: str
    active: bool
    happened_at_ms: int
    offset: int


@dataclass(frozen=True, slots=True)
class FoldedLikes:
    """What to write, in this order: the count, the lists by time, the changed likes."""

    count: LikeCount
    entries: list[ListedLike]
    likes: list[Like]


def like_change(event: LikeEvent, offset: int) -> LikeChange:
    """The change that the event at that offset makes."""
    match event:
        case PostLiked(liked_at=at):
            active = True
        case PostUnliked(unliked_at=at):
            active = False
        case _:
            assert_never(event)
    return LikeChange(event.user_id, event.post_id, event.author_id, active, to_ms(at), offset)


def fold_likes(
    count: LikeCount, likes: Mapping[str, Like], changes: Sequence[LikeChange]
) -> FoldedLikes:
    """Apply changes to one post, in the order of their offsets, to its count and its likes by user."""
    current = dict(likes)
    entries: list[ListedLike] = []
    touched: dict[str, None] = {}  # in the log's order
    for change in changes:
        like = current.get(change.user_id)
        if like is not None and like.offset >= change.offset:
            continue
        was_active = like is not None and like.active
        if change.offset > seen_by_count(count):
            count = LikeCount(count.likes + change.active - was_active, change.offset)
        placed = _place(like, change)
        if placed.active != was_active:
            entry = RecentLike(placed.liked_at_ms, placed.post_id, placed.author_id)
            entries.append(ListedLike(placed.user_id, entry, placed.active, change.offset))
        current[change.user_id] = placed
        touched[change.user_id] = None
    return FoldedLikes(count, entries, [current[user_id] for user_id in touched])


def seen_by_count(count: LikeCount) -> int:
    """The offset of the last event that the count includes; -1 before the first."""
    return -1 if count.offset is None else count.offset


def _place(like: Like | None, change: LikeChange) -> Like:
    begins = change.active and not (like is not None and like.active)
    if like is None or (begins and change.happened_at_ms >= like.liked_at_ms + PLACE_KEPT_MS):
        # The end of a like that never began leaves an inactive like: caches wait for its offset.
        return Like(
            user_id=change.user_id,
            post_id=change.post_id,
            author_id=change.author_id,
            active=change.active,
            liked_at_ms=change.happened_at_ms,
            offset=change.offset,
        )
    return replace(like, active=change.active, offset=change.offset)
