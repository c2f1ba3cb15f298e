"""The tail of the log: every event is applied to the caches, and while that isn't certain they are not trusted."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence

from prometheus_client import Gauge

from fanfold.core.clock import Clock
from fanfold.core.errors import Transient, Undecodable
from fanfold.core.events import PROJECTED_TOPICS, Event
from fanfold.core.ports.log import EventLog, Position, Record, Tail
from fanfold.core.settings import Settings
from fanfold.http.problems import NotNow

logger = logging.getLogger(__name__)

Apply = Callable[[Event, int], None]
"""Takes an event and its offset."""

_BEHIND = Gauge("fanfold_feed_tail_behind_seconds", "How far the caches are behind the log.")

# Events that the worker may not have projected yet when this process starts.
_START_BACK_MS = 5 * 60 * 1000
_RETRY_S = 0.2
_REMEMBERED = 10_000  # some 20 MB; a read that waits for a write comes within seconds of it

WARM_UP_S = 20.0
"""Longest time that a new process is not ready because its caches aren't. Without the log it then works uncached."""


class WarmingUp(NotNow):
    kind = "warming-up"
    title = "Warming up"


class LogTail:
    """This process's reader of the projected topics."""

    def __init__(self, log: EventLog, *, settings: Settings, clock: Clock) -> None:
        self._log = log
        self._max_behind_s = settings.tail_max_behind_s
        self._clock = clock
        self._tail: Tail | None = None
        self._opened_at_s = clock.monotonic_s()
        self._caught_up = False
        self._trusted_until_s = float("-inf")
        self._warm = False
        self._warm_by_s = clock.monotonic_s() + WARM_UP_S
        self._recent: OrderedDict[Position, Event] = OrderedDict()
        _BEHIND.set_function(self.behind_s)

    def behind_s(self) -> float:
        """Seconds since the whole log was applied; infinite until that was so once."""
        if self._tail is None or not self._caught_up:
            return float("inf")
        return self._tail.behind_s()

    def trusted(self) -> bool:
        """Whether cached values are at most `tail_max_behind_s` old."""
        # Every cache lookup asks this, and the tail answers by asking every partition. The tail falls behind by no more
        # than the time that passes, so a yes holds for the rest of the allowed time.
        now_s = self._clock.monotonic_s()
        if now_s > self._trusted_until_s:
            self._trusted_until_s = now_s + self._max_behind_s - self.behind_s()
        return now_s <= self._trusted_until_s

    def recent(self, position: Position) -> Event | None:
        """The event at that position, if it is one of the last that were applied."""
        return self._recent.get(position)

    async def warm(self) -> None:
        """Answer 503 until the tail has caught up with the log once, 20 s at most.

        Until then no cache is trusted, so each read asks for everything. That is so much work that the tail, which
        shares the processor, might not catch up for minutes.
        """
        self._warm = self._warm or self.trusted() or self._clock.monotonic_s() > self._warm_by_s
        if not self._warm:
            raise WarmingUp("The caches are not warm yet.")

    async def follow(self, apply: Apply) -> None:
        """Apply the events of the last five minutes, then every new one, for ever."""
        since_ms = self._clock.now_ms() - _START_BACK_MS
        while True:
            try:
                async with self._log.tail(PROJECTED_TOPICS, since_ms=since_ms) as tail:
                    await self._follow(tail, apply)
            except Transient as error:
                logger.warning("the log can't be followed, so the caches are not used: %s", error)
            finally:
                self._tail, self._trusted_until_s = None, float("-inf")
            await self._clock.sleep(_RETRY_S)

    async def _follow(self, tail: Tail, apply: Apply) -> None:
        self._tail, self._caught_up = tail, False
        self._opened_at_s = self._clock.monotonic_s()
        while True:
            try:
                records = await tail.read()
            except Transient as error:
                logger.warning("the log does not answer: %s", error)
                await self._clock.sleep(_RETRY_S)
                continue
            # No await between the read and this: a caller that sees the new `behind_s` finds the records applied.
            self._apply_all(records, apply)
            if not self._caught_up:
                # A new tail counts from its opening. Only if it counts from a later moment has it held everything.
                open_s = self._clock.monotonic_s() - self._opened_at_s
                self._caught_up = tail.behind_s() < open_s / 2

    def _apply_all(self, records: Sequence[Record], apply: Apply) -> None:
        for record in records:
            try:
                event = record.event()
            except Undecodable:
                continue  # the worker dead-letters it: it changes nothing
            apply(event, record.offset)
            self._recent[record.position] = event
        while len(self._recent) > _REMEMBERED:
            self._recent.popitem(last=False)
