"""How fast an import may append without delaying live traffic. Pure; asked before each batch."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

SLOW_APPEND_S = 0.5
"""An append that takes longer means that the log is slow for other clients too."""
LEAST_LAG = 1000
"""Events that may always wait: the workers acknowledge once a second, so with fewer they would be idle."""
UNSEEN_S = 1.5
"""The workers acknowledge once a second, and are observed twice a second: part of the observed lag may be handled already."""
_WINDOW_S = 3.0
_SHORTEST_S = 0.5


class _Observation(NamedTuple):
    at_s: float
    handled: int


@dataclass(slots=True)
class Pace:
    """Three bounds: the time that the workers need for what waits, a fixed rate, and the slowness of the log.

    `max_lag_s` is how long a live event may wait behind imported ones; `rate` is in events a second, None for no bound.
    """

    max_lag_s: float
    rate: float | None = None
    appended: int = 0
    """Imported events that are in the log."""
    _lag: int | None = None
    _counted: int = 0
    _free_at_s: float = 0.0
    _observations: deque[_Observation] = field(default_factory=deque)

    def observe(self, lag: int, *, handled: int, appended: int, now_s: float) -> None:
        """Record the workers' lag and the number of events they ever handled, as of when `appended` imported events were in the log."""
        self._lag, self._counted = lag, appended
        self._observations.append(_Observation(now_s, handled))
        while len(self._observations) > 2 and now_s - self._observations[1].at_s >= _WINDOW_S:
            self._observations.popleft()

    def append(self, events: int, *, took_s: float, now_s: float) -> None:
        """Record that imported events were acknowledged just now, after `took_s`."""
        self.appended += events
        pause_s = took_s if took_s > SLOW_APPEND_S else 0.0
        if self.rate is not None:
            pause_s = max(pause_s, events / self.rate - took_s)
        self._free_at_s = now_s + pause_s

    @property
    def lag(self) -> int | None:
        """An upper bound of the workers' lag, in events; None before the first observation."""
        return None if self._lag is None else self._lag + self.appended - self._counted

    @property
    def most_lag(self) -> float:
        """The most events that may wait: what the workers handle, at their recent rate, in the time that a live event may wait.

        Workers with too little to do look slow, so this starts low and grows until they are busy.
        """
        if len(self._observations) < 2:
            return LEAST_LAG
        first, last = self._observations[0], self._observations[-1]
        per_s = (last.handled - first.handled) / max(last.at_s - first.at_s, _SHORTEST_S)
        return max(LEAST_LAG, per_s * (self.max_lag_s + UNSEEN_S))

    def may_append(self, events: int, *, now_s: float) -> bool:
        """Whether a batch may be appended now. If nothing waits for the workers, a batch of any size may."""
        lag = self.lag
        if lag is None or now_s < self._free_at_s:
            return False
        return lag == 0 or lag + events <= self.most_lag
