"""The routes about many users at once: profiles, relationships, and following."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from fanfold.core.ports import Stores
from fanfold.core.ports.engines import Engines
from fanfold.core.settings import Settings
from fanfold.http.auth import Actor
from fanfold.http.guards import OWN, write_guards
from fanfold.http.known_users import known_users
from fanfold.http.openapi import ALL_WRITTEN, NOT_OWN, NOT_OWN_OR_LEFT, Responses
from fanfold.http.params import UserIdPath, UserIds, user_ids_of
from fanfold.http.positions import set_position
from graph_service.follow_many import FollowedMany, FollowedUsers, FollowMany
from graph_service.profile import UserResource
from graph_service.tie_limit import too_many
from graph_service.viewer_state import ViewerState, viewer_states


class Users(BaseModel):
    """The users of a request that exist."""

    items: list[UserResource] = Field(
        description="In the order asked for, each once. Users who never registered or have left are not in it."
    )


class Relationship(ViewerState):
    """What the acting user and one other user are to each other."""

    user_id: str


class Relationships(BaseModel):
    """One for each user of the request, in the order asked for."""

    items: list[Relationship]


@dataclass(frozen=True, slots=True)
class ManyUsersRoutes:
    """What each route does, over the ports."""

    stores: Stores
    follow: FollowMany

    async def read_users_by_id(self, ids: UserIds, actor: Actor) -> Users:
        """Read the profiles of up to 100 users. They lack `following_count`, which a single profile has."""
        user_ids = user_ids_of(ids)
        users, states = await asyncio.gather(
            self.stores.users.get_many(user_ids),
            viewer_states(actor, user_ids, stores=self.stores),
        )
        known = await known_users(users.values(), stores=self.stores)
        items = [
            UserResource.of(users[user_id], states[user_id])
            for user_id in user_ids
            if user_id in known
        ]
        return Users(items=items)

    async def read_relationships(self, user_id: UserIdPath, ids: UserIds) -> Relationships:
        """Read what you and up to 100 other users are to each other."""
        user_ids = user_ids_of(ids)
        states = await viewer_states(user_id, user_ids, stores=self.stores)
        items = [
            Relationship(user_id=other_id, **states[other_id].model_dump()) for other_id in user_ids
        ]
        return Relationships(items=items)

    async def follow_users(
        self, user_id: UserIdPath, body: FollowedUsers, response: Response
    ) -> FollowedMany:
        """Follow up to 100 users. Those who can't be followed are named in the answer, and the others are followed."""
        followed, positions = await self.follow(user_id, body.user_ids)
        set_position(response, *positions)
        return followed


def routers(
    engines: Engines, follow: FollowMany, *, settings: Settings, after: list[Any]
) -> list[APIRouter]:
    """The routes over these engines. `after`: the dependencies of reads."""
    do = ManyUsersRoutes(engines.stores, follow)
    public = APIRouter(tags=["graph"], dependencies=after)
    own = APIRouter(tags=["graph"], dependencies=[*OWN, *after], responses=NOT_OWN)
    writes = APIRouter(
        tags=["graph"],
        dependencies=[*OWN, *write_guards(engines, settings).all()],
        responses=NOT_OWN_OR_LEFT,
    )
    followed: Responses = {200: ALL_WRITTEN, 409: too_many("follow", settings.max_following)}
    public.add_api_route("/users", do.read_users_by_id, methods=["GET"])
    own.add_api_route("/users/{user_id}/relationships", do.read_relationships, methods=["GET"])
    writes.add_api_route(
        "/users/{user_id}/following", do.follow_users, methods=["PUT"], responses=followed
    )
    return [public, own, writes]
