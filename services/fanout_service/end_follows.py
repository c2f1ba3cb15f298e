"""Ends follows as their followers would: by unfollows in the log, so that counts, lists and caches learn of it as of any other."""

from __future__ import annotations

from collections.abc import Iterable

from fanfold.core.events import UserUnfollowed, from_ms
from fanfold.core.ports.log import EventLog


async def end_follows(follows: Iterable[tuple[str, str]], *, log: EventLog, at_ms: int) -> None:
    """Append an unfollow for each (follower, followee). Raises `Unavailable`: some may have been appended.

    `at_ms` is when the log took what ends them. A worker's own clock may be wrong, and what is dated ahead is dead-lettered.
    """
    ended = list(follows)
    if not ended:
        return
    at = from_ms(at_ms)
    await log.append_many(
        [
            UserUnfollowed(follower_id=follower_id, followee_id=followee_id, unfollowed_at=at)
            for follower_id, followee_id in ended
        ]
    )
