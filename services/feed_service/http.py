"""The routes of feeds and of an author's posts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Header, Query, Response

from fanfold.core.ports.engines import Engines
from fanfold.core.ports.log import Position
from fanfold.http.auth import Actor
from fanfold.http.params import POST_ID, Cursor, Limit, UserIdPath
from fanfold.http.problems import Invalid
from fanfold.http.readiness import Check, readiness
from feed_service.feed_reader import FeedReader
from feed_service.live import live_http
from feed_service.query.access import refuse_others
from feed_service.query.coverage import SourceName
from feed_service.query.cursor import Ranking, newest_of
from feed_service.query.items import FeedPage, NewPosts, PostPage

INCOMPLETE_HEADER = "Fanfold-Incomplete"

RankingQuery = Annotated[
    Ranking,
    Query(
        description="`relevance`: the best of the newest. `chronological`: all, strictly by time."
    ),
]

ExplainQuery = Annotated[
    bool,
    Query(
        description="With `relevance`: add to each item an `explain` object, the parts of its score as of now. A later page "
        "keeps the order that was right when the first was read."
    ),
]

_FEED_ANSWER: dict[str, Any] = {
    "headers": {
        INCOMPLETE_HEADER: {
            "description": "The sources that could not be asked, when `complete` is false: "
            "`celebrities`, `graph`, `posts`, `timeline`; `likes`, when `liked_by_me` may be false where it shouldn't, and "
            "relevance knows no affinity; `rebuilding`, while the feed of a reader who was away is put "
            "together; `behind`, when a write of `Fanfold-After` could not be seen in time.",
            "schema": {"type": "string"},
        }
    }
}


MOST_AWAITED = 20

After = Annotated[
    list[str],
    Header(
        default_factory=list,
        alias="Fanfold-After",
        description="Positions that writes have answered (`Fanfold-Position`), separated by commas or in several headers, "
        f"{MOST_AWAITED} at most: this read sees those writes, or says `behind` after a second.",
    ),
]

Since = Annotated[
    str,
    Query(
        description="A post id, or a cursor of the feed: then what came after its first page is counted."
    ),
]


@dataclass(frozen=True, slots=True)
class FeedRoutes:
    """What each route does."""

    reader: FeedReader

    async def read_feed(
        self,
        user_id: UserIdPath,
        actor: Actor,
        *,
        limit: Limit = 10,
        cursor: Cursor = None,
        ranking: RankingQuery = "relevance",
        explain: ExplainQuery = False,
        after: After,
    ) -> Response:
        """Read one's own feed: the posts of those whom one follows, and one's own."""
        refuse_others(user_id, actor)
        if explain and ranking == "chronological":
            raise Invalid.at(
                "query", "explain", "Leave it out, or ask for `relevance`: a time needs no reasons."
            )
        awaited = await self.reader.after_writes(user_id, _positions(after))
        page, missing = await self.reader.feeds.page(
            user_id,
            ranking=ranking,
            limit=limit,
            cursor=cursor,
            awaited=awaited,
            explain=explain,
        )
        return _json(page, missing)

    async def count_new(self, user_id: UserIdPath, actor: Actor, since: Since) -> Response:
        """Count the posts that have come to one's own feed since a post, or since a first page was read."""
        refuse_others(user_id, actor)
        new, missing = await self.reader.feeds.count_new(user_id, _since(since, user_id))
        return _json(new, missing)

    async def read_posts(
        self, user_id: UserIdPath, actor: Actor, limit: Limit = 10, cursor: Cursor = None
    ) -> Response:
        """Read an author's posts, newest first."""
        page = await self.reader.read_posts(user_id, viewer=actor, limit=limit, cursor=cursor)
        return _json(page)


def _positions(headers: list[str]) -> list[Position]:
    positions = [each.strip() for header in headers for each in header.split(",")]
    if len(positions) > MOST_AWAITED:
        raise Invalid.at("header", "Fanfold-After", f"Send at most {MOST_AWAITED} positions.")
    try:
        return [Position.parse(each) for each in positions]
    except ValueError as error:
        raise Invalid.at(
            "header", "Fanfold-After", "Send what writes answered in Fanfold-Position."
        ) from error


def _since(since: str, viewer: str) -> UUID:
    return UUID(since) if POST_ID.fullmatch(since) else newest_of(since, viewer=viewer)


def _json(answer: FeedPage | PostPage | NewPosts, missing: Sequence[SourceName] = ()) -> Response:
    headers = {INCOMPLETE_HEADER: ", ".join(missing)} if missing else {}
    # Straight from the dataclasses: validating our own answer would cost more than reading the feed.
    return Response(orjson.dumps(answer), headers=headers, media_type="application/json")


def router(reader: FeedReader) -> APIRouter:
    """The routes over a reader."""
    do = FeedRoutes(reader)
    api = APIRouter(tags=["feeds"])
    api.add_api_route(
        "/users/{user_id}/feed",
        do.read_feed,
        methods=["GET"],
        response_model=FeedPage,
        responses={200: _FEED_ANSWER, 403: {"description": "Someone else's feed."}},
    )
    api.add_api_route(
        "/users/{user_id}/feed/new",
        do.count_new,
        methods=["GET"],
        response_model=NewPosts,
        responses={200: _FEED_ANSWER, 403: {"description": "Someone else's feed."}},
    )
    api.include_router(live_http.router(reader.live))
    api.add_api_route(
        "/users/{user_id}/posts",
        do.read_posts,
        methods=["GET"],
        response_model=PostPage,
        responses={403: {"description": "There is a block between the two."}},
    )
    return api


def ready(engines: Engines, reader: FeedReader) -> Check:
    """Ready while the tables answer, once the caches are warm. Without the log feeds are read uncached."""
    return readiness({"the tables": engines.stores.ping, "the caches": reader.warm})
