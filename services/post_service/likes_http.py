"""The routes of likes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Response

from fanfold.clock import Clock
from fanfold.engines import Engines
from fanfold.http.auth import Actor
from fanfold.http.leavers import no_leavers
from fanfold.http.openapi import POSITION_HEADER, WRITTEN
from fanfold.http.params import PostIdPath
from fanfold.http.readiness import refuse_clock_skew
from fanfold.log import Position
from fanfold.settings import Settings
from fanfold.stores import Post
from post_service.existing_post import existing_post
from post_service.like import like, unlike


@dataclass(frozen=True, slots=True)
class LikeRoutes:
    """What each route does, over the ports."""

    engines: Engines
    clock: Clock
    settings: Settings

    async def like_post(self, post_id: PostIdPath, actor: Actor, response: Response) -> None:
        """Like a post. A second like changes nothing."""
        post = await self._existing(post_id)
        position = await like(
            actor,
            post,
            log=self.engines.log,
            graph=self.engines.stores.graph,
            clock=self.clock,
        )
        _say_where(position, response)

    async def unlike_post(self, post_id: PostIdPath, actor: Actor, response: Response) -> None:
        """Take a like back, whether there is one or not."""
        post = await self._existing(post_id)
        position = await unlike(
            actor,
            post,
            log=self.engines.log,
            graph=self.engines.stores.graph,
            clock=self.clock,
        )
        _say_where(position, response)

    async def _existing(self, post_id: PostIdPath) -> Post:
        refuse_clock_skew(self.engines.log, max_skew_s=self.settings.max_clock_skew_s)
        return await existing_post(
            post_id, posts=self.engines.stores.posts, clock=self.clock, settings=self.settings
        )


def _say_where(position: Position | None, response: Response) -> None:
    if position is not None:
        response.headers[POSITION_HEADER] = str(position)


def likes_router(engines: Engines, *, clock: Clock, settings: Settings) -> APIRouter:
    """The routes over these engines."""
    do = LikeRoutes(engines, clock, settings)
    api = APIRouter(tags=["posts"])
    refused: dict[int | str, dict[str, Any]] = {
        403: {"description": "There is a block between the two, or the acting user has left."}
    }
    gone: dict[int | str, dict[str, Any]] = {403: {"description": "The acting user has left."}}
    for route, method, no in ((do.like_post, "PUT", refused), (do.unlike_post, "DELETE", gone)):
        api.add_api_route(
            "/posts/{post_id}/like",
            route,
            methods=[method],
            status_code=204,
            responses={204: WRITTEN, **no},
            dependencies=[no_leavers(engines.stores.graph)],
        )
    return api
