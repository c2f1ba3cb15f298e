"""Following and unfollowing: one event each. Only the worker writes edges and counts."""

from __future__ import annotations

import asyncio

from fanfold.core.clock import Clock
from fanfold.core.events import UserFollowed, UserUnfollowed, from_ms
from fanfold.core.ports import Ties, Users
from fanfold.core.ports.log import EventLog
from fanfold.http.blocks import refuse_active
from fanfold.http.positions import Written, append
from fanfold.http.problems import Invalid
from graph_service.profile import refuse_unregistered, registered
from graph_service.tie_limit import TieLimit


class FollowsOneself(Invalid):
    kind = "follows-oneself"
    title = "You can't follow yourself"


async def follow(
    follower_id: str,
    followee_id: str,
    *,
    log: EventLog,
    users: Users,
    ties: Ties,
    limit: TieLimit,
    clock: Clock,
) -> Written | None:
    """Follow a registered user, across no block. Idempotent: a second follow leaves `since` as it was.

    The event is appended even if the tables show the follow already: an unfollow may be on its way to them.
    """
    _refuse_oneself(follower_id, followee_id)
    followee, blocks, counted = await asyncio.gather(
        users.get(followee_id),
        ties.blocks_between(follower_id, followee_id),
        limit.count(follower_id, followee_id),
    )
    refuse_unregistered(followee)
    refuse_active(blocks)
    limit.refuse_too_many(counted)
    written = await append(
        log,
        UserFollowed(
            follower_id=follower_id, followee_id=followee_id, followed_at=from_ms(clock.now_ms())
        ),
    )
    limit.made(follower_id)
    return written


async def unfollow(
    follower_id: str, followee_id: str, *, log: EventLog, users: Users, clock: Clock
) -> Written | None:
    """Stop following a registered user. Idempotent."""
    _refuse_oneself(follower_id, followee_id)
    await registered(followee_id, users=users)
    return await append(
        log,
        UserUnfollowed(
            follower_id=follower_id, followee_id=followee_id, unfollowed_at=from_ms(clock.now_ms())
        ),
    )


def _refuse_oneself(follower_id: str, followee_id: str) -> None:
    if follower_id == followee_id:
        raise FollowsOneself.at("path", "target_id", "Name another user.")
