"""What a command that takes long shows while it runs: a line that moves on a terminal, else a line every few seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from fanfold.core.clock import Clock

_LINE_EVERY_S = 5.0

T = TypeVar("T")


class Counts(Protocol):
    """The counts of a run so far."""

    def describe(self) -> str: ...


C = TypeVar("C", bound=Counts)


def showing(
    console: Console, clock: Clock, counts: C
) -> AbstractContextManager[Callable[[C], None]]:
    """A function to call with the counts, as often as one likes."""
    return _showing(console, clock, counts, SpinnerColumn(), how_far=lambda _: {})


class Done(Counts, Protocol):
    """Counts of which one says how far the run has come; `total` is None while the end is not known."""

    total: int | None

    @property
    def done(self) -> int: ...


D = TypeVar("D", bound=Done)


def showing_bar(
    console: Console, clock: Clock, counts: D
) -> AbstractContextManager[Callable[[D], None]]:
    """As `showing`, with a bar."""
    return _showing(
        console,
        clock,
        counts,
        BarColumn(),
        MofNCompleteColumn(),
        how_far=lambda now: {"completed": now.done, "total": now.total},
    )


@contextmanager
def _showing(
    console: Console,
    clock: Clock,
    counts: C,
    *columns: ProgressColumn,
    how_far: Callable[[C], Mapping[str, Any]],
) -> Iterator[Callable[[C], None]]:
    if not console.is_terminal:
        yield lines(console, clock, lambda now: now.describe())
        return
    texts = (TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, *texts, console=console, transient=True) as progress:
        task = progress.add_task(counts.describe(), total=how_far(counts).get("total"))
        yield lambda now: progress.update(task, description=now.describe(), **how_far(now))


def lines(console: Console, clock: Clock, describe: Callable[[T], str]) -> Callable[[T], None]:
    """Prints a description of the counts that it is called with, at most every few seconds; the first one after the same time."""
    next_at_s = clock.monotonic_s() + _LINE_EVERY_S

    def show(now: T) -> None:
        nonlocal next_at_s
        if clock.monotonic_s() >= next_at_s:
            next_at_s = clock.monotonic_s() + _LINE_EVERY_S
            console.print(describe(now), soft_wrap=True, markup=False)

    return show
