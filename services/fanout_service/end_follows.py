"""Ends follows as their followers would: by unfollows in the log, so that counts, lists and caches learn of it as of any other."""

from __future__ import annotations

from collections.abc import Iterable

from fanfold.core.clock import Clock
from fanfold.core.events import UserUnfollowed, from_ms
from fanfold.core.ports.log import EventLog


async def end_follows(follows: Iterable[tuple[str, str]], *, log: EventLog, clock: Clock) -> None:
    """Append an unfollow for each (follower, followee). Raises `Unavailable`: some may have been appended."""
    ended = list(follows)
    if not ended:
        return
    now = from_ms(clock.now_ms())
    await log.append_many(
        [
            UserUnfollowed(follower_id=follower_id, followee_id=followee_id, unfollowed_at=now)
            for follower_id, followee_id in ended
        ]
    )
