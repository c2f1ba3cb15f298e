"""The routes of users and follows, together with those of the service's other modules."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Response

from fanfold.core.clock import Clock
from fanfold.core.ports import User
from fanfold.core.ports.engines import Engines
from fanfold.core.settings import Settings
from fanfold.http.auth import Actor
from fanfold.http.blocks import refuse_active
from fanfold.http.guards import OWN, write_guards
from fanfold.http.known_users import refuse_unknown
from fanfold.http.openapi import NOT_OWN_OR_LEFT, WRITTEN, Responses
from fanfold.http.params import Cursor, Limit, UserIdPath
from fanfold.http.positions import no_content, set_position
from fanfold.http.problems import UserNotFound
from fanfold.http.read_after import reads_after
from fanfold.http.readiness import Check, clocks_agree, readiness
from fanfold.http.validators import VALIDATED, ValidatedRoute
from graph_service import leaving_http, many_users_http, ties_http
from graph_service.connections import Connections, show_connections
from graph_service.follow import follow, unfollow
from graph_service.follow_many import FollowMany
from graph_service.lists import list_followers, list_following
from graph_service.profile import (
    Profile,
    ProfileGiven,
    read_profile,
    register,
)
from graph_service.shown_writes import ShownWrites
from graph_service.tie_limit import TieLimit, TooManyFollowed, by_counts, too_many


@dataclass(frozen=True, slots=True)
class GraphRoutes:
    """What each route does, over the ports."""

    engines: Engines
    clock: Clock
    limit: TieLimit

    async def register_user(
        self, user_id: UserIdPath, body: ProfileGiven, response: Response
    ) -> Profile:
        """Register oneself, or change one's profile. The name shows on older posts too."""
        engines = self.engines
        profile, position = await register(
            user_id, body, log=engines.log, stores=engines.stores, clock=self.clock
        )
        set_position(response, position)
        return profile

    async def read_user(self, user_id: UserIdPath, actor: Actor) -> Profile:
        """Read a user's profile."""
        return await read_profile(user_id, viewer=actor, stores=self.engines.stores)

    async def follow_user(self, user_id: UserIdPath, target_id: UserIdPath) -> Response:
        """Follow a user. A second follow changes nothing."""
        position = await follow(
            user_id,
            target_id,
            log=self.engines.log,
            stores=self.engines.stores,
            limit=self.limit,
            clock=self.clock,
        )
        return no_content(position)

    async def unfollow_user(self, user_id: UserIdPath, target_id: UserIdPath) -> Response:
        """Unfollow a user, whether followed or not."""
        position = await unfollow(
            user_id,
            target_id,
            log=self.engines.log,
            stores=self.engines.stores,
            clock=self.clock,
        )
        return no_content(position)

    async def read_following(
        self, user_id: UserIdPath, actor: Actor, limit: Limit = 20, cursor: Cursor = None
    ) -> Connections:
        """List the users that a user follows, the newest follow first."""
        await self._visible(user_id, actor)
        stores = self.engines.stores
        page = await list_following(user_id, cursor=cursor, limit=limit, follows=stores.follows)
        return await show_connections(page, viewer=actor, stores=stores)

    async def read_followers(
        self, user_id: UserIdPath, actor: Actor, limit: Limit = 20, cursor: Cursor = None
    ) -> Connections:
        """List a user's followers, the newest follow first. Of a user with many, the order is stable and not by time."""
        user = await self._visible(user_id, actor)
        stores = self.engines.stores
        page = await list_followers(user, cursor=cursor, limit=limit, follows=stores.follows)
        return await show_connections(page, viewer=actor, stores=stores)

    async def _visible(self, user_id: str, actor: str) -> User:
        """The row of a user whose lists the actor may see.

        404 for a user who has never written anything, except the actor; 403 across a block.
        """
        stores = self.engines.stores
        if user_id == actor:
            user = await stores.users.get(user_id)
        else:
            user, blocks = await asyncio.gather(
                stores.users.get(user_id), stores.ties.blocks_between(actor, user_id)
            )
            await refuse_unknown(user, stores=stores)
            refuse_active(blocks)
        if user.left:
            raise UserNotFound("There is no user with this id.")
        return user


def _reads(do: GraphRoutes, after: list[Any]) -> APIRouter:
    user = "/users/{user_id}"
    reads = APIRouter(tags=["graph"], dependencies=after)
    reads.add_api_route(
        user,
        do.read_user,
        methods=["GET"],
        responses=VALIDATED,
        route_class_override=ValidatedRoute,
    )
    across: Responses = {403: {"description": "There is a block between the two."}}
    for name, read in (("following", do.read_following), ("followers", do.read_followers)):
        reads.add_api_route(f"{user}/{name}", read, methods=["GET"], responses=across)
    return reads


def routers(engines: Engines, *, clock: Clock, settings: Settings) -> list[APIRouter]:
    """The routes over these engines."""
    most = settings.max_following
    limit = TieLimit(
        by_counts(engines.stores.follows), clock=clock, most=most, too_many=TooManyFollowed
    )
    do = GraphRoutes(engines, clock, limit)
    many = FollowMany(log=engines.log, stores=engines.stores, limit=limit, clock=clock)
    after = reads_after(ShownWrites(engines.log, engines.stores, clock))
    guards = write_guards(engines, settings)
    writes, follows = (
        APIRouter(tags=["graph"], dependencies=[*OWN, *some], responses=NOT_OWN_OR_LEFT)
        # Following looks for the actor's row itself, together with the target's.
        for some in (guards.all(), guards.clock_only())
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
    follows.add_api_route(
        target, do.follow_user, methods=["PUT"], status_code=204, responses=followed
    )
    writes.add_api_route(
        target, do.unfollow_user, methods=["DELETE"], status_code=204, responses=ended
    )
    return [
        writes,
        follows,
        _reads(do, after),
        *many_users_http.routers(engines, many, settings=settings, after=after),
        *ties_http.routers(engines, clock=clock, settings=settings, after=after),
        *leaving_http.routers(engines, clock=clock, settings=settings, after=after),
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
