"""The routes of feeds and of an author's posts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Response

from fanfold.engines import Engines
from fanfold.http.auth import Actor
from fanfold.http.params import Cursor, Limit, UserIdPath
from fanfold.http.problems import Forbidden
from fanfold.http.readiness import Check, readiness
from feed_service.cursor import Ranking
from feed_service.feed_reader import FeedReader
from feed_service.items import FeedPage, PostPage

INCOMPLETE_HEADER = "Fanfold-Incomplete"

RankingQuery = Annotated[
    Ranking,
    Query(
        description="`relevance`: the best of the newest. `chronological`: all, strictly by time."
    ),
]

_FEED_ANSWER: dict[str, Any] = {
    "headers": {
        INCOMPLETE_HEADER: {
            "description": "The sources that could not be asked, when `complete` is false: "
            "`celebrities`, `graph`, `posts`, `timeline`.",
            "schema": {"type": "string"},
        }
    }
}


class NotYourFeed(Forbidden):
    kind = "not-your-feed"
    title = "Someone else's feed"


@dataclass(frozen=True, slots=True)
class FeedRoutes:
    """What each route does."""

    reader: FeedReader

    async def read_feed(
        self,
        user_id: UserIdPath,
        actor: Actor,
        limit: Limit = 10,
        cursor: Cursor = None,
        ranking: RankingQuery = "relevance",
    ) -> Response:
        """Read one's own feed: the posts of those whom one follows, and one's own."""
        if user_id != actor:
            raise NotYourFeed("A feed is its reader's own.")
        page, missing = await self.reader.read_feed(
            user_id, ranking=ranking, limit=limit, cursor=cursor
        )
        return _json(page, {INCOMPLETE_HEADER: ", ".join(missing)} if missing else {})

    async def read_posts(
        self, user_id: UserIdPath, actor: Actor, limit: Limit = 10, cursor: Cursor = None
    ) -> Response:
        """Read an author's posts, newest first."""
        page = await self.reader.read_posts(
            user_id, limit=limit, cursor=cursor, known=user_id == actor
        )
        return _json(page, {})


def _json(page: FeedPage | PostPage, headers: dict[str, str]) -> Response:
    # Straight from the dataclasses: validating our own answer would cost more than reading the feed.
    return Response(orjson.dumps(page), headers=headers, media_type="application/json")


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
        "/users/{user_id}/posts", do.read_posts, methods=["GET"], response_model=PostPage
    )
    return api


def ready(engines: Engines) -> Check:
    """Ready while the tables answer. Without the log feeds are read uncached, so it isn't asked."""
    return readiness({"the tables": engines.stores.timelines.ping})
