"""The routes of likes."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter, Response

from fanfold.core.clock import Clock
from fanfold.core.ports import Post
from fanfold.core.ports.engines import Engines
from fanfold.core.settings import Settings
from fanfold.http.auth import Actor
from fanfold.http.guards import write_guards
from fanfold.http.openapi import LEFT, WRITTEN, Responses
from fanfold.http.params import PostIdPath
from fanfold.http.positions import no_content
from post_service.existing_post import existing_post
from post_service.like import like, unlike


@dataclass(frozen=True, slots=True)
class LikeRoutes:
    """What each route does, over the ports."""

    engines: Engines
    clock: Clock
    settings: Settings

    async def like_post(self, post_id: PostIdPath, actor: Actor) -> Response:
        """Like a post. A second like changes nothing."""
        log, stores = self.engines.log, self.engines.stores
        post = await self._existing(post_id)
        position = await like(
            actor, post, log=log, users=stores.users, ties=stores.ties, clock=self.clock
        )
        return no_content(position)

    async def unlike_post(self, post_id: PostIdPath, actor: Actor) -> Response:
        """Unlike a post, whether it was liked or not."""
        log, users = self.engines.log, self.engines.stores.users
        post = await self._existing(post_id)
        return no_content(await unlike(actor, post, log=log, users=users, clock=self.clock))

    async def _existing(self, post_id: PostIdPath) -> Post:
        posts = self.engines.stores.posts
        return await existing_post(post_id, posts=posts, clock=self.clock, settings=self.settings)


def routers(engines: Engines, *, clock: Clock, settings: Settings) -> list[APIRouter]:
    """The routes over these engines."""
    do = LikeRoutes(engines, clock, settings)
    writes = APIRouter(
        tags=["posts"], dependencies=write_guards(engines, settings).all(), responses=LEFT
    )
    like_path = "/posts/{post_id}/like"
    liked: Responses = {
        204: WRITTEN,
        403: {"description": "There is a block between you and the author, or you have left."},
    }
    unliked: Responses = {204: WRITTEN}
    writes.add_api_route(like_path, do.like_post, methods=["PUT"], status_code=204, responses=liked)
    writes.add_api_route(
        like_path, do.unlike_post, methods=["DELETE"], status_code=204, responses=unliked
    )
    return [writes]
