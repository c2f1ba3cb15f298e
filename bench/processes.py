"""The CPU time and memory of a process so far, from /proc."""

from __future__ import annotations

import os
import signal
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """CPU seconds of all its threads, in user and system mode, to 10 ms."""
    return cpu_s_of(Path(f"/proc/{pid}/stat").read_text(), _TICKS_PER_S)


def cpu_s_of(stat: str, ticks_per_s: int) -> float:
    """The same from the text of `/proc/PID/stat`. The second field is a name that may hold spaces and brackets."""
    fields = stat.rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / ticks_per_s


def memory_bytes(pid: int) -> tuple[int, int]:
    """Resident memory: now, and at its highest."""
    return memory_bytes_of(Path(f"/proc/{pid}/status").read_text())


def memory_bytes_of(status: str) -> tuple[int, int]:
    fields = dict(line.split(":", 1) for line in status.splitlines())
    now, highest = (int(fields[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
    return now, highest


@dataclass(frozen=True, slots=True)
class Costs:
    """CPU seconds by name of the process."""

    of: Mapping[str, float]

    @classmethod
    def now(cls, pids: Mapping[str, int]) -> Costs:
        return cls(MappingProxyType({name: cpu_s(pid) for name, pid in pids.items()}))

    def since(self, before: Costs) -> Costs:
        return Costs({name: spent - before.of[name] for name, spent in self.of.items()})


@contextmanager
def standing_still(pids: Collection[int]) -> Iterator[None]:
    """These processes stand still meanwhile."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
