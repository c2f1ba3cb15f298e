"""Time that other processes don't lengthen: tests run on every core at once, and wall-clock time is theirs too."""

from __future__ import annotations

import time
from pathlib import Path

_SCHEDULED = Path("/proc/thread-self/schedstat")


def own_s() -> float:
    """A clock that stands still while this thread is ready to run and waits for a core.

    It goes on while the thread runs, and while it waits for a timer or an answer. Where the kernel doesn't count the waits
    (only Linux does), it is the wall clock.
    """
    return time.monotonic() - _waited_for_a_core_s()


def _waited_for_a_core_s() -> float:
    try:
        _ran, waited_ns, _times = _SCHEDULED.read_text().split()
    except FileNotFoundError:
        return 0.0
    return int(waited_ns) / 1e9
