"""Live feeds: when each open stream reads its feed again, and what it then sends to its client.

Nothing is queued for a client. A look reads the newest posts, compares them with the client's state and sends the difference, so a
slow client or a restart costs a later look and never a wrong list. A stream looks when the mark of a key that its feed was read from
has changed in the shared cache (`watching.py`): five times a second, the process asks for the marks of all streams in one batch. So what it costs
depends on the open streams and on what they show, and not on what others write.

What the shared cache doesn't hold has no mark. Then a stream looks at intervals, and all such streams of a process about a hundred times a second.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Sequence,
)
from contextlib import contextmanager, suppress
from itertools import count

from prometheus_client import Counter, Gauge

from fanfold.core.clock import Clock
from fanfold.core.errors import Transient
from fanfold.core.metric_labels import start_at_zero
from fanfold.core.ports.shared_cache import SharedCache
from fanfold.core.settings import Settings
from fanfold.http.problems import NotNow, TooManyRequests, UserNotFound
from feed_service.live.client_state import Change, State, change, state_of
from feed_service.live.open_feeds import LiveFeed, OpenFeeds
from feed_service.live.watching import Watching
from feed_service.query.items import Newest

logger = logging.getLogger(__name__)

TICK_S = 0.1
SOURCES_EVERY = 2
"""Ticks after which the marks of what brings and hides posts are asked again."""
SHOWN_EVERY = 5
"""Ticks after which those of the shown posts and their authors' names are: five times as many keys, of which few change."""
COUNTS_S = 5.0
"""Time from a look to the next one because of like counts alone: a popular post has thousands of likes a second."""
MIN_INTERVAL_S = 1 / 3
"""Shortest time between two looks of one stream. With a tick it is less than the half second in which a post is shown."""
AGAIN_S = 0.5
"""Time to another look when the last one may have missed a change."""
AWAY_S = 1.0
"""Least time to another look after one that lacked a source."""
AT_LEAST_EVERY_S = 10.0
"""Time to a look if nothing has changed."""
UNMARKED_LOOKS = 100
"""Looks a second, of all streams of a process together, because something is not in the shared cache."""
LOOKS_AT_ONCE = 32
"""A celebrity's post makes a thousand streams look. With this many looks at a time the process still answers other requests."""
IN_VAIN_AT_ONCE = 4
"""Looks at a time for which nothing is known to have changed, so that a look for a change hardly waits behind them."""
_IN_VAIN = frozenset(("time", "unmarked"))

# Its multiples, without the whole part, lie evenly between 0 and 1, however many there are.
_GOLDEN = 0.618034

_OPEN = Gauge("fanfold_feed_streams", "Live feeds open in this process.")
_LOOKS = Counter(
    "fanfold_feed_stream_looks",
    "Feeds read for live feeds, because of: first, change, again (a change may have been missed), counts, unmarked (not in the shared cache), time.",
    ["cause"],
)
start_at_zero(_LOOKS, ("first", "change", "again", "counts", "unmarked", "time"))


class TooManyStreams(NotNow):
    kind = "too-many-streams"
    title = "Too many live feeds"


class TooManyOfYours(TooManyRequests):
    kind = "too-many-of-your-streams"
    title = "Too many live feeds of one user"


ReadNewest = Callable[[str, int], Awaitable[Newest]]
"""Reads a viewer's newest items, at most a number of them."""

Drop = Callable[[Collection[str]], None]
"""Makes this process forget what it remembers of these keys: the shared cache holds something newer."""


class LiveFeeds:
    """The open streams of this process: as many in all, and of one user, as the settings say."""

    def __init__(
        self,
        read_newest: ReadNewest,
        *,
        cache: SharedCache,
        drop: Drop,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._read_newest = read_newest
        self._cache = cache
        self._drop = drop
        self._clock = clock
        self._most = settings.live_feeds
        self._most_per_user = settings.live_feeds_per_user
        self._open = OpenFeeds()
        self._opened = count()
        self._watching = Watching()
        self._looking = asyncio.Semaphore(LOOKS_AT_ONCE)
        self._looking_in_vain = asyncio.Semaphore(IN_VAIN_AT_ONCE)
        self._closed = False

    async def refuse_left(self, viewer: str) -> None:
        """Answer 404 to a viewer who has left. While that can't be known, no viewer is refused."""
        with suppress(Transient):
            await self._read_newest(viewer, 1)

    @contextmanager
    def opened(self, viewer: str) -> Iterator[LiveFeed]:
        """Reserve a stream slot; release it when the block ends.

        Answers 429 when this viewer has as many as one user may, and 503 when none is free, or the process is stopping.
        """
        if self._open.count_of(viewer) >= self._most_per_user:
            raise TooManyOfYours(f"Close one of your {self._most_per_user} live feeds first.")
        if self._closed or len(self._open) >= self._most:
            raise TooManyStreams(
                f"This server has {self._most} live feeds open already. Retry later."
            )
        feed = LiveFeed(viewer, spread=next(self._opened) * _GOLDEN % 1)
        self._open.add(feed)
        _OPEN.inc()
        try:
            yield feed
        finally:
            self._open.remove(feed)
            self._watching.unwatch(feed)
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
                if self._watching.watch(feed, newest.watched):
                    self._plan([feed], AGAIN_S, "again")
                found = change(client_state, newest.items)
                if first or found.shown or found.removed:
                    client_state = state_of(newest.items)
                    yield found, client_state
                    first = False
            else:
                self._plan([feed], max(AWAY_S, len(self._open) / UNMARKED_LOOKS), "again")
            await self._until_next_look(feed)

    async def tick_forever(self) -> None:
        """Ask for marks, and wake each stream when a look is due, for ever."""
        for tick in count():
            began_s = self._clock.monotonic_s()
            if self._open:
                await self._compare_marks(self._asked_at(tick))
            now_s = self._clock.monotonic_s()
            for feed in self._open:
                if now_s >= max(feed.due_s, feed.looked_at_s + MIN_INTERVAL_S):
                    feed.look.set()
            # Counted from the beginning: with a thousand streams the marks of a tick take as long as the tick.
            passed_s = self._clock.monotonic_s() - began_s
            await self._clock.sleep(max(TICK_S / 4, TICK_S - passed_s))

    def _asked_at(self, tick: int) -> list[str]:
        """The keys whose marks are asked at this tick."""
        keys: dict[str, None] = {}
        if tick % SOURCES_EVERY == 0:
            keys |= dict.fromkeys(self._watching.sources())
        if tick % SHOWN_EVERY == 0:
            keys |= dict.fromkeys(self._watching.shown())
        now_s = self._clock.monotonic_s()
        for feed in self._open:
            if now_s >= feed.counts_at_s:
                feed.counts_at_s = now_s + COUNTS_S
                keys |= dict.fromkeys(feed.watched.counts)
        return [*keys]

    async def _compare_marks(self, keys: Sequence[str]) -> None:
        marks = await self._cache.marks(keys)
        if marks is None:
            self._plan_unmarked([*self._open])
            return
        found = self._watching.compare(keys, marks)
        if found.changed:
            # Before the looks, and once for all of them: they share what the process remembers.
            self._drop(found.changed)
        self._plan(found.feeds, 0.0, "change")
        for feed in found.counting:
            feed.plan(feed.looked_at_s + COUNTS_S, "counts")
        # A feed with a change looks at once; only those whose keys merely stay without a mark wait.
        self._plan_unmarked(found.unmarked - found.feeds)

    def _plan_unmarked(self, feeds: Collection[LiveFeed]) -> None:
        interval_s = max(AGAIN_S, len(feeds) / UNMARKED_LOOKS)
        for feed in feeds:
            feed.plan(feed.looked_at_s + interval_s * (0.9 + 0.2 * feed.spread), "unmarked")

    def _plan(self, feeds: Iterable[LiveFeed], in_s: float, cause: str) -> None:
        at_s = self._clock.monotonic_s() + in_s
        for feed in feeds:
            feed.plan(at_s, cause)

    def close(self) -> None:
        """End every stream. Its client goes on in another process, from the last event id that it has."""
        self._closed = True
        for feed in self._open:
            feed.look.set()

    async def _look(self, feed: LiveFeed, limit: int) -> Newest | None:
        async with self._looking_in_vain if feed.cause in _IN_VAIN else self._looking:
            _LOOKS.labels(feed.cause).inc()
            # Before the read: what changes from now on makes another look.
            feed.looked_after = self._watching.comparisons
            feed.looked_at_s = now_s = self._clock.monotonic_s()
            feed.counts_at_s = now_s + COUNTS_S
            # Streams that were opened together, or saw one change together, don't go on looking together.
            share = 1.0 if feed.cause == "time" else 1 - 0.5 * feed.spread
            feed.due_s = now_s + AT_LEAST_EVERY_S * share
            feed.cause = "time"
            feed.look.clear()
            try:
                return await self._read_newest(feed.viewer, limit)
            except UserNotFound:
                feed.viewer_left = True
            except Transient as error:
                logger.warning("a live feed can't be read now: %s", error)
            return None

    async def _until_next_look(self, feed: LiveFeed) -> None:
        if not self._closed:
            await feed.look.wait()
