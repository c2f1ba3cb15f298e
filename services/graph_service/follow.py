"""Following and unfollowing: one event each. Only the worker writes edges and counts."""

from __future__ import annotations

import asyncio

from fanfold.core.clock import Clock
from fanfold.core.events import UserFollowed, UserUnfollowed, from_ms
from fanfold.core.ports import Stores
from fanfold.core.ports.log import EventLog
from fanfold.http.blocks import refuse_active
from fanfold.http.guards import refuse_left
from fanfold.http.known_users import known_user, refuse_unknown
from fanfold.http.positions import Written, append
from fanfold.http.problems import Invalid
from graph_service.tie_limit import TieLimit


class FollowsOneself(Invalid):
    kind = "follows-oneself"
    title = "You can't follow yourself"


async def follow(
    follower_id: str,
    followee_id: str,
    *,
    log: EventLog,
    stores: Stores,
    limit: TieLimit,
    clock: Clock,
) -> Written | None:
    """Follow a user, across no block. Idempotent: a second follow leaves `since` as it was. Answers 403 to a follower who has left.

    The event is appended even if the tables show the follow already: an unfollow may be on its way to them.
    """
    # Both users' rows are one statement.
    follower, followee, blocks, counted = await asyncio.gather(
        stores.users.get(follower_id),
        stores.users.get(followee_id),
        stores.ties.blocks_between(follower_id, followee_id),
        limit.count(follower_id, followee_id),
    )
    refuse_left(follower)
    _refuse_oneself(follower_id, followee_id)
    await refuse_unknown(followee, stores=stores)
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
    follower_id: str, followee_id: str, *, log: EventLog, stores: Stores, clock: Clock
) -> Written | None:
    """Stop following a user. Idempotent."""
    _refuse_oneself(follower_id, followee_id)
    await known_user(followee_id, stores=stores)
    return await append(
        log,
        UserUnfollowed(
            follower_id=follower_id, followee_id=followee_id, unfollowed_at=from_ms(clock.now_ms())
        ),
    )


def _refuse_oneself(follower_id: str, followee_id: str) -> None:
    if follower_id == followee_id:
        raise FollowsOneself.at("path", "target_id", "Name another user.")
