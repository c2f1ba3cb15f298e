"""The routes of feeds and of an author's posts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Response

from fanfold.core import tracing
from fanfold.core.ports.engines import Engines
from fanfold.http.auth import Actor
from fanfold.http.openapi import Responses
from fanfold.http.params import Cursor, Limit, UserIdPath
from fanfold.http.positions import After
from fanfold.http.problems import Invalid
from fanfold.http.read_after import refuse_behind
from fanfold.http.readiness import Check, readiness
from feed_service.access import NOT_OWN_FEED, OWN_FEED
from feed_service.feed_reader import FeedReader
from feed_service.live import live_http
from feed_service.query.coverage import SourceName
from feed_service.query.cursor import Ranking
from feed_service.query.items import FeedPage, NewPosts, PostPage
from feed_service.since import SINCE, newer_than

INCOMPLETE_HEADER = "Fanfold-Incomplete"

RankingQuery = Annotated[
    Ranking,
    Query(
        description="`relevance`: a selection, the best of the newest posts. It leaves out older posts, and all but the newest few "
        "of each pulled author. `chronological`: all posts, strictly by time; `Link` in an answer by relevance names it."
    ),
]

ExplainQuery = Annotated[
    bool,
    Query(
        description="With `relevance`: add an `explain` object to each item, with the parts of its score as of now. A later page "
        "keeps the order of the time when the first page was read."
    ),
]

_FEED_ANSWER: dict[str, Any] = {
    "headers": {
        INCOMPLETE_HEADER: {
            "description": "The sources that could not be asked, when `complete` is false: "
            "`celebrities`, `graph`, `posts`, `timeline`; `likes`: `liked_by_me` may be false where it shouldn't, and relevance "
            "knows no affinity; `rebuilding`: the feed of a user who was away is being put together; `behind`: a write "
            "of `Fanfold-After` could not be seen in time.",
            "schema": {"type": "string"},
        },
    }
}

_RANKED_ANSWER: dict[str, Any] = {
    "headers": {
        **_FEED_ANSWER["headers"],
        "Link": {
            "description": 'With `relevance`, which is a selection: the whole feed, by time, as `rel="alternate"` '
            "(RFC 8288), relative to this address.",
            "schema": {"type": "string"},
        },
    }
}

_WHOLE_FEED = {"Link": '<?ranking=chronological>; rel="alternate"; title="All posts, by time"'}
"""Relative, so that it holds behind any gateway."""


Since = Annotated[str, Query(description=SINCE)]


@dataclass(frozen=True, slots=True)
class FeedRoutes:
    """The functions behind the routes."""

    reader: FeedReader

    async def read_feed(
        self,
        user_id: UserIdPath,
        *,
        limit: Limit = 10,
        cursor: Cursor = None,
        ranking: RankingQuery = "relevance",
        explain: ExplainQuery = False,
        after: After,
    ) -> Response:
        """Read your own feed: your posts, and those of the users that you follow."""
        if explain and ranking == "chronological":
            raise Invalid.at(
                "query",
                "explain",
                "Leave it out, or ask for `relevance`: an order by time has no score.",
            )
        awaited = await self.reader.after_writes(user_id, after)
        page, missing = await self.reader.feeds.page(
            user_id,
            ranking=ranking,
            limit=limit,
            cursor=cursor,
            awaited=awaited,
            explain=explain,
        )
        if tracing.spans() is not None:
            tracing.describe(
                {"fanfold.items": len(page.items), "fanfold.missing": ",".join(missing)}
            )
        return _json(page, missing, _WHOLE_FEED if ranking == "relevance" else {})

    async def count_new(self, user_id: UserIdPath, since: Since, after: After) -> Response:
        """Count the posts in your own feed that are newer than a post, or than a first page."""
        known = newer_than(since, user_id)
        awaited = await self.reader.after_writes(user_id, after)
        new, missing = await self.reader.feeds.count_new(user_id, known, awaited=awaited)
        return _json(new, missing)

    async def read_posts(
        self,
        user_id: UserIdPath,
        *,
        actor: Actor,
        limit: Limit = 10,
        cursor: Cursor = None,
        after: After,
    ) -> Response:
        """Read an author's posts, newest first."""
        awaited = await self.reader.after_writes(actor, after)
        refuse_behind(awaited)
        page = await self.reader.read_posts(
            user_id, viewer=actor, limit=limit, cursor=cursor, awaited=awaited
        )
        return _json(page)


def _json(
    answer: FeedPage | PostPage | NewPosts,
    missing: Sequence[SourceName] = (),
    headers: Mapping[str, str] = MappingProxyType({}),
) -> Response:
    if missing:
        headers = {**headers, INCOMPLETE_HEADER: ", ".join(missing)}
    # Straight from the dataclasses: validating our own answer would cost more than reading the feed.
    return Response(orjson.dumps(answer), headers=headers, media_type="application/json")


def routers(reader: FeedReader) -> list[APIRouter]:
    """The routes over a reader."""
    do = FeedRoutes(reader)
    own = APIRouter(tags=["feeds"], dependencies=OWN_FEED, responses=NOT_OWN_FEED)
    public = APIRouter(tags=["feeds"])
    answer: Responses = {200: _FEED_ANSWER}
    ranked: Responses = {200: _RANKED_ANSWER}
    feed, posts = "/users/{user_id}/feed", "/users/{user_id}/posts"
    blocked: Responses = {403: {"description": "There is a block between you and the author."}}
    own.add_api_route(
        feed, do.read_feed, methods=["GET"], response_model=FeedPage, responses=ranked
    )
    own.add_api_route(
        f"{feed}/new", do.count_new, methods=["GET"], response_model=NewPosts, responses=answer
    )
    public.add_api_route(
        posts, do.read_posts, methods=["GET"], response_model=PostPage, responses=blocked
    )
    return [own, *live_http.routers(reader.live, reader.tickets), public]


def ready(engines: Engines) -> Check:
    """Ready while the tables answer. Feeds need no log."""
    return readiness({"the tables": engines.stores.ping})
