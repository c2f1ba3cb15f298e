"""Following many users in one request: a starter pack, or the list of another network."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from fanfold.core.clock import Clock
from fanfold.core.events import UserFollowed, from_ms
from fanfold.core.ids import UserId
from fanfold.core.ports import Stores
from fanfold.core.ports.log import EventLog
from fanfold.http.known_users import known_users
from fanfold.http.params import MOST_AT_ONCE
from fanfold.http.positions import Written, append
from graph_service.follow import FollowsOneself
from graph_service.tie_limit import TieLimit


class FollowedUsers(BaseModel):
    """The body: the users to follow. Users who are followed already, and are not named, stay followed."""

    model_config = ConfigDict(extra="forbid", strict=True)

    user_ids: list[UserId] = Field(
        min_length=1, max_length=MOST_AT_ONCE, examples=[["bob", "nova"]]
    )


class NotFollowed(BaseModel):
    """A user who could not be followed, and why."""

    user_id: str
    reason: Literal["user-not-found", "blocked"] = Field(
        description="The last part of the `type` of the problem that following this user alone answers."
    )


class FollowedMany(BaseModel):
    """Which users are followed now."""

    followed: list[str] = Field(description="In the order sent, each once.")
    refused: list[NotFollowed]


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowMany:
    """Follows users who are registered, across no block. Idempotent, like each follow."""

    log: EventLog
    stores: Stores
    limit: TieLimit
    clock: Clock

    async def __call__(
        self, follower_id: str, user_ids: list[str]
    ) -> tuple[FollowedMany, list[Written | None]]:
        """Follow all that can be followed; three reads, however many there are.

        When it raises after the first append, some are followed. Answers 409, before any append, if the follows would be too many.
        """
        targets = list(dict.fromkeys(user_ids))
        if follower_id in targets:
            pointer = f"/user_ids/{user_ids.index(follower_id)}"
            raise FollowsOneself.at("body", pointer, "Name other users only.")
        users, blocks, others = await asyncio.gather(
            self.stores.users.get_many(targets),
            self.stores.ties.blocks_with(follower_id, targets),
            self.limit.count_without(follower_id, targets),
        )
        known = await known_users(users.values(), stores=self.stores)
        apart = {block.other_id for block in blocks if block.active}
        refused: list[NotFollowed] = []
        followed: list[str] = []
        for user_id in targets:
            if user_id not in known:
                refused.append(NotFollowed(user_id=user_id, reason="user-not-found"))
            elif user_id in apart:
                refused.append(NotFollowed(user_id=user_id, reason="blocked"))
            else:
                followed.append(user_id)
        self.limit.refuse_beyond(others, len(followed))
        positions = await asyncio.gather(*(self._append(follower_id, to) for to in followed))
        return FollowedMany(followed=followed, refused=refused), positions

    async def _append(self, follower_id: str, followee_id: str) -> Written | None:
        event = UserFollowed(
            follower_id=follower_id,
            followee_id=followee_id,
            followed_at=from_ms(self.clock.now_ms()),
        )
        written = await append(self.log, event)
        self.limit.made(follower_id)
        return written
