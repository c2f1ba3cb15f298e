"""An event loop whose time is the CPU that this process uses, plus the time that it would have slept.

So what runs on it takes as long as its own work, whatever else the machine does, and a sleep takes nothing. It is for code that does
no I/O and uses no threads.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Coroutine
from typing import Any


class _Selector(selectors.DefaultSelector):
    """Never waits: the time that it was asked to wait for is skipped."""

    skipped_s = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout:
            self.skipped_s += timeout
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module."""

    def __init__(self) -> None:
        self._skipping = _Selector()
        super().__init__(self._skipping)

    def time(self) -> float:
        return time.process_time() + self._skipping.skipped_s


def run_on_virtual_time(work: Coroutine[Any, Any, None]) -> None:
    """Run it to its end on such a loop: a call that hangs takes no time, and the waits of a busy machine do not count."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(work)
