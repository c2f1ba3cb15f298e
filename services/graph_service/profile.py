"""A user's profile, and the write that makes one."""

from __future__ import annotations

import asyncio

from pydantic import BaseModel, Field

from fanfold.core.clock import Clock
from fanfold.core.delivery import Delivery
from fanfold.core.events import UserRegistered, from_ms
from fanfold.core.ports import Follow, Follows, User, Users
from fanfold.core.ports.log import EventLog
from fanfold.http.best_effort import best_effort
from fanfold.http.positions import Written, append
from fanfold.http.problems import UserNotFound


class Profile(BaseModel):
    """A registered user."""

    user_id: str
    display_name: str
    follower_count: int
    following_count: int
    delivery: Delivery = Field(description="How this author's posts reach followers now.")


async def registered(user_id: str, *, users: Users) -> User:
    """The user's row. Answers 404 for a user who never registered, or has left."""
    user = await users.get(user_id)
    refuse_unregistered(user)
    return user


def refuse_unregistered(user: User) -> None:
    """Answer 404 for a user who never registered, or has left."""
    if user.display_name is None or user.left:
        raise UserNotFound("There is no registered user with this id.")


async def read_profile(user_id: str, *, users: Users, follows: Follows) -> Profile:
    """The profile of a registered user."""
    user, followed = await asyncio.gather(users.get(user_id), follows.following(user_id))
    refuse_unregistered(user)
    return _profile(user, str(user.display_name), followed)


async def register(
    user_id: str, display_name: str, *, log: EventLog, users: Users, follows: Follows, clock: Clock
) -> tuple[Profile, Written | None]:
    """Register the user, or change the display name."""
    # Read before the append: after it, nothing may fail the request.
    user, followed = await asyncio.gather(users.get(user_id), follows.following(user_id))
    written = await append(
        log,
        UserRegistered(
            user_id=user_id, display_name=display_name, registered_at=from_ms(clock.now_ms())
        ),
    )
    if written is not None:
        await best_effort(users.register(user_id, display_name, offset=written.position.offset))
    return _profile(user, display_name, followed), written


def _profile(user: User, display_name: str, followed: dict[str, Follow]) -> Profile:
    return Profile(
        user_id=user.user_id,
        display_name=display_name,
        follower_count=user.follower_count,
        following_count=sum(follow.active for follow in followed.values()),
        delivery=user.delivery,
    )
