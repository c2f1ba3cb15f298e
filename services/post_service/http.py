"""The routes of posts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated

import orjson
from fastapi import APIRouter, Header, Response
from pydantic import BaseModel, ConfigDict, Field

from fanfold.core.clock import Clock
from fanfold.core.ports import Post, User
from fanfold.core.ports.engines import Engines
from fanfold.core.settings import Settings
from fanfold.core.text import post_text_error
from fanfold.http.after_writes import AfterWrites
from fanfold.http.auth import Actor
from fanfold.http.blocks import blocked_between
from fanfold.http.guards import write_guards
from fanfold.http.openapi import LEFT, POSITION_HEADER, POST_PATTERN, WRITTEN, Responses
from fanfold.http.params import PostIdPath, PostIds, post_ids_of
from fanfold.http.positions import no_content, position_fields
from fanfold.http.post_resource import Author, PostResource
from fanfold.http.problems import Invalid
from fanfold.http.read_after import reads_after
from fanfold.http.readiness import Check, clocks_agree, readiness
from fanfold.http.validators import VALIDATED, ValidatedRoute
from post_service import likes_http
from post_service.create_post import CreatePost
from post_service.delete_post import delete_post
from post_service.edit_post import EditPost
from post_service.existing_post import (
    PostNotFound,
    existing_post,
    refuse_deleted,
    refuse_left_author,
    refuse_others,
)
from post_service.fanout_status import FanoutStatus, read_fanout_status
from post_service.many_posts import Posts, read_many_posts


class PostText(BaseModel):
    """The body of a publication or an edit."""

    model_config = ConfigDict(extra="forbid", strict=True)

    content: str = Field(
        min_length=1,
        json_schema_extra={"pattern": POST_PATTERN},
        examples=["Hello world!"],
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

_LOCATION = {"Location": {"description": "The post.", "schema": {"type": "string"}}}
_CREATED: Responses = {
    201: {"headers": {**WRITTEN["headers"], **_LOCATION}},
    409: {"description": "A request with this Idempotency-Key is in progress."},
}
NOT_YOURS: Responses = {403: {"description": "Not your post, or you have left."}}


@dataclass(frozen=True, slots=True)
class PostRoutes:
    """What each route does, over the ports."""

    engines: Engines
    clock: Clock
    settings: Settings
    create: CreatePost

    async def create_post(
        self,
        actor: Actor,
        body: PostText,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Publish a post."""
        self._check(body)
        created = await self.create(actor, body.content, key=idempotency_key)
        headers = {"Location": f"/posts/{created.post.post_id}"}
        if created.position is not None:
            headers[POSITION_HEADER] = created.position
        return _shown(created.post, HTTPStatus.CREATED, headers)

    async def read_post(self, post_id: PostIdPath, actor: Actor) -> PostResource:
        """Read a post."""
        post, author = await self._visible(post_id, actor)
        liked = await self._liked_by(actor, post)
        return PostResource.of(post, author=Author.of(author), liked_by_me=liked)

    async def read_posts_by_id(self, ids: PostIds, actor: Actor) -> Posts:
        """Read up to 100 posts."""
        return await read_many_posts(
            post_ids_of(ids),
            viewer=actor,
            stores=self.engines.stores,
            clock=self.clock,
            settings=self.settings,
        )

    async def edit_post(self, post_id: PostIdPath, actor: Actor, body: PostText) -> Response:
        """Replace the text of one's own post."""
        self._check(body)
        post, author = await self._visible(post_id, actor)
        refuse_others(post, actor)
        liked = await self._liked_by(actor, post)
        edit = EditPost(log=self.engines.log, posts=self.engines.stores.posts, clock=self.clock)
        edited, position = await edit(post, body.content)
        refuse_deleted(edited)
        shown = PostResource.of(edited, author=Author.of(author), liked_by_me=liked)
        return _shown(shown, HTTPStatus.OK, position_fields(position))

    async def delete_post(self, post_id: PostIdPath, actor: Actor) -> Response:
        """Delete one's own post, for good. Deleting it again changes nothing."""
        post = await self._existing(post_id)
        if post.author_id != actor:
            await self._visible(post_id, actor)
        refuse_others(post, actor)
        position = await delete_post(
            post, log=self.engines.log, posts=self.engines.stores.posts, clock=self.clock
        )
        return no_content(position)

    async def read_fanout(self, post_id: PostIdPath, actor: Actor) -> FanoutStatus:
        """Read the progress of the fan-out of one's own post."""
        post, _ = await self._visible(post_id, actor)
        refuse_others(post, actor)
        kept_since_ms = self.clock.now_ms() - self.settings.keep_ms
        return await read_fanout_status(
            post_id, jobs=self.engines.stores.jobs, kept_since_ms=kept_since_ms
        )

    async def _existing(self, post_id: PostIdPath) -> Post:
        posts = self.engines.stores.posts
        return await existing_post(post_id, posts=posts, clock=self.clock, settings=self.settings)

    async def _visible(self, post_id: PostIdPath, actor: str) -> tuple[Post, User]:
        """A post and its author's row. Answers 404 for a post that is deleted, whose author has left, or across a block."""
        stores = self.engines.stores
        post = await self._existing(post_id)
        refuse_deleted(post)
        author, blocked = await asyncio.gather(
            stores.users.get(post.author_id), self._blocked(actor, post.author_id)
        )
        refuse_left_author(author)
        if blocked:
            raise PostNotFound("There is no post with this id.")
        return post, author

    async def _blocked(self, actor: str, author_id: str) -> bool:
        if actor == author_id:
            return False
        return await blocked_between(actor, author_id, ties=self.engines.stores.ties)

    async def _liked_by(self, user_id: str, post: Post) -> bool:
        return bool(await self.engines.stores.likes.of_user(user_id, [post.post_id]))

    def _check(self, body: PostText) -> None:
        error = post_text_error(body.content, max_chars=self.settings.post_max_chars)
        if error is not None:
            raise Invalid.at("body", "/content", error)


def _shown(post: PostResource, status: HTTPStatus, headers: Mapping[str, str]) -> Response:
    # A whole answer, so that the route is called directly; and validating our own answer would cost more than making it.
    return Response(orjson.dumps(post), status, headers, media_type="application/json")


def _create(engines: Engines, clock: Clock, settings: Settings) -> CreatePost:
    return CreatePost(
        log=engines.log,
        posts=engines.stores.posts,
        users=engines.stores.users,
        keys=engines.stores.idempotency_keys,
        clock=clock,
        settings=settings,
    )


def routers(engines: Engines, *, clock: Clock, settings: Settings) -> list[APIRouter]:
    """The routes over these engines."""
    do = PostRoutes(engines, clock, settings, _create(engines, clock, settings))
    guards = write_guards(engines, settings)
    after_writes = AfterWrites(engines.log, engines.stores, clock)
    reads = APIRouter(tags=["posts"], dependencies=reads_after(after_writes))
    writes = APIRouter(tags=["posts"], dependencies=guards.all(), responses=NOT_YOURS)
    # Posts are accepted without the tables, so publishing looks for the actor's row itself.
    creates = APIRouter(tags=["posts"], dependencies=guards.clock_only(), responses=LEFT)
    edited: Responses = {200: WRITTEN}
    deleted: Responses = {204: WRITTEN}
    post = "/posts/{post_id}"
    creates.add_api_route(
        "/posts",
        do.create_post,
        methods=["POST"],
        status_code=201,
        response_model=PostResource,
        responses=_CREATED,
    )
    reads.add_api_route("/posts", do.read_posts_by_id, methods=["GET"])
    reads.add_api_route(
        post,
        do.read_post,
        methods=["GET"],
        responses=VALIDATED,
        route_class_override=ValidatedRoute,
    )
    reads.add_api_route(f"{post}/fanout", do.read_fanout, methods=["GET"], responses=NOT_YOURS)
    writes.add_api_route(
        post, do.edit_post, methods=["PATCH"], response_model=PostResource, responses=edited
    )
    writes.add_api_route(
        post, do.delete_post, methods=["DELETE"], status_code=204, responses=deleted
    )
    likes = likes_http.routers(engines, clock=clock, settings=settings)
    return [creates, reads, writes, *likes]


def ready(engines: Engines, settings: Settings) -> Check:
    """Ready while the log answers and the clocks agree.

    The tables are not asked: posts are accepted without them, and a failed probe would stop that too.
    """
    agree = clocks_agree(engines.log, max_skew_s=settings.max_clock_skew_s)
    return readiness({"the log": engines.log.ping, "the clock": agree})
