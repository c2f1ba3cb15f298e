"""How a command that takes long runs: the exit status that its end gets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from fanfold.core.errors import Unavailable
from fanfold.core.exit_codes import ExitCode


class Ended(NamedTuple):
    """How a command ended; `cut_short` says why it ended early, None if it did not."""

    status: ExitCode
    cut_short: str | None = None

    @property
    def finished(self) -> bool:
        return self.cut_short is None


def run(work: Coroutine[Any, Any, None]) -> Ended:
    """Run it in a new event loop. Raises `FanfoldError` for what the operator has to change."""
    return run_blocking(lambda: asyncio.run(work))


def run_blocking(work: Callable[[], None]) -> Ended:
    """Run it in this thread. Raises like `run`."""
    try:
        work()
    except KeyboardInterrupt:
        return Ended(ExitCode.INTERRUPTED, "interrupted")
    except Unavailable as error:
        return Ended(ExitCode.TRY_AGAIN, str(error))
    return Ended(ExitCode.DONE)
