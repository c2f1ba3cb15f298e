"""Live feeds: when each open stream reads its feed again, and what it then sends to its client.

Nothing is queued for a client. A look reads the newest posts, compares them with the client's state and sends the
difference, so a slow client, a missed hint or a restart costs a later look and never a wrong list. The hints come from
the tail of the log. A look every few seconds catches changes without an event (a fan-out that has arrived, an expiry).
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import assert_never

from prometheus_client import Gauge

from fanfold.core.clock import Clock
from fanfold.core.errors import Transient
from fanfold.core.events import (
    AwakeningBegun,
    DeliveryChanged,
    Event,
    LikeChanged,
    NameChanged,
    PostAdded,
    PostChanged,
    UserGone,
    ViewerGraphChanged,
)
from fanfold.core.settings import Settings
from fanfold.http.problems import NotNow, TooManyRequests, UserNotFound
from feed_service.live.client_state import Change, State, change, state_of
from feed_service.live.open_feeds import LiveFeed, OpenFeeds
from feed_service.query.items import Newest

logger = logging.getLogger(__name__)

SOON_S = 0.1
"""Time of a look after a hint: the worker needs about that long to project the event."""
AGAIN_S = 1.0
"""Time of one more look, for a worker that needs longer."""
LIKES_S = 5.0
"""Time of a look after another user's like: a popular post has thousands a second, and its count may be a little old."""
WITHOUT_HINT_S = 10.0
"""Time of a look without any hint."""
FRESH_S = 60.0
"""How long an author is pulled after a post, so that its fan-out has surely arrived."""
MIN_INTERVAL_S = 0.5
"""Shortest time between two looks of one stream."""
TICK_S = 0.1

_OPEN = Gauge("fanfold_feed_streams", "Live feeds open in this process.")


class TooManyStreams(NotNow):
    kind = "too-many-streams"
    title = "Too many live feeds"


class TooManyOfYours(TooManyRequests):
    kind = "too-many-of-your-streams"
    title = "Too many live feeds of one user"


ReadNewest = Callable[[str, int, frozenset[str]], Awaitable[Newest]]
"""Reads a viewer's newest items, at most a number of them; these authors are pulled even if they are pushed."""


@dataclass(slots=True)
class _Hint:
    """Changes of an author's posts since the last tick. `soon`: more than likes; `posted`: a new post among them."""

    at_s: float
    soon: bool = False
    posted: bool = False


class LiveFeeds:
    """The open streams of this process: as many in all, and of one user, as the settings say."""

    def __init__(self, read_newest: ReadNewest, *, settings: Settings, clock: Clock) -> None:
        self._read_newest = read_newest
        self._clock = clock
        self._most = settings.live_feeds
        self._most_per_user = settings.live_feeds_per_user
        self._open = OpenFeeds()
        self._hints: dict[str, _Hint] = {}
        self._closed = False

    async def refuse_left(self, viewer: str) -> None:
        """Answer 404 to a viewer who has left. While that can't be known, no viewer is refused."""
        with suppress(Transient):
            await self._read_newest(viewer, 1, frozenset())

    @contextmanager
    def opened(self, viewer: str) -> Iterator[LiveFeed]:
        """Reserve a stream slot; release it when the block ends.

        Answers 429 when this viewer has as many as one user may, and 503 when none is free, or the process is stopping.
        """
        if len(self._open.of(viewer)) >= self._most_per_user:
            raise TooManyOfYours(f"Close one of your {self._most_per_user} live feeds first.")
        if self._closed or len(self._open) >= self._most:
            raise TooManyStreams(
                f"This server has {self._most} live feeds open already. Retry later."
            )
        feed = LiveFeed(viewer)
        self._open.add(feed)
        _OPEN.inc()
        try:
            yield feed
        finally:
            self._open.remove(feed)
            _OPEN.dec()

    async def changes(
        self, feed: LiveFeed, client_state: State, *, limit: int
    ) -> AsyncIterator[tuple[Change, State]]:
        """Each change of the feed from the client's state, with the state that it leads to; the first at once.

        Ends when the process stops, and when the viewer leaves. A post that is missing because a source is unavailable is
        never reported as removed.
        """
        first = True
        while not self._closed:
            newest = await self._look(feed, limit)
            if feed.viewer_left:
                return
            if newest is not None and newest.complete:
                self._open.show(feed, newest.authors)
                found = change(client_state, newest.items)
                if first or found.shown or found.removed:
                    client_state = state_of(newest.items)
                    yield found, client_state
                    first = False
            else:
                self._open.show(feed, feed.authors or frozenset())
                self._plan(feed, AGAIN_S)
            await self._until_next_look(feed)

    async def tick_forever(self) -> None:
        """Wake each stream when a look is due, for ever."""
        while True:
            self._follow_hints()
            now_s = self._clock.monotonic_s()
            for feed in self._open:
                rested = now_s - feed.looked_at_s >= MIN_INTERVAL_S
                if rested and feed.looks_at_s and min(feed.looks_at_s) <= now_s:
                    feed.look.set()
            await self._clock.sleep(TICK_S)

    def hint(self, event: Event) -> None:
        """Plan looks for the streams that an event of the log may change; those of an author at the next tick.

        A popular post has thousands of likes a second, and its author thousands of streams: once a tick is enough.
        """
        for changed in event.changes():
            match changed:
                case PostAdded(author_id):
                    self._note(author_id, soon=True, posted=True)
                case LikeChanged(user_id=user_id, author_id=author_id):
                    self._note(author_id)
                    self._plan_all(self._open.of(user_id))
                case PostChanged(author_id):
                    self._note(author_id, soon=True)
                case NameChanged(user_id) | UserGone(user_id):
                    self._note(user_id, soon=True)
                case ViewerGraphChanged(viewer_id, cell):
                    # A sleeper's posts are pulled: that changes how the feed is read, not what it shows.
                    if cell.kind != "asleep":
                        self._plan_all(self._open.of(viewer_id))
                case AwakeningBegun() | DeliveryChanged():
                    pass
                case _:
                    assert_never(changed)

    def _note(self, author_id: str, *, soon: bool = False, posted: bool = False) -> None:
        hint = self._hints.setdefault(author_id, _Hint(self._clock.monotonic_s()))
        hint.soon |= soon
        hint.posted |= posted

    def _follow_hints(self) -> None:
        hints, self._hints = self._hints, {}
        for author_id, hint in hints.items():
            delays_s = (SOON_S, AGAIN_S) if hint.soon else (LIKES_S,)
            for feed in self._open.showing(author_id):
                if hint.posted:
                    feed.fresh_until_s[author_id] = hint.at_s + FRESH_S
                self._plan(feed, *delays_s, from_s=hint.at_s)

    def close(self) -> None:
        """End every stream. Its client goes on in another process, from the last event id that it has."""
        self._closed = True
        for feed in self._open:
            feed.look.set()

    async def _look(self, feed: LiveFeed, limit: int) -> Newest | None:
        feed.looked_at_s = now_s = self._clock.monotonic_s()
        feed.looks_at_s = [at_s for at_s in feed.looks_at_s if at_s > now_s]
        feed.fresh_until_s = {
            author: at_s for author, at_s in feed.fresh_until_s.items() if at_s > now_s
        }
        self._plan(feed, WITHOUT_HINT_S)
        try:
            return await self._read_newest(feed.viewer, limit, frozenset(feed.fresh_until_s))
        except UserNotFound:
            feed.viewer_left = True
            return None
        except Transient as error:
            logger.warning("a live feed can't be read now: %s", error)
            return None

    async def _until_next_look(self, feed: LiveFeed) -> None:
        if not self._closed:
            await feed.look.wait()
            feed.look.clear()

    def _plan_all(self, feeds: Iterable[LiveFeed]) -> None:
        for feed in feeds:
            self._plan(feed, SOON_S, AGAIN_S)

    def _plan(self, feed: LiveFeed, *delays_s: float, from_s: float | None = None) -> None:
        """Plan a look after each of these delays, unless one is due about then already."""
        begin_s = self._clock.monotonic_s() if from_s is None else from_s
        for delay_s in delays_s:
            due_s = begin_s + delay_s
            if not any(
                due_s - max(delay_s / 2, MIN_INTERVAL_S) <= at_s <= due_s
                for at_s in feed.looks_at_s
            ):
                feed.looks_at_s.append(due_s)
