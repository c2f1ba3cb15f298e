"""Whether the worker makes progress: by what the group has acknowledged, not by what it has read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from fanfold.core.clock import Clock
from fanfold.core.lag import PartitionLag
from fanfold.http.problems import NotNow
from fanout_service.metrics import LAG

STALLED_AFTER_S = 60.0
"""Longer than a rebalance and than the retries of a batch: both end by themselves."""

LOOK_EVERY_S = 5.0


class Stalled(NotNow):
    kind = "stalled"
    title = "The worker is stuck"


class Progress:
    """Remembers when each topic last advanced, or had no records waiting.

    By topic and not by partition: one agent reads all partitions of a topic, and not in turns. Under a backlog some wait long
    while the worker does all it can.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._committed: dict[tuple[str, int], int] = {}
        self._advanced_at_s: dict[str, float] = {}

    def observe(self, lags: Sequence[PartitionLag]) -> None:
        """Note the lag of every assigned partition. Partitions that were revoked are forgotten."""
        now_s = self._clock.monotonic_s()
        before, self._committed = self._committed, {}
        advanced_before, self._advanced_at_s = self._advanced_at_s, {}
        behind: Counter[str] = Counter()
        advanced: set[str] = set()
        for lag in lags:
            key = (lag.topic, lag.partition)
            self._committed[key] = lag.committed
            behind[lag.topic] += lag.records
            if before.get(key) != lag.committed:
                advanced.add(lag.topic)
        for topic, records in behind.items():
            is_moving = topic in advanced or not records
            self._advanced_at_s[topic] = now_s if is_moving else advanced_before[topic]
            LAG.labels(topic).set(records)

    def check(self) -> None:
        """Raise `Stalled` if a topic has records waiting and none has been acknowledged for too long."""
        now_s = self._clock.monotonic_s()
        for topic, advanced_at_s in self._advanced_at_s.items():
            if now_s - advanced_at_s > STALLED_AFTER_S:
                raise Stalled(
                    f"Nothing of {topic} has been acknowledged for {now_s - advanced_at_s:.0f} s, "
                    "and more are waiting. Restart this worker."
                )

    async def watch(self, lags: Callable[[], Sequence[PartitionLag]]) -> None:
        """Observe until cancelled."""
        while True:
            self.observe(lags())
            await self._clock.sleep(LOOK_EVERY_S)
