"""Time that other processes don't lengthen: tests run on every core at once, so wall-clock time includes the time of others."""

from __future__ import annotations

import time

from fanfold.http.cpu_share import Cores, waited_for_a_core_s


def own_s() -> float:
    """A clock that stands still while this thread is ready to run and waits for a core, and while the host of a virtual machine runs another one.

    It goes on while the thread runs, and while it waits for a timer or an answer. Time that was taken from any core is left out, because nothing
    counts which process lost it: so bound a time from above with it, and from below with `time.monotonic`. Where the kernel
    doesn't count the waits (only Linux does), it is the wall clock.
    """
    return time.monotonic() - waited_for_a_core_s() - Cores.read().stolen_s
