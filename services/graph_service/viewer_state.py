"""What the viewer is to other users: the four bits that a client needs to draw its buttons."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from pydantic import BaseModel, Field

from fanfold.core.ports import Stores


class ViewerState(BaseModel):
    """What the acting user and another user are to each other. All false for oneself."""

    following: bool = Field(description="The acting user follows this user.")
    followed_by: bool = Field(description="This user follows the acting user.")
    muted: bool = Field(description="The acting user mutes this user.")
    blocked: bool = Field(
        description="The acting user blocks this user. Blocks by this user are not shown."
    )


async def viewer_states(
    viewer: str, user_ids: Collection[str], *, stores: Stores
) -> dict[str, ViewerState]:
    """The states of these users, at most some hundreds, for one viewer: four reads, however many there are."""
    others = [user_id for user_id in dict.fromkeys(user_ids) if user_id != viewer]
    if not others:
        return dict.fromkeys(user_ids, _state_of_oneself())
    following, followed_by, mutes, blocks = await asyncio.gather(
        stores.follows.follows_of(viewer, others),
        stores.follows.followed_by(viewer, others),
        stores.ties.mutes_of(viewer, others),
        stores.ties.blocks_with(viewer, others),
    )
    followed = {user_id for user_id, follow in following.items() if follow.active}
    followers = {user_id for user_id, follow in followed_by.items() if follow.active}
    muted = {user_id for user_id, mute in mutes.items() if mute.active}
    blocked = {block.other_id for block in blocks if block.mine and block.active}
    states = {
        user_id: ViewerState(
            following=user_id in followed,
            followed_by=user_id in followers,
            muted=user_id in muted,
            blocked=user_id in blocked,
        )
        for user_id in others
    }
    return {user_id: states.get(user_id) or _state_of_oneself() for user_id in user_ids}


def _state_of_oneself() -> ViewerState:
    return ViewerState(following=False, followed_by=False, muted=False, blocked=False)
