"""Following and unfollowing: one event each; the worker alone writes edges and counts."""

from __future__ import annotations

from fanfold.core.clock import Clock
from fanfold.core.events import UserFollowed, UserUnfollowed, from_ms
from fanfold.core.ports import Stores
from fanfold.core.ports.log import EventLog, Position
from fanfold.http.blocks import refuse_blocked
from fanfold.http.problems import Conflict, Invalid, needs
from graph_service.profile import registered


class TooManyFollowed(Conflict):
    kind = "follows-too-many"
    title = "Following too many"


class FollowsOneself(Invalid):
    kind = "follows-oneself"
    title = "Nobody follows themselves"


async def follow(
    follower_id: str,
    followee_id: str,
    *,
    log: EventLog,
    stores: Stores,
    clock: Clock,
    max_following: int,
) -> Position | None:
    """Follow a registered user, across no block. Idempotent: a second follow leaves `since` as it was.

    The event is appended even if the tables show the follow already: an unfollow may be on its way to them.
    """
    await _refuse_target(follower_id, followee_id, stores=stores)
    await refuse_blocked(follower_id, followee_id, stores=stores)
    with needs("the tables"):
        follows = await stores.follows.following(follower_id)
    others = sum(each.active for each in follows.values() if each.followee_id != followee_id)
    if others >= max_following:
        raise TooManyFollowed(f"Unfollow someone first: {max_following} is the most.")
    event = UserFollowed(
        follower_id=follower_id, followee_id=followee_id, followed_at=from_ms(clock.now_ms())
    )
    with needs("the log"):
        return await log.append(event)


async def unfollow(
    follower_id: str, followee_id: str, *, log: EventLog, stores: Stores, clock: Clock
) -> Position | None:
    """Stop following a registered user. Idempotent."""
    await _refuse_target(follower_id, followee_id, stores=stores)
    event = UserUnfollowed(
        follower_id=follower_id, followee_id=followee_id, unfollowed_at=from_ms(clock.now_ms())
    )
    with needs("the log"):
        return await log.append(event)


async def _refuse_target(follower_id: str, followee_id: str, *, stores: Stores) -> None:
    if follower_id == followee_id:
        raise FollowsOneself.at("path", "target_id", "Name another user.")
    await registered(followee_id, stores=stores)
