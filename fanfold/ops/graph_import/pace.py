"""How fast an import may append, so that live traffic is not starved: pure, asked before each batch."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

SLOW_APPEND_S = 0.5
"""An append that takes longer means a log that others wait for too."""
LEAST_LAG = 1000
"""Events that may wait whatever the rate: the workers acknowledge once a second, so less would leave them idle."""
UNSEEN_S = 1.5
"""The workers acknowledge once a second and are looked at twice: of what seems to wait, so much may be done already."""
_WINDOW_S = 3.0
_SHORTEST_S = 0.5


class _Look(NamedTuple):
    at_s: float
    handled: int


@dataclass(slots=True)
class Pace:
    """Three bounds: how long the workers need for what waits, an own rate, and the log's own slowness.

    `max_lag_s` is what a live event may have to wait behind ours; `rate` is in events a second, None for no bound.
    """

    max_lag_s: float
    rate: float | None = None
    appended: int = 0
    """Our events that are in the log."""
    _lag: int | None = None
    _counted: int = 0
    _free_at_s: float = 0.0
    _looks: deque[_Look] = field(default_factory=deque)

    def observe(self, lag: int, *, handled: int, appended: int, now_s: float) -> None:
        """The workers' lag and all that they ever handled, looked at when `appended` of our events were in the log."""
        self._lag, self._counted = lag, appended
        self._looks.append(_Look(now_s, handled))
        while len(self._looks) > 2 and now_s - self._looks[1].at_s >= _WINDOW_S:
            self._looks.popleft()

    def append(self, events: int, *, took_s: float, now_s: float) -> None:
        """Our events were acknowledged just now, after `took_s`."""
        self.appended += events
        pause_s = took_s if took_s > SLOW_APPEND_S else 0.0
        if self.rate is not None:
            pause_s = max(pause_s, events / self.rate - took_s)
        self._free_at_s = now_s + pause_s

    @property
    def lag(self) -> int | None:
        """An upper bound of the workers' lag, in events; None before the first look."""
        return None if self._lag is None else self._lag + self.appended - self._counted

    @property
    def most_lag(self) -> float:
        """How many events may seem to wait: what the workers handled lately, for as long as a live event may wait.

        Workers that had too little to do count as slow, so this begins low and grows until they are busy.
        """
        if len(self._looks) < 2:
            return LEAST_LAG
        first, last = self._looks[0], self._looks[-1]
        per_s = (last.handled - first.handled) / max(last.at_s - first.at_s, _SHORTEST_S)
        return max(LEAST_LAG, per_s * (self.max_lag_s + UNSEEN_S))

    def may_append(self, events: int, *, now_s: float) -> bool:
        """Whether a batch may go now. When nothing waits for the workers one may, however large."""
        lag = self.lag
        if lag is None or now_s < self._free_at_s:
            return False
        return lag == 0 or lag + events <= self.most_lag
