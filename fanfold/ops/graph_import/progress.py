"""What an import shows while it runs: a bar on a terminal, else a line every few seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)

from fanfold.core.clock import Clock
from fanfold.ops.graph_import.importer import Moment
from fanfold.ops.progress import lines


@contextmanager
def showing(
    console: Console, clock: Clock, *, total_bytes: int
) -> Iterator[Callable[[Moment], None]]:
    """A function to call with the current moment, as often as one likes."""
    if not console.is_terminal:
        yield lines(console, clock, lambda moment: _with_percent(moment, total_bytes))
        return
    with Progress(
        SpinnerColumn(),
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.description}", markup=False),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    ) as bar:
        task = bar.add_task("", total=total_bytes)
        yield lambda moment: bar.update(
            task, completed=moment.read_bytes, description=_describe(moment)
        )


def _with_percent(moment: Moment, total_bytes: int) -> str:
    return f"{100 * moment.read_bytes // max(1, total_bytes)} %, {_describe(moment)}"


def _describe(moment: Moment) -> str:
    counts = moment.counts
    parts = [f"{counts.appended:,} follows", f"{counts.rejected:,} rejected"]
    if moment.lag:
        parts.append(f"worker {moment.lag:,} events behind")
    if moment.waiting:
        parts.append(f"waiting for {moment.waiting}")
    return ", ".join(parts)
