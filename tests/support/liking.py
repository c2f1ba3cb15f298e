"""Likes and departures in a feed's world: the events and their projections."""

from __future__ import annotations

from uuid import UUID

from fanfold.core.events import LikeEvent, PostLiked, PostUnliked, UserLeft, encode, from_ms
from fanfold.core.ports.log import Record
from fanout_service.likes import CountLikes
from fanout_service.recorded_event import RecordedEvent
from tests.support.feed import Change, World


def a_like(
    world: World, user_id: str, post_id: UUID, *, by: str = "bob", ago_s: float = 0
) -> Change:
    """A like of a post by that author."""
    liked_at = from_ms(world.clock.now_ms() - int(ago_s * 1000))
    event = PostLiked(post_id=post_id, author_id=by, user_id=user_id, liked_at=liked_at)
    return _counted(world, event)


def an_unlike(world: World, user_id: str, post_id: UUID, *, by: str = "bob") -> Change:
    """The end of a like."""
    unliked_at = from_ms(world.clock.now_ms())
    event = PostUnliked(post_id=post_id, author_id=by, user_id=user_id, unliked_at=unliked_at)
    return _counted(world, event)


def a_departure(world: World, user_id: str) -> Change:
    """A user leaves. The follows end later, so they are all still there."""
    offset = world._next_offset()

    async def project() -> None:
        await world.stores.users.leave(user_id, offset=offset)

    event = UserLeft(user_id=user_id, left_at=from_ms(world.clock.now_ms()))
    return Change(event, offset, project)


def _counted(world: World, event: LikeEvent) -> Change:
    offset = world._next_offset()
    topic, key, value, headers = encode(event, source="test", now_ms=0)
    record = Record(topic, 0, offset, key, value, dict(headers), 0)

    async def project() -> None:
        await CountLikes(likes=world.stores.likes).project([RecordedEvent(record, event)])

    return Change(event, offset, project)
