"""`fanfold status`, as a person and as a program reads it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table

from fanfold.ops.probes import READY
from fanfold.ops.status import Lag, ProcessStatus, Status, Work

_MOST_FANOUTS = 10


def as_json(status: Status) -> dict[str, Any]:
    """The whole status, with what a program would otherwise compute."""
    document = asdict(status)
    for described, process in zip(document["processes"], status.processes, strict=True):
        described["healthy"] = process.healthy
    if status.work is not None:
        document["work"]["lag"] = status.work.lag
    return {"healthy": status.healthy, **document}


def print_status(status: Status, console: Console) -> None:
    """Print it; the last line is the verdict. Of a system that is down there is nothing else to say."""
    if not status.up:
        console.print("Fanfold is not up: `make up` starts it.")
        return
    if status.processes:
        console.print(_processes(status.processes), "")
    if status.work is not None:
        console.print(_work(status.work), "")
    else:
        console.print(f"What waits is not known. {status.work_unknown}\n", markup=False)
    console.print("[green]healthy[/green]" if status.healthy else "[red]not healthy[/red]")


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _processes(processes: Sequence[ProcessStatus]) -> Table:
    table = _table("process", "state", "health", "pid", "up for", "log")
    for each in processes:
        table.add_row(
            each.name,
            each.state.lower(),
            each.readiness if each.readiness == READY else f"[red]{each.readiness}[/red]",
            str(each.pid or ""),
            "" if each.uptime_s is None else str(timedelta(seconds=each.uptime_s)),
            _from_here(each.log),
        )
    return table


def _work(work: Work) -> RenderableType:
    table = _table("topic", "lag", "partitions", "behind: partition:records")
    for topic, lags in _by_topic(work.lags).items():
        behind = [f"{lag.partition}:{lag.records}" for lag in lags if lag.records]
        table.add_row(
            topic, str(sum(lag.records for lag in lags)), str(len(lags)), " ".join(behind) or "none"
        )
    return Group(table, "", *_lines(work))


def _lines(work: Work) -> Iterator[str]:
    yield f"posts not planned yet   {work.posts_unplanned}"
    yield f"fan-outs in progress    {len(work.fanouts)}{'' if work.all_fanouts else ' or more'}"
    for each in work.fanouts[:_MOST_FANOUTS]:
        yield f"  {each.post_id} by {each.author_id}: {each.slices_left} slices left"
    yield f"dead letters            {work.dead_letters}"


def _by_topic(lags: Sequence[Lag]) -> dict[str, list[Lag]]:
    topics: dict[str, list[Lag]] = defaultdict(list)
    for lag in lags:
        topics[lag.topic].append(lag)
    return topics


def _from_here(path: str) -> str:
    here, at = Path.cwd(), Path(path)
    return str(at.relative_to(here)) if at.is_relative_to(here) else path
