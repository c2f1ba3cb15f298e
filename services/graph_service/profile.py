"""A user's profile, and the write that makes one."""

from __future__ import annotations

from pydantic import BaseModel, Field

from fanfold.core.clock import Clock
from fanfold.core.delivery import Delivery
from fanfold.core.events import UserRegistered, from_ms
from fanfold.core.ports import Stores, User
from fanfold.core.ports.log import EventLog, Position
from fanfold.http.problems import NotFound, needs
from fanfold.http.write_through import best_effort


class UserNotFound(NotFound):
    kind = "user-not-found"
    title = "No such user"


class Profile(BaseModel):
    """A registered user."""

    user_id: str
    display_name: str
    follower_count: int
    following_count: int
    delivery: Delivery = Field(description="How this author's posts reach followers now.")


async def registered(user_id: str, *, stores: Stores) -> User:
    """The user's row. Answers 404 for one who never registered, or has left."""
    with needs("the tables"):
        user = await stores.users.get(user_id)
    if user.display_name is None or user.left:
        raise UserNotFound("There is no registered user with this id.")
    return user


async def read_profile(user_id: str, *, stores: Stores) -> Profile:
    """The profile of a registered user."""
    user = await registered(user_id, stores=stores)
    return _profile(user, str(user.display_name), await following_count(user_id, stores=stores))


async def register(
    user_id: str, display_name: str, *, log: EventLog, stores: Stores, clock: Clock
) -> tuple[Profile, Position | None]:
    """Register the user, or change the display name."""
    # Read before the append, for after it nothing may fail the request.
    with needs("the tables"):
        user = await stores.users.get(user_id)
    following = await following_count(user_id, stores=stores)
    event = UserRegistered(
        user_id=user_id, display_name=display_name, registered_at=from_ms(clock.now_ms())
    )
    with needs("the log"):
        position = await log.append(event)
    if position is not None:
        await best_effort(stores.users.register(user_id, display_name, offset=position.offset))
    return _profile(user, display_name, following), position


async def following_count(user_id: str, *, stores: Stores) -> int:
    """How many the user follows now."""
    with needs("the tables"):
        follows = await stores.follows.following(user_id)
    return sum(follow.active for follow in follows.values())


def _profile(user: User, display_name: str, following: int) -> Profile:
    return Profile(
        user_id=user.user_id,
        display_name=display_name,
        follower_count=user.follower_count,
        following_count=following,
        delivery=user.delivery,
    )
