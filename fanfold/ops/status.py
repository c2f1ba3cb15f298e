"""`fanfold status`: shows what waits for the workers, as Kafka knows it."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import typer
from rich.console import Console, Group, RenderableType
from rich.table import Table

from fanfold.core.exit_codes import ExitCode
from fanfold.core.lag import PartitionLag
from fanfold.ops.installation import environment, local_settings
from fanfold.ops.options import DEFAULT_DATA, AsJson, Data, console, print_json
from fanfold.ops.work import Status, Work, read_status

_MOST_FANOUTS = 10


def status(data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Show the lag by topic and partition, the fan-outs in progress, and the number of dead letters.

    Of the system that `make up` started in --data, else of the Kafka that the environment names. `make status` also shows the
    processes of the former. Exits with 1 when Kafka does not answer.
    """
    raise typer.Exit(show_status(data, as_json=as_json))


def show_status(data: Path, *, as_json: bool) -> ExitCode:
    """Print what Kafka knows. Raises `Fault` if the description of a system in `data` can't be read."""
    # The report says what does not answer; the drivers would log it as well.
    logging.disable()
    local = local_settings(data)
    settings = local or environment()
    if local is None:
        console.print(
            f"No system in {data}: this is what Kafka at {settings.kafka_bootstrap} knows."
        )
    found = asyncio.run(read_status(settings))
    if as_json:
        print_json({"healthy": found.healthy, **found.as_json()}, indent=2)
    else:
        print_status(found, Console(highlight=False))
    return ExitCode.DONE if found.healthy else ExitCode.FAILED


def print_status(status: Status, console: Console) -> None:
    """Print what waits; the last line is the verdict."""
    print_work(status, console)
    print_verdict(console, healthy=status.healthy)


def print_work(status: Status, console: Console) -> None:
    """Print what waits, or why that is unknown, and an empty line."""
    if status.work is not None:
        console.print(_work(status.work), "")
    else:
        console.print(f"What waits is not known. {status.work_unknown}\n", markup=False)


def print_verdict(console: Console, *, healthy: bool) -> None:
    """Print one line."""
    console.print("[green]healthy[/green]" if healthy else "[red]not healthy[/red]")


def a_table(*headings: str) -> Table:
    """A table without lines whose long cells are folded."""
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _work(work: Work) -> RenderableType:
    table = a_table("topic", "lag", "partitions", "behind: partition:records")
    for topic, lags in _by_topic(work.lags).items():
        behind = [f"{lag.partition}:{lag.records}" for lag in lags if lag.records]
        table.add_row(
            topic, str(sum(lag.records for lag in lags)), str(len(lags)), " ".join(behind) or "none"
        )
    return Group(table, "", *_lines(work))


def _lines(work: Work) -> Iterator[str]:
    yield f"posts not planned yet   {work.posts_unplanned}"
    yield f"fan-outs in progress    {len(work.fanouts)}{'' if work.all_fanouts else ' or more'}"
    for fanout in work.fanouts[:_MOST_FANOUTS]:
        yield f"  {fanout.post_id} by {fanout.author_id}: {fanout.slices_left} slices left"
    yield f"dead letters            {work.dead_letters}"


def _by_topic(lags: Sequence[PartitionLag]) -> dict[str, list[PartitionLag]]:
    topics: dict[str, list[PartitionLag]] = defaultdict(list)
    for lag in lags:
        topics[lag.topic].append(lag)
    return topics
