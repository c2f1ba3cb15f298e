"""How fast an import may append, so that live traffic is not starved: pure, asked before each batch."""

from __future__ import annotations

from dataclasses import dataclass

SLOW_APPEND_S = 0.5
"""An append that takes longer means a log that others wait for too."""


@dataclass(slots=True)
class Pace:
    """Three bounds: what the worker has not handled, an own rate, and the log's own slowness.

    `max_lag` is in events, `rate` in events a second; None is no bound of its own.
    """

    max_lag: int
    rate: float | None = None
    appended: int = 0
    """Our events that are in the log."""
    _lag: int | None = None
    _counted: int = 0
    _free_at_s: float = 0.0

    def observe(self, lag: int, *, appended: int) -> None:
        """The worker's lag, looked at when `appended` of our events were in the log."""
        self._lag, self._counted = lag, appended

    def append(self, events: int, *, took_s: float, now_s: float) -> None:
        """Our events were acknowledged just now, after `took_s`."""
        self.appended += events
        pause_s = took_s if took_s > SLOW_APPEND_S else 0.0
        if self.rate is not None:
            pause_s = max(pause_s, events / self.rate - took_s)
        self._free_at_s = now_s + pause_s

    @property
    def lag(self) -> int | None:
        """An upper bound of the worker's lag, in events; None before the first look."""
        return None if self._lag is None else self._lag + self.appended - self._counted

    def may_append(self, events: int, *, now_s: float) -> bool:
        """Whether a batch may go now. When nothing waits for the worker one may, however small the bound."""
        lag = self.lag
        if lag is None or now_s < self._free_at_s:
            return False
        return lag == 0 or lag + events <= self.max_lag
