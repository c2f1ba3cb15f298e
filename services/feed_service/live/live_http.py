"""The route of a live feed: server-sent events, as FastAPI writes them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Header, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent

from fanfold.http.identity.tickets import TicketDesk
from fanfold.http.params import UserIdPath, whole_number
from fanfold.http.tickets import accepts_tickets, ticket_route
from feed_service.access import NOT_OWN_FEED, OWN_FEED
from feed_service.live.client_state import MOST_ITEMS, State, state_id, state_of_id
from feed_service.live.event_forms import event_stream
from feed_service.live.live_feeds import LiveFeeds
from feed_service.live.open_feeds import LiveFeed
from feed_service.since import SINCE, newer_than

RECONNECT_MS = 2000

LastEventId = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        description="The id of the last event received; the stream goes on from there. Browsers send it by themselves.",
    ),
]
LastEventIdQuery = Annotated[
    str | None,
    Query(
        alias="last_event_id",
        description="The same for a new `EventSource`, which can send no header. `Last-Event-ID` counts before it.",
    ),
]
Items = Annotated[
    int,
    Query(ge=1, le=MOST_ITEMS, description="How many of the newest posts the client shows."),
    whole_number(1, MOST_ITEMS),
]
SinceQuery = Annotated[
    str | None,
    Query(description=f"{SINCE} Each `level` then has their number, for a feed by relevance."),
]

_ANSWER: dict[str, Any] = {
    "description": "`post`: insert the item, or replace the one with its `post_id`. `removed`: drop the post of "
    "`post_id`. `level`: the client now has the newest posts of the feed, newest `post_id` first. Each event has an `id`, "
    "from which a new stream goes on.",
    "content": {"text/event-stream": event_stream()},
}


@dataclass(frozen=True, slots=True)
class LiveRoutes:
    """The functions behind the route."""

    live: LiveFeeds

    async def opened(self, user_id: UserIdPath) -> AsyncIterator[LiveFeed]:
        """Reserve a stream slot; release it on disconnect. Refuses before the answer starts, when it still can."""
        await self.live.refuse_left(user_id)
        with self.live.opened(user_id) as feed:
            yield feed

    async def client_state(
        self, user_id: UserIdPath, sent: LastEventId = None, named: LastEventIdQuery = None
    ) -> State:
        """The posts that the client has from an earlier stream."""
        last_event_id = sent or named
        return state_of_id(last_event_id, scope=_scope(user_id)) if last_event_id else {}

    async def known(self, user_id: UserIdPath, since: SinceQuery = None) -> UUID | None:
        """The newest post that isn't new to the client; None if new ones are not to be counted."""
        return None if since is None else newer_than(since, user_id)

    async def events(
        self, feed: LiveFeed, client_state: State, limit: int, known: UUID | None = None
    ) -> AsyncIterator[ServerSentEvent]:
        """The events of one stream. Each has the client's state after it as its id.

        A client that is cut off in the middle of a change has applied a part of it, and the feed may have changed back
        since; so each id is the state after that one event.
        """
        yield ServerSentEvent(comment="the feed follows", retry=RECONNECT_MS)
        scope, partial = _scope(feed.viewer), dict(client_state)
        async for change, state in self.live.changes(feed, client_state, limit=limit):
            for post_id in change.removed:
                del partial[post_id]
                gone = {"post_id": str(post_id)}
                yield ServerSentEvent(event="removed", data=gone, id=state_id(partial, scope=scope))
            for item in change.shown:
                partial[item.post_id] = state[item.post_id]
                shown, event_id = orjson.dumps(item).decode(), state_id(partial, scope=scope)
                yield ServerSentEvent(event="post", raw_data=shown, id=event_id)
            level = {"posts": len(state)}
            if known is not None:
                level["new"] = sum(post_id > known for post_id in state)
            yield ServerSentEvent(event="level", data=level, id=state_id(state, scope=scope))


def _scope(user_id: str) -> str:
    return f"stream/{user_id}"


STREAM = "/users/{user_id}/feed/stream"


def routers(live: LiveFeeds, tickets: TicketDesk) -> list[APIRouter]:
    """The routes over the live feeds of this process."""
    gives = ticket_route(
        tickets,
        STREAM,
        name="give_stream_ticket",
        says="Get a ticket for one's own live feed. `EventSource` can send no header, and opens the feed with it.",
        tags=["feeds"],
        own=OWN_FEED,
        responses=NOT_OWN_FEED,
    )
    return [_stream(live, tickets), gives]


def _stream(live: LiveFeeds, tickets: TicketDesk) -> APIRouter:
    do = LiveRoutes(live)
    # As defaults, not in the annotations: those are read as text, where `do` means nothing.
    opened, client_state, known = Depends(do.opened), Depends(do.client_state), Depends(do.known)
    api = APIRouter(
        tags=["feeds"], dependencies=[*accepts_tickets(tickets), *OWN_FEED], responses=NOT_OWN_FEED
    )

    @api.get(
        STREAM,
        response_class=EventSourceResponse,
        responses={200: _ANSWER, 429: {"description": "The user has too many live feeds open."}},
    )
    async def stream_feed(
        feed: LiveFeed = opened,
        state: State = client_state,
        counted_from: UUID | None = known,
        limit: Items = 20,
    ) -> AsyncIterator[ServerSentEvent]:
        """Follow your own feed as it changes. The client ends with the chronological feed, whatever happens meanwhile."""
        async for event in do.events(feed, state, limit, counted_from):
            yield event

    return api
