"""Time that other processes don't lengthen: tests run on every core at once, and wall-clock time is theirs too."""

from __future__ import annotations

import time

from fanfold.http.cpu_share import waited_for_a_core_s


def own_s() -> float:
    """A clock that stands still while this thread is ready to run and waits for a core.

    It goes on while the thread runs, and while it waits for a timer or an answer. Where the kernel doesn't count the waits
    (only Linux does), it is the wall clock.
    """
    return time.monotonic() - waited_for_a_core_s()
