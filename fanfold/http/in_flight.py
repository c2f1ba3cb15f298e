"""The requests of one kind that are in flight, and how many there may be."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

REFUSED = Counter(
    "fanfold_http_refused_total",
    "Requests answered 503 at once: FANFOLD_MAX_IN_FLIGHT were in flight, or so many that they waited FANFOLD_MAX_CPU_WAIT_S for one another.",
    ["kind", "bound"],
)
LIMIT = Gauge(
    "fanfold_http_in_flight_limit",
    "Requests that this process takes at a time: fewer than FANFOLD_MAX_IN_FLIGHT while it has no core time left.",
    ["kind"],
)

_LEAST = 32
"""The limit never falls below this. As many clients that each wait for their answers are no overload, and one expensive request, such as the first of a process, is no measure of the others."""

_SLOWER = 0.05
"""How much of a longer time becomes the usual one in each interval, so that an overload does not become what is usual."""


_RISE = 0.1
"""The share by which the limit rises in each interval with core time left. A rise at once would let a crowd in whenever an overload pauses."""


class InFlight:
    """Counts, and adapts the limit to what requests cost.

    By Little's law, requests that each take `request_s` of the core and `usual_s` in all, when the core is free, wait
    `wait_s` for one another while (usual_s + wait_s) / request_s of them are in flight.
    """

    __slots__ = (
        "_gauge",
        "_has_refused",
        "_most",
        "_refused",
        "_refused_for_cpu",
        "_usual_s",
        "answered",
        "count",
        "limit",
        "spent_s",
    )

    def __init__(self, kind: str, *, most: int) -> None:
        self.count = 0
        self.answered, self.spent_s = 0, 0.0
        self.limit = self._most = most
        self._usual_s: float | None = None
        self._has_refused = False
        self._refused = REFUSED.labels(kind, "in_flight")
        self._refused_for_cpu = REFUSED.labels(kind, "cpu")
        self._gauge = LIMIT.labels(kind)
        self._gauge.set(most)

    def enter(self) -> bool:
        """Count one more, or refuse it."""
        if self.count < self.limit:
            self.count += 1
            return True
        self._has_refused = True
        (self._refused_for_cpu if self.limit < self._most else self._refused).inc()
        return False

    def leave(self, took_s: float) -> None:
        """Count one less, which has been answered."""
        self.count -= 1
        self.answered += 1
        self.spent_s += took_s

    def adapt(self, request_s: float | None, *, wait_s: float) -> None:
        """The limit after an interval; `request_s` is None while there is core time left. It falls at once, and rises slowly."""
        if request_s is not None:
            limit = max(_LEAST, int(((self._usual_s or 0) + wait_s) / request_s))
        else:
            limit = self.limit + max(1, int(_RISE * self.limit))
            if self.answered and not self._has_refused:
                self._note_usual(self.spent_s / self.answered)
        limit = min(limit, self._most)
        self.answered, self.spent_s, self._has_refused = 0, 0.0, False
        if limit != self.limit:
            self.limit = limit
            self._gauge.set(limit)

    def _note_usual(self, took_s: float) -> None:
        if self._usual_s is None or took_s < self._usual_s:
            self._usual_s = took_s
        else:
            self._usual_s += _SLOWER * (took_s - self._usual_s)
