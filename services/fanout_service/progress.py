"""Does the worker get on? Judged by what the group has acknowledged, not by what has been read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from fanfold.core.clock import Clock
from fanfold.core.lag import PartitionLag
from fanfold.http.problems import NotNow
from fanout_service.metrics import LAG

STALLED_AFTER_S = 60.0
"""Longer than a rebalance and than the retries of one batch, both of which end by themselves."""

LOOK_EVERY_S = 5.0


class Stalled(NotNow):
    kind = "stalled"
    title = "The worker is stuck"


class Progress:
    """Remembers when each topic last moved, or had nothing to do.

    The topic and not each partition: one agent takes a topic's partitions, and not in turns, so under a backlog some
    wait long while the worker does all it can.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._committed: dict[tuple[str, int], int] = {}
        self._moved_at_s: dict[str, float] = {}

    def observe(self, lags: Sequence[PartitionLag]) -> None:
        """Take note of all partitions assigned now; one that was taken away is forgotten."""
        now_s = self._clock.monotonic_s()
        before, self._committed = self._committed, {}
        moved_before, self._moved_at_s = self._moved_at_s, {}
        behind: Counter[str] = Counter()
        moved: set[str] = set()
        for lag in lags:
            key = (lag.topic, lag.partition)
            self._committed[key] = lag.committed
            behind[lag.topic] += lag.records
            if before.get(key) != lag.committed:
                moved.add(lag.topic)
        for topic, records in behind.items():
            on = topic in moved or not records
            self._moved_at_s[topic] = now_s if on else moved_before[topic]
            LAG.labels(topic).set(records)

    def check(self) -> None:
        """Raise `Stalled` while a topic has records and none has been acknowledged for too long."""
        now_s = self._clock.monotonic_s()
        for topic, moved_at_s in self._moved_at_s.items():
            if now_s - moved_at_s > STALLED_AFTER_S:
                raise Stalled(
                    f"Nothing of {topic} has been acknowledged for {now_s - moved_at_s:.0f} s, "
                    "and it holds more. Restart this worker."
                )

    async def watch(self, lags: Callable[[], Sequence[PartitionLag]]) -> None:
        """Observe until cancelled."""
        while True:
            self.observe(lags())
            await self._clock.sleep(LOOK_EVERY_S)
