"""The route of a live feed: server-sent events, as FastAPI writes them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Header, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent

from fanfold.http.auth import Actor
from fanfold.http.params import UserIdPath
from feed_service.live.client_state import MOST_ITEMS, State, state_id, state_of_id
from feed_service.live.live_feeds import LiveFeed, LiveFeeds
from feed_service.query.access import refuse_others

RECONNECT_MS = 2000

Held = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        description="Where the stream goes on; sent by browsers by themselves.",
    ),
]
Items = Annotated[
    int, Query(ge=1, le=MOST_ITEMS, description="Posts that the client holds: the newest so many.")
]

_ANSWER: dict[str, Any] = {
    "description": "`post`: insert the item, or replace the one with its `post_id`. `removed`: drop the post of "
    "`post_id`. `level`: the client now holds the newest posts of the feed, newest `post_id` first. Each has an `id`, from which the stream goes on.",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}


@dataclass(frozen=True, slots=True)
class LiveRoutes:
    """What the route does."""

    live: LiveFeeds

    async def place(self, user_id: UserIdPath, actor: Actor) -> AsyncIterator[LiveFeed]:
        """A place for the stream, given back when it ends. Before the answer starts, for then it can't be refused."""
        refuse_others(user_id, actor)
        await self.live.refuse_left(user_id)
        with self.live.opened(user_id) as feed:
            yield feed

    async def held(self, user_id: UserIdPath, last_event_id: Held = None) -> State:
        """What the client has from an earlier stream."""
        return state_of_id(last_event_id, scope=_scope(user_id)) if last_event_id else {}

    async def events(
        self, feed: LiveFeed, held: State, limit: int
    ) -> AsyncIterator[ServerSentEvent]:
        """The events of one stream. Each carries the state that it leads to.

        A client that is cut in the middle of a change has applied a part of it, and the feed may have gone back since.
        """
        yield ServerSentEvent(comment="the feed follows", retry=RECONNECT_MS)
        scope, now = _scope(feed.viewer), dict(held)
        async for change, state in self.live.changes(feed, held, limit=limit):
            for post_id in change.removed:
                del now[post_id]
                gone = {"post_id": str(post_id)}
                yield ServerSentEvent(event="removed", data=gone, id=state_id(now, scope=scope))
            for item in change.shown:
                now[item.post_id] = state[item.post_id]
                shown = orjson.dumps(item).decode()
                yield ServerSentEvent(event="post", raw_data=shown, id=state_id(now, scope=scope))
            level = {"posts": len(state)}
            yield ServerSentEvent(event="level", data=level, id=state_id(state, scope=scope))


def _scope(user_id: str) -> str:
    return f"stream/{user_id}"


def router(live: LiveFeeds) -> APIRouter:
    """The route over the live feeds of this process."""
    do = LiveRoutes(live)
    # As defaults, not in the annotations: those are read as text, where `do` means nothing.
    place, held_before = Depends(do.place), Depends(do.held)
    api = APIRouter(tags=["feeds"])

    @api.get(
        "/users/{user_id}/feed/stream",
        response_class=EventSourceResponse,
        responses={200: _ANSWER, 403: {"description": "Someone else's feed."}},
    )
    async def stream_feed(
        feed: LiveFeed = place,
        held: State = held_before,
        limit: Items = 20,
    ) -> AsyncIterator[ServerSentEvent]:
        """Follow one's own feed as it changes. It ends equal to the chronological feed, whatever happens meanwhile."""
        async for event in do.events(feed, held, limit):
            yield event

    return api
