"""The events of a live feed: wherever a stream is cut off, its client resumes and ends with the feed."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

import orjson
from fastapi.sse import ServerSentEvent
from hypothesis import given
from hypothesis import strategies as st

from fanfold.core.ports.no_shared_cache import NoSharedCache
from fanfold.core.settings import Settings
from feed_service.live.client_state import MOST_ITEMS
from feed_service.live.live_feeds import LiveFeeds
from feed_service.live.live_http import LiveRoutes
from feed_service.query.items import FeedItem, Newest
from feed_service.query.watched_keys import NOTHING
from tests.support.clock import ManualClock
from tests.unit.test_live_feeds import ITEMS


@dataclass
class Client:
    """A client that applies each event at once, and resumes from the last id."""

    feed: list[FeedItem] = field(default_factory=list)
    shown: set[UUID] = field(default_factory=set)
    last_id: str | None = None

    async def newest(self, viewer: str, limit: int) -> Newest:
        return Newest(self.feed[:limit], NOTHING, complete=True)

    async def connect(self, *, events: int, limit: int = MOST_ITEMS) -> None:
        """Follow until level, or until it is cut off after so many events."""
        live = LiveFeeds(
            self.newest,
            cache=NoSharedCache(),
            drop=lambda _: None,
            settings=Settings(live_feeds=1, live_feeds_per_user=1),
            clock=ManualClock(),
        )
        routes = LiveRoutes(live)
        state = await routes.client_state("alice", self.last_id)
        with live.opened("alice") as opened:
            stream = routes.events(opened, state, limit)
            await anext(stream)
            for _ in range(events):
                event = await anext(stream)
                self._apply(event)
                if event.event == "level":
                    break

    def _apply(self, event: ServerSentEvent) -> None:
        if event.event == "post":
            assert event.raw_data is not None
            self.shown.add(UUID(orjson.loads(event.raw_data)["post_id"]))
        elif event.event == "removed":
            self.shown.remove(UUID(event.data["post_id"]))
        self.last_id = event.id or self.last_id


@given(
    st.lists(st.tuples(st.sets(st.integers(0, 11)), st.integers(0, 6)), max_size=5),
    st.sets(st.integers(0, 11)),
    st.integers(1, 12),
)
async def test_a_client_that_is_cut_off_in_the_middle_of_a_change_ends_with_the_feed(
    cut: list[tuple[set[int], int]], last: set[int], limit: int
) -> None:
    client = Client()
    for shown, events in [*cut, (last, 1000)]:
        client.feed = [ITEMS[n] for n in sorted(shown, reverse=True)]
        await client.connect(events=events, limit=limit)
    assert client.shown == {item.post_id for item in client.feed[:limit]}
