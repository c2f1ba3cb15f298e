"""The routes of likes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response

from fanfold.core.clock import Clock
from fanfold.core.ports.engines import Engines
from fanfold.core.ports.log import Position
from fanfold.core.settings import Settings
from fanfold.http.auth import Actor
from fanfold.http.leavers import no_leavers
from fanfold.http.openapi import WRITTEN
from fanfold.http.params import PostIdPath
from fanfold.http.positions import say_where
from fanfold.http.readiness import refuse_clock_skew
from post_service.existing_post import existing_post
from post_service.like import like, unlike

ChangeLike = Callable[..., Awaitable[Position | None]]
"""`like` or `unlike`, which take the same."""


@dataclass(frozen=True, slots=True)
class LikeRoutes:
    """What each route does, over the ports."""

    engines: Engines
    clock: Clock
    settings: Settings

    async def like_post(self, post_id: PostIdPath, actor: Actor, response: Response) -> None:
        """Like a post. A second like changes nothing."""
        await self._change(like, post_id, actor, response)

    async def unlike_post(self, post_id: PostIdPath, actor: Actor, response: Response) -> None:
        """Take a like back, whether there is one or not."""
        await self._change(unlike, post_id, actor, response)

    async def _change(
        self, change: ChangeLike, post_id: UUID, actor: str, response: Response
    ) -> None:
        log, stores = self.engines.log, self.engines.stores
        refuse_clock_skew(log, max_skew_s=self.settings.max_clock_skew_s)
        post = await existing_post(
            post_id, posts=stores.posts, clock=self.clock, settings=self.settings
        )
        position = await change(actor, post, log=log, stores=stores, clock=self.clock)
        say_where(response, position)


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
            dependencies=[no_leavers(engines.stores)],
        )
    return api
