"""What commands that walk over all users have in common: their exit statuses, and what they show meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from fanfold.core.clock import Clock
from fanfold.core.errors import Unavailable

DONE, TRY_AGAIN, INTERRUPTED = 0, 75, 130
"""Exit statuses, those of `fanfold graph import`."""

_LINE_EVERY_S = 5.0


class Walked(Protocol):
    """What a walk has come to."""

    def describe(self) -> str: ...


W = TypeVar("W", bound=Walked)


def attempt(walk: Coroutine[Any, Any, None]) -> tuple[int, str | None]:
    """Run a walk. Its exit status, and why it ended before its end, if it did."""
    try:
        asyncio.run(walk)
    except KeyboardInterrupt:
        return INTERRUPTED, "interrupted"
    except Unavailable as error:
        return TRY_AGAIN, str(error)
    return DONE, None


@contextmanager
def showing(console: Console, clock: Clock, begun: W) -> Iterator[Callable[[W], None]]:
    """What to call with how far it has come: a line that moves on a terminal, elsewhere one every few seconds."""
    if not console.is_terminal:
        yield _lines(console, clock)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(begun.describe(), total=None)
        yield lambda walked: progress.update(task, description=walked.describe())


def _lines(console: Console, clock: Clock) -> Callable[[Walked], None]:
    next_at_s = clock.monotonic_s() + _LINE_EVERY_S

    def show(walked: Walked) -> None:
        nonlocal next_at_s
        if clock.monotonic_s() >= next_at_s:
            next_at_s = clock.monotonic_s() + _LINE_EVERY_S
            console.print(walked.describe(), soft_wrap=True)

    return show
