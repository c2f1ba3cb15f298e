"""A user's profile, and the write that makes one."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from fanfold.core.avatar_url import AVATAR_URL_MAX_CHARS, AVATAR_URL_PATTERN, avatar_url_error
from fanfold.core.clock import Clock, rfc3339
from fanfold.core.delivery import Delivery
from fanfold.core.events import UserRegistered, from_ms
from fanfold.core.ports import Stores, User
from fanfold.core.ports.log import EventLog
from fanfold.core.text import (
    BIO_MAX_BYTES,
    BIO_MAX_CHARS,
    NAME_MAX_CHARS,
    bio_error,
    display_name_error,
)
from fanfold.http.best_effort import best_effort
from fanfold.http.known_users import refuse_unknown
from fanfold.http.openapi import BIO_PATTERN, NAME_PATTERN, Rfc3339
from fanfold.http.positions import Written, append
from fanfold.http.problems import Invalid
from graph_service.viewer_state import ViewerState, viewer_states


class UserResource(BaseModel):
    """A user, as the acting user sees them."""

    user_id: str
    display_name: str
    bio: str | None = Field(description="Null if there is none.")
    avatar_url: str | None = Field(
        description="The address of a picture, as the user gave it; null if there is none. Fanfold never fetches it."
    )
    created_at: Rfc3339 | None = Field(
        description="When the user registered first; null for a user who has written something else only, or where a version before 0.1 handled it."
    )
    follower_count: int
    post_count: int = Field(description="Posts that are not deleted.")
    delivery: Delivery = Field(description="How this author's posts reach followers now.")
    viewer: ViewerState

    @classmethod
    def of(cls, user: User, viewer: ViewerState, **own_fields: Any) -> Self:
        """The resource of a user's row. `own_fields` are those that a subclass adds."""
        since_ms = user.registered_at_ms
        return cls(
            user_id=user.user_id,
            display_name=user.name,
            bio=user.bio,
            avatar_url=user.avatar_url,
            created_at=None if since_ms is None else rfc3339(since_ms),
            follower_count=user.follower_count,
            post_count=user.post_count,
            delivery=user.delivery,
            viewer=viewer,
            **own_fields,
        )


class Profile(UserResource):
    """One user. Only here is the number of users that they follow: it is counted in their whole list."""

    following_count: int


class ProfileGiven(BaseModel):
    """The body of a registration, or of a change of the profile."""

    model_config = ConfigDict(extra="forbid", strict=True)

    display_name: str = Field(
        min_length=1,
        json_schema_extra={"pattern": NAME_PATTERN},
        examples=["Alice"],
        description=f"1-{NAME_MAX_CHARS} characters as people count them, on one line, not blank. Kept as sent.",
    )
    bio: str | None = Field(
        default=None,
        json_schema_extra={"pattern": BIO_PATTERN},
        description=f"Up to {BIO_MAX_CHARS} characters as people count them, and {BIO_MAX_BYTES} bytes of UTF-8. "
        "Null or an empty text removes it; left out, it stays as it is.",
    )
    avatar_url: str | None = Field(
        default=None,
        max_length=AVATAR_URL_MAX_CHARS,
        json_schema_extra={"pattern": f"{AVATAR_URL_PATTERN}|^$"},
        description=f"An https address of a picture, up to {AVATAR_URL_MAX_CHARS} characters. Null or an empty text removes it; "
        "left out, it stays as it is.",
    )

    def refuse_wrong(self) -> None:
        """Answer 422 to texts that a profile may not have."""
        errors = (
            ("/display_name", display_name_error(self.display_name)),
            ("/bio", bio_error(self.bio or "")),
            ("/avatar_url", avatar_url_error(self.avatar_url or "")),
        )
        for pointer, error in errors:
            if error is not None:
                raise Invalid.at("body", pointer, error)

    def given(self, name: str) -> str | None:
        """A text that may be left out, as an event says it: None where it was left out, empty where it is to be removed."""
        return (getattr(self, name) or "") if name in self.model_fields_set else None


async def read_profile(user_id: str, *, viewer: str, stores: Stores) -> Profile:
    """The profile of a user. Answers 404 for one who has never written anything, or has left."""
    user, counts, states = await asyncio.gather(
        stores.users.get(user_id),
        stores.follows.following_counts(user_id),
        viewer_states(viewer, [user_id], stores=stores),
    )
    await refuse_unknown(user, stores=stores)
    return Profile.of(user, states[user_id], following_count=counts.active)


async def register(
    user_id: str, given: ProfileGiven, *, log: EventLog, stores: Stores, clock: Clock
) -> tuple[Profile, Written | None]:
    """Register the user, or change the profile."""
    given.refuse_wrong()
    # Read before the append: after it, nothing may fail the request.
    user, counts, states = await asyncio.gather(
        stores.users.get(user_id),
        stores.follows.following_counts(user_id),
        viewer_states(user_id, [user_id], stores=stores),
    )
    now_ms = clock.now_ms()
    event = UserRegistered(
        user_id=user_id,
        display_name=given.display_name,
        registered_at=from_ms(now_ms),
        bio=given.given("bio"),
        avatar_url=given.given("avatar_url"),
    )
    written = await append(log, event)
    if written is not None:
        await best_effort(
            stores.users.register(
                user_id,
                event.display_name,
                bio=event.bio,
                avatar_url=event.avatar_url,
                registered_at_ms=now_ms,
                offset=written.position.offset,
            )
        )
    changed = replace(
        user,
        display_name=event.display_name,
        bio=user.bio if event.bio is None else event.bio or None,
        avatar_url=user.avatar_url if event.avatar_url is None else event.avatar_url or None,
        registered_at_ms=now_ms if user.registered_at_ms is None else user.registered_at_ms,
    )
    return Profile.of(changed, states[user_id], following_count=counts.active), written
