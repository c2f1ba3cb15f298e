"""Whether this process has any core time left, and what an answered request costs of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_SCHEDULED = Path("/proc/thread-self/schedstat")
_CORES = Path("/proc/stat")
_INTERVAL_S = 0.1
"""A queue that lasts as long is no burst: the interval of CoDel."""

_SATURATED = 0.9
"""Share of the interval in which the process ran. Work that waits for an engine leaves more of it."""

_STILL_SATURATED = 0.7
"""The same for a process that limits its requests already. It refuses work, so the little time that is left comes from a pause of clients or of the machine."""

_WEIGHT = 0.3
"""Of the newest interval in the mean. In one interval few requests may end, or expensive ones alone."""


def waited_for_a_core_s() -> float:
    """How long this thread has been ready to run while others had the cores; 0 where the kernel doesn't count it."""
    try:
        _ran, waited_ns, _times = _SCHEDULED.read_text().split()
    except OSError:
        return 0.0
    return int(waited_ns) / 1e9


@dataclass(frozen=True, slots=True)
class Cores:
    """What the cores of this machine have done since it started, in seconds of all of them together."""

    ran_s: float
    stolen_s: float
    """Time for which there was work, and the host of this virtual machine ran another one."""

    @classmethod
    def read(cls) -> Cores:
        """From the kernel, which counts hundredths of a second; nothing where there is no /proc."""
        try:
            with _CORES.open() as lines:
                ticks = [int(count) for count in lines.readline().split()[1:9]]
        except OSError:
            return cls(0.0, 0.0)
        user, nice, system, _idle, _iowait, irq, softirq, stolen = ticks
        return cls(
            (user + nice + system + irq + softirq) / _TICKS_A_SECOND, stolen / _TICKS_A_SECOND
        )

    def stolen_a_second_since(self, before: Cores) -> float:
        """Seconds stolen for each that ran."""
        ran_s = self.ran_s - before.ran_s
        return (self.stolen_s - before.stolen_s) / ran_s if ran_s > 0 else 0.0


_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class CpuShare:
    """Looks at the CPU time of this process ten times a second at most. Used in one thread only.

    Time in which other processes or other virtual machines had the cores counts as if it had not passed: a process that is
    kept waiting is not taken for one that has too much to do, nor the other way round.
    """

    def __init__(
        self,
        *,
        now_s: Callable[[], float] = time.monotonic,
        cpu_s: Callable[[], float] = time.process_time,
        waited_s: Callable[[], float] = waited_for_a_core_s,
        cores: Callable[[], Cores] = Cores.read,
    ) -> None:
        self._now_s, self._cpu_s, self._waited_s, self._cores = now_s, cpu_s, waited_s, cores
        self._due_s = 0.0
        self._seen_own_s = self._seen_cpu_s = 0.0
        self._seen_cores = Cores(0.0, 0.0)
        self._request_s: float | None = None

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
        cores = self._cores()
        passed_s -= used_s * cores.stolen_a_second_since(self._seen_cores)
        self._seen_own_s, self._seen_cpu_s, self._seen_cores = own_s, cpu_s, cores
        saturated = _SATURATED if self._request_s is None else _STILL_SATURATED
        if used_s < saturated * passed_s:
            self._request_s = None
        else:
            newest_s = used_s / max(1, answered)
            before_s = self._request_s or newest_s
            self._request_s = before_s + _WEIGHT * (newest_s - before_s)
        return True
