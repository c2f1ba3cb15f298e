"""Does the worker get on? Judged by what the group has acknowledged, not by what has been read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from fanfold.clock import Clock
from fanfold.http.problems import NotNow
from fanout_service.metrics import LAG

STALLED_AFTER_S = 60.0
"""Longer than a rebalance and than the retries of one batch, both of which end by themselves."""

LOOK_EVERY_S = 5.0


class Lag(Protocol):
    """How far the group has come in one partition."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def committed(self) -> int: ...
    @property
    def records(self) -> int: ...


class _Seen(NamedTuple):
    committed: int
    moved_at_s: float


class Stalled(NotNow):
    kind = "stalled"
    title = "The worker is stuck"


class Progress:
    """Remembers when each partition last moved, or had nothing to do."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[tuple[str, int], _Seen] = {}

    def observe(self, lags: Sequence[Lag]) -> None:
        """Take note of all partitions assigned now; one that was taken away is forgotten."""
        now_s = self._clock.monotonic_s()
        before, self._seen = self._seen, {}
        behind: Counter[str] = Counter()
        for lag in lags:
            key = (lag.topic, lag.partition)
            seen = before.get(key)
            moved = seen is None or seen.committed != lag.committed or not lag.records
            self._seen[key] = _Seen(
                lag.committed, now_s if seen is None or moved else seen.moved_at_s
            )
            behind[lag.topic] += lag.records
        for topic, records in behind.items():
            LAG.labels(topic).set(records)

    def check(self) -> None:
        """Raise `Stalled` while a partition has records and has not moved for too long."""
        now_s = self._clock.monotonic_s()
        for (topic, partition), seen in self._seen.items():
            if now_s - seen.moved_at_s > STALLED_AFTER_S:
                raise Stalled(
                    f"Nothing of {topic}/{partition} has been acknowledged for "
                    f"{now_s - seen.moved_at_s:.0f} s, and it holds more. Restart this worker."
                )

    async def watch(self, lags: Callable[[], Sequence[Lag]]) -> None:
        """Observe until cancelled."""
        while True:
            self.observe(lags())
            await self._clock.sleep(LOOK_EVERY_S)
