"""The routes of posts."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Header, Response
from pydantic import BaseModel, ConfigDict, Field

from fanfold.core.clock import Clock
from fanfold.core.ports import Post, User
from fanfold.core.ports.engines import Engines
from fanfold.core.settings import Settings
from fanfold.http.auth import Actor
from fanfold.http.blocks import blocked_between
from fanfold.http.leavers import no_leavers
from fanfold.http.openapi import POSITION_HEADER, WRITTEN
from fanfold.http.params import PostIdPath
from fanfold.http.positions import say_where
from fanfold.http.problems import needs
from fanfold.http.readiness import Check, readiness, refuse_clock_skew
from fanfold.http.text import POST_PATTERN, check_post_text
from post_service.create_post import CreatePost
from post_service.delete_post import delete_post
from post_service.edit_post import EditPost
from post_service.existing_post import (
    PostNotFound,
    existing_post,
    refuse_deleted,
    refuse_of_left,
    refuse_others,
)
from post_service.fanout_status import FanoutStatus, read_fanout_status
from post_service.likes_http import likes_router
from post_service.post_answer import PostAnswer, author_of, post_answer


class PostText(BaseModel):
    """What an author sends."""

    model_config = ConfigDict(extra="forbid", strict=True)

    content: str = Field(
        min_length=1,
        json_schema_extra={"pattern": POST_PATTERN},
        description="1-2,000 characters as people count them (grapheme clusters) and at most 16 KiB of UTF-8; "
        "not blank; no control characters but tab and line breaks. Kept as sent.",
    )


IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[\x21-\x7e]{1,255}$",
        description="1-255 visible ASCII characters. For 24 hours the same key and body give the same answer "
        "and one post.",
    ),
]


@dataclass(frozen=True, slots=True)
class PostRoutes:
    """What each route does, over the ports."""

    engines: Engines
    clock: Clock
    settings: Settings

    async def create_post(
        self,
        actor: Actor,
        body: PostText,
        response: Response,
        idempotency_key: IdempotencyKey = None,
    ) -> PostAnswer:
        """Publish a post."""
        self._refuse_writes_now(body)
        create = CreatePost(
            log=self.engines.log,
            posts=self.engines.stores.posts,
            stores=self.engines.stores,
            clock=self.clock,
            settings=self.settings,
        )
        created = await create(actor, body.content, key=idempotency_key)
        response.headers["Location"] = f"/posts/{created.answer.post_id}"
        if created.position is not None:
            response.headers[POSITION_HEADER] = created.position
        return created.answer

    async def read_post(self, post_id: PostIdPath, actor: Actor) -> PostAnswer:
        """Read a post."""
        post, author = await self._shown(post_id)
        blocked, liked = await asyncio.gather(
            blocked_between(actor, post.author_id, stores=self.engines.stores),
            self._liked_by(actor, post),
        )
        if blocked:
            raise PostNotFound("There is no post with this id.")
        return post_answer(post, author, liked_by_me=liked)

    async def edit_post(
        self, post_id: PostIdPath, actor: Actor, body: PostText, response: Response
    ) -> PostAnswer:
        """Replace the text of an own post."""
        self._refuse_writes_now(body)
        post, author = await self._shown(post_id)
        refuse_others(post, actor)
        liked = await self._liked_by(actor, post)
        edit = EditPost(log=self.engines.log, posts=self.engines.stores.posts, clock=self.clock)
        edited, position = await edit(post, body.content)
        refuse_deleted(edited)
        say_where(response, position)
        return post_answer(edited, author, liked_by_me=liked)

    async def delete_post(self, post_id: PostIdPath, actor: Actor, response: Response) -> None:
        """Delete an own post, for good. Deleting it again changes nothing."""
        self._refuse_writes_now()
        post = await self._existing(post_id)
        if post.author_id != actor:
            await self._shown(post_id)
        refuse_others(post, actor)
        position = await delete_post(
            post, log=self.engines.log, posts=self.engines.stores.posts, clock=self.clock
        )
        say_where(response, position)

    async def read_fanout(self, post_id: PostIdPath, actor: Actor) -> FanoutStatus:
        """See how far the fan-out of an own post has come."""
        post, _ = await self._shown(post_id)
        refuse_others(post, actor)
        return await read_fanout_status(post_id, jobs=self.engines.stores.jobs)

    async def _existing(self, post_id: PostIdPath) -> Post:
        return await existing_post(
            post_id, posts=self.engines.stores.posts, clock=self.clock, settings=self.settings
        )

    async def _shown(self, post_id: PostIdPath) -> tuple[Post, User]:
        """A post that is there to be seen, and its author's row. Answers 404 for what was deleted, or hidden by leaving."""
        post = await self._existing(post_id)
        refuse_deleted(post)
        with needs("the tables"):
            author = await author_of(post.author_id, stores=self.engines.stores)
        refuse_of_left(author)
        return post, author

    async def _liked_by(self, user_id: str, post: Post) -> bool:
        with needs("the tables"):
            return bool(await self.engines.stores.likes.of_user(user_id, [post.post_id]))

    def _refuse_writes_now(self, body: PostText | None = None) -> None:
        if body is not None:
            check_post_text(body.content, max_chars=self.settings.post_max_chars)
        refuse_clock_skew(self.engines.log, max_skew_s=self.settings.max_clock_skew_s)


def router(engines: Engines, *, clock: Clock, settings: Settings) -> APIRouter:
    """The routes over these engines."""
    do = PostRoutes(engines, clock, settings)
    api = APIRouter(tags=["posts"])
    staying = [no_leavers(engines.stores)]
    own: dict[int | str, dict[str, Any]] = {403: {"description": "Someone else's post."}}
    left: dict[int | str, dict[str, Any]] = {403: {"description": "The acting user has left."}}
    location = {"Location": {"description": "The post.", "schema": {"type": "string"}}}
    created = {"headers": {**WRITTEN["headers"], **location}}
    in_flight = {"description": "A request with this Idempotency-Key is under way."}
    api.add_api_route(
        "/posts",
        do.create_post,
        methods=["POST"],
        status_code=201,
        responses={201: created, 409: in_flight, **left},
    )
    api.add_api_route("/posts/{post_id}", do.read_post, methods=["GET"])
    api.add_api_route(
        "/posts/{post_id}",
        do.edit_post,
        methods=["PATCH"],
        responses={200: WRITTEN, **own},
        dependencies=staying,
    )
    api.add_api_route(
        "/posts/{post_id}",
        do.delete_post,
        methods=["DELETE"],
        status_code=204,
        responses={204: WRITTEN, **own},
        dependencies=staying,
    )
    api.add_api_route("/posts/{post_id}/fanout", do.read_fanout, methods=["GET"], responses=own)
    api.include_router(likes_router(engines, clock=clock, settings=settings))
    return api


def ready(engines: Engines, settings: Settings) -> Check:
    """Ready while the log answers and the clocks agree.

    The tables are not asked: posts are taken without them, and a probe that failed would stop that too.
    """

    async def clock() -> None:
        refuse_clock_skew(engines.log, max_skew_s=settings.max_clock_skew_s)

    return readiness({"the log": engines.log.ping, "the clock": clock})
