"""Whether this process has any core time left, and what an answered request costs of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

_SCHEDULED = Path("/proc/thread-self/schedstat")
_INTERVAL_S = 0.1
"""A queue that lasts as long is no burst: the interval of CoDel."""

_SATURATED = 0.9
"""Share of the interval in which the process ran. Work that waits for an engine leaves more of it."""

_WEIGHT = 0.3
"""Of the newest interval in the mean. In one interval few requests may end, or expensive ones alone."""


def waited_for_a_core_s() -> float:
    """How long this thread has been ready to run while others had the cores; 0 where the kernel doesn't count it."""
    try:
        _ran, waited_ns, _times = _SCHEDULED.read_text().split()
    except OSError:
        return 0.0
    return int(waited_ns) / 1e9


class CpuShare:
    """Looks at the CPU time of this process ten times a second at most. Used in one thread only.

    Time in which other processes had the cores counts as if it had not passed: a process that is kept waiting is not
    taken for one that has too much to do, nor the other way round.
    """

    def __init__(
        self,
        *,
        now_s: Callable[[], float] = time.monotonic,
        cpu_s: Callable[[], float] = time.process_time,
        waited_s: Callable[[], float] = waited_for_a_core_s,
    ) -> None:
        self._now_s, self._cpu_s, self._waited_s = now_s, cpu_s, waited_s
        self._due_s = 0.0
        self._seen_own_s = self._seen_cpu_s = 0.0
        self._request_s: float | None = None
        self._had_time = True

    @property
    def request_s(self) -> float | None:
        """CPU time of this process for each request that was answered lately; None while it has time left."""
        return self._request_s

    def due(self) -> bool:
        """Whether it is time to `look` again."""
        return self._now_s() >= self._due_s

    def look(self, answered: int) -> bool:
        """Compare the CPU time since the last look with the time that passed, in which so many requests were answered.

        False if this process had the cores for too short a time to say; then what was answered counts for the next look.
        """
        now_s = self._now_s()
        self._due_s = now_s + _INTERVAL_S
        own_s, cpu_s = now_s - self._waited_s(), self._cpu_s()
        passed_s, used_s = own_s - self._seen_own_s, cpu_s - self._seen_cpu_s
        if passed_s < _INTERVAL_S / 2:
            return False
        self._seen_own_s, self._seen_cpu_s = own_s, cpu_s
        if used_s < _SATURATED * passed_s:
            # Once may be chance: the machine below, or clients that paused together.
            if self._had_time:
                self._request_s = None
            self._had_time = True
        else:
            self._had_time = False
            newest_s = used_s / max(1, answered)
            before_s = self._request_s or newest_s
            self._request_s = before_s + _WEIGHT * (newest_s - before_s)
        return True
