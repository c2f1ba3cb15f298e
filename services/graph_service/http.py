"""The routes of users and follows, together with those of the service's other modules."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from fanfold.core.clock import Clock
from fanfold.core.ports import User
from fanfold.core.ports.engines import Engines
from fanfold.core.settings import Settings
from fanfold.core.text import NAME_MAX_CHARS, display_name_error
from fanfold.http.auth import Actor
from fanfold.http.blocks import refuse_active
from fanfold.http.guards import OWN, write_guards
from fanfold.http.openapi import NAME_PATTERN, NOT_OWN_OR_LEFT, WRITTEN, Responses
from fanfold.http.params import Cursor, Limit, UserIdPath
from fanfold.http.positions import set_position
from fanfold.http.problems import Invalid, UserNotFound
from fanfold.http.readiness import Check, clocks_agree, readiness
from graph_service import leaving_http, ties_http
from graph_service.follow import follow, unfollow
from graph_service.lists import Connections, list_followers, list_following
from graph_service.profile import Profile, read_profile, refuse_unregistered, register
from graph_service.tie_limit import TieLimit, TooManyFollowed, too_many


class NameGiven(BaseModel):
    """The body of a registration."""

    model_config = ConfigDict(extra="forbid", strict=True)

    display_name: str = Field(
        min_length=1,
        json_schema_extra={"pattern": NAME_PATTERN},
        description=f"1-{NAME_MAX_CHARS} characters as people count them, on one line, not blank. Kept as sent.",
    )


@dataclass(frozen=True, slots=True)
class GraphRoutes:
    """What each route does, over the ports."""

    engines: Engines
    clock: Clock
    limit: TieLimit

    async def register_user(
        self, user_id: UserIdPath, body: NameGiven, response: Response
    ) -> Profile:
        """Register oneself, or change one's display name. The name shows on older posts too."""
        if (error := display_name_error(body.display_name)) is not None:
            raise Invalid.at("body", "/display_name", error)
        profile, position = await register(
            user_id,
            body.display_name,
            log=self.engines.log,
            users=self.engines.stores.users,
            follows=self.engines.stores.follows,
            clock=self.clock,
        )
        set_position(response, position)
        return profile

    async def read_user(self, user_id: UserIdPath, _actor: Actor) -> Profile:
        """Read a user's profile."""
        stores = self.engines.stores
        return await read_profile(user_id, users=stores.users, follows=stores.follows)

    async def follow_user(
        self, user_id: UserIdPath, target_id: UserIdPath, response: Response
    ) -> None:
        """Follow a user. A second follow changes nothing."""
        position = await follow(
            user_id,
            target_id,
            log=self.engines.log,
            users=self.engines.stores.users,
            ties=self.engines.stores.ties,
            limit=self.limit,
            clock=self.clock,
        )
        set_position(response, position)

    async def unfollow_user(
        self, user_id: UserIdPath, target_id: UserIdPath, response: Response
    ) -> None:
        """Unfollow a user, whether followed or not."""
        position = await unfollow(
            user_id,
            target_id,
            log=self.engines.log,
            users=self.engines.stores.users,
            clock=self.clock,
        )
        set_position(response, position)

    async def read_following(
        self, user_id: UserIdPath, actor: Actor, limit: Limit = 20, cursor: Cursor = None
    ) -> Connections:
        """List the users that a user follows."""
        await self._visible(user_id, actor)
        follows = self.engines.stores.follows
        return await list_following(user_id, cursor=cursor, limit=limit, follows=follows)

    async def read_followers(
        self, user_id: UserIdPath, actor: Actor, limit: Limit = 20, cursor: Cursor = None
    ) -> Connections:
        """List a user's followers."""
        user = await self._visible(user_id, actor)
        follows = self.engines.stores.follows
        return await list_followers(user, cursor=cursor, limit=limit, follows=follows)

    async def _visible(self, user_id: str, actor: str) -> User:
        """The row of a user whose lists the actor may see.

        404 for an unregistered user, except the actor, who can follow without being registered; 403 across a block.
        """
        stores = self.engines.stores
        if user_id == actor:
            user = await stores.users.get(user_id)
        else:
            user, blocks = await asyncio.gather(
                stores.users.get(user_id), stores.ties.blocks_between(actor, user_id)
            )
            refuse_unregistered(user)
            refuse_active(blocks)
        if user.left:
            raise UserNotFound("There is no registered user with this id.")
        return user


def routers(engines: Engines, *, clock: Clock, settings: Settings) -> list[APIRouter]:
    """The routes over these engines."""
    most = settings.max_following
    follows = engines.stores.follows.following
    limit = TieLimit(follows, clock=clock, most=most, too_many=TooManyFollowed)
    do = GraphRoutes(engines, clock, limit)
    reads = APIRouter(tags=["graph"])
    writes = APIRouter(
        tags=["graph"],
        dependencies=[*OWN, *write_guards(engines, settings).all()],
        responses=NOT_OWN_OR_LEFT,
    )
    user, target = "/users/{user_id}", "/users/{user_id}/following/{target_id}"
    ended: Responses = {204: WRITTEN}
    followed: Responses = {
        204: WRITTEN,
        403: {
            "description": "Not your user id, you have left, or there is a block between the two."
        },
        409: too_many("follow", most),
    }
    writes.add_api_route(user, do.register_user, methods=["PUT"], responses={200: WRITTEN})
    writes.add_api_route(
        target, do.follow_user, methods=["PUT"], status_code=204, responses=followed
    )
    writes.add_api_route(
        target, do.unfollow_user, methods=["DELETE"], status_code=204, responses=ended
    )
    reads.add_api_route(user, do.read_user, methods=["GET"])
    across: Responses = {403: {"description": "There is a block between the two."}}
    for name, read in (("following", do.read_following), ("followers", do.read_followers)):
        reads.add_api_route(f"{user}/{name}", read, methods=["GET"], responses=across)
    return [
        writes,
        reads,
        *ties_http.routers(engines, clock=clock, settings=settings),
        *leaving_http.routers(engines, clock=clock, settings=settings),
    ]


def ready(engines: Engines, settings: Settings) -> Check:
    """Ready while the log and the tables answer and the clocks agree."""
    return readiness(
        {
            "the log": engines.log.ping,
            "the tables": engines.stores.ping,
            "the clock": clocks_agree(engines.log, max_skew_s=settings.max_clock_skew_s),
        }
    )
