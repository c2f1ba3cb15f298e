"""The routes of users and of who follows whom; with those of the service's other modules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from fanfold.core.clock import Clock
from fanfold.core.ports import User
from fanfold.core.ports.engines import Engines
from fanfold.core.settings import Settings
from fanfold.http.auth import Actor
from fanfold.http.leavers import no_leavers
from fanfold.http.openapi import WRITTEN
from fanfold.http.params import Cursor, Limit, UserIdPath
from fanfold.http.positions import say_where
from fanfold.http.problems import needs
from fanfold.http.readiness import Check, readiness, refuse_clock_skew
from fanfold.http.text import NAME_MAX_CHARS, NAME_PATTERN, check_display_name
from graph_service import leaving_http, ties_http
from graph_service.acting import refuse_others
from graph_service.follow import follow, unfollow
from graph_service.lists import Connections, list_followers, list_following
from graph_service.profile import Profile, UserNotFound, read_profile, register


class NameGiven(BaseModel):
    """What a user says about themselves."""

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
    settings: Settings

    async def register_user(
        self, user_id: UserIdPath, actor: Actor, body: NameGiven, response: Response
    ) -> Profile:
        """Register oneself, or change one's display name. The name shows on older posts too."""
        refuse_others(user_id, actor)
        check_display_name(body.display_name)
        self._refuse_clock_skew()
        profile, position = await register(
            user_id,
            body.display_name,
            log=self.engines.log,
            stores=self.engines.stores,
            clock=self.clock,
        )
        say_where(response, position)
        return profile

    async def read_user(self, user_id: UserIdPath, actor: Actor) -> Profile:
        """See a user's profile."""
        return await read_profile(user_id, stores=self.engines.stores)

    async def follow_user(
        self, user_id: UserIdPath, target_id: UserIdPath, actor: Actor, response: Response
    ) -> None:
        """Follow a user. A second follow changes nothing."""
        refuse_others(user_id, actor)
        self._refuse_clock_skew()
        position = await follow(
            user_id,
            target_id,
            log=self.engines.log,
            stores=self.engines.stores,
            clock=self.clock,
            max_following=self.settings.max_following,
        )
        say_where(response, position)

    async def unfollow_user(
        self, user_id: UserIdPath, target_id: UserIdPath, actor: Actor, response: Response
    ) -> None:
        """Unfollow a user, whether followed or not."""
        refuse_others(user_id, actor)
        self._refuse_clock_skew()
        position = await unfollow(
            user_id,
            target_id,
            log=self.engines.log,
            stores=self.engines.stores,
            clock=self.clock,
        )
        say_where(response, position)

    async def read_following(
        self, user_id: UserIdPath, actor: Actor, limit: Limit = 20, cursor: Cursor = None
    ) -> Connections:
        """See whom a user follows."""
        await self._known(user_id, actor)
        return await list_following(user_id, cursor=cursor, limit=limit, stores=self.engines.stores)

    async def read_followers(
        self, user_id: UserIdPath, actor: Actor, limit: Limit = 20, cursor: Cursor = None
    ) -> Connections:
        """See who follows a user."""
        user = await self._known(user_id, actor)
        return await list_followers(user, cursor=cursor, limit=limit, stores=self.engines.stores)

    async def _known(self, user_id: str, actor: str) -> User:
        """The user's row. Whoever acts is known, registered or not: they can follow without being so."""
        with needs("the tables"):
            user = await self.engines.stores.users.get(user_id)
        if user.left or (user.display_name is None and user_id != actor):
            raise UserNotFound("There is no registered user with this id.")
        return user

    def _refuse_clock_skew(self) -> None:
        refuse_clock_skew(self.engines.log, max_skew_s=self.settings.max_clock_skew_s)


def router(engines: Engines, *, clock: Clock, settings: Settings) -> APIRouter:
    """The routes over these engines."""
    do = GraphRoutes(engines, clock, settings)
    api = APIRouter(tags=["graph"], dependencies=[no_leavers(engines.stores)])
    own: dict[int | str, dict[str, Any]] = {
        403: {"description": "Someone else's, or one has left."}
    }
    no_follow: dict[int | str, dict[str, Any]] = {
        403: {"description": "Someone else's, or there is a block between the two."}
    }
    too_many = {"description": f"Following {settings.max_following} already."}
    user, target = "/users/{user_id}", "/users/{user_id}/following/{target_id}"
    api.add_api_route(user, do.register_user, methods=["PUT"], responses={200: WRITTEN, **own})
    api.add_api_route(user, do.read_user, methods=["GET"])
    api.add_api_route(
        target,
        do.follow_user,
        methods=["PUT"],
        status_code=204,
        responses={204: WRITTEN, 409: too_many, **no_follow},
    )
    api.add_api_route(
        target,
        do.unfollow_user,
        methods=["DELETE"],
        status_code=204,
        responses={204: WRITTEN, **own},
    )
    api.add_api_route("/users/{user_id}/following", do.read_following, methods=["GET"])
    api.add_api_route("/users/{user_id}/followers", do.read_followers, methods=["GET"])
    api.include_router(ties_http.router(engines, clock=clock, settings=settings))
    whole = APIRouter()
    whole.include_router(api)
    # Apart: who has left may say so again, and take along what is still held.
    whole.include_router(leaving_http.router(engines, clock=clock, settings=settings))
    return whole


def ready(engines: Engines, settings: Settings) -> Check:
    """Ready while the log and the tables answer and the clocks agree."""

    async def clock() -> None:
        refuse_clock_skew(engines.log, max_skew_s=settings.max_clock_skew_s)

    return readiness(
        {
            "the log": engines.log.ping,
            "the tables": engines.stores.ping,
            "the clock": clock,
        }
    )
