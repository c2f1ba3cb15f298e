"""`fanfold status`: shows what waits for the workers, as the log knows it."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import typer
from rich.console import Console, Group, RenderableType
from rich.table import Table

from console_service.work import Status, Work, read_status
from fanfold.core.errors import FanfoldError, Fault
from fanfold.core.exit_codes import ExitCode
from fanfold.core.lag import PartitionLag
from fanfold.core.settings import Settings
from fanfold.ops.copies import Copies, read_copies
from fanfold.ops.installation import environment, local_settings
from fanfold.ops.options import DEFAULT_DATA, AsJson, Data, console, print_json
from fanfold.ops.running import Url, ask, default_url

_MOST_FANOUTS = 10


class Seen(NamedTuple):
    """What a log knows, which log it is, and which copies are missing; `copies` is None where there is only one of everything."""

    log: str
    status: Status
    copies: Copies | None = None

    @property
    def healthy(self) -> bool:
        return self.status.healthy and (self.copies is None or self.copies.whole)


def status(data: Data = DEFAULT_DATA, url: Url = None, as_json: AsJson = False) -> None:
    """Show the lag by topic and partition, the fan-outs in progress, and the number of dead letters.

    Where Kafka and Cassandra keep several copies, also the brokers and nodes that are down, and the partitions that lack a copy.

    Of the process at --url; without one, of the system that `make up` started in --data, else of the Kafka that the environment
    names, else of the `make run` on this machine. `make status` also shows the processes of `make up`. Exits with 1 when
    none of them answers, or when something lacks a copy.
    """
    raise typer.Exit(show_status(data, url=url, as_json=as_json))


def show_status(data: Path, *, url: str | None = None, as_json: bool) -> ExitCode:
    """Print what the log knows. Raises `Fault` if the description of a system in `data` can't be read, or if `url` refuses."""
    # The report says what does not answer; the drivers would log it as well.
    logging.disable()
    seen = _at(url) if url else _found(data)
    if as_json:
        document = {"healthy": seen.healthy, "log": seen.log, **seen.status.as_json()}
        if seen.copies is not None:
            document["copies"] = seen.copies.as_json()
        print_json(document, indent=2)
    else:
        console.print(f"This is what {seen.log} knows.", markup=False, soft_wrap=True)
        print_status(seen.status, Console(highlight=False), copies=seen.copies)
        if seen.status.work is None and url is None:
            console.print(
                "A `make run` at another port: fanfold status --url http://127.0.0.1:PORT"
            )
    return ExitCode.DONE if seen.healthy else ExitCode.FAILED


def _found(data: Path) -> Seen:
    """The Kafka of `make up` in that directory or of the environment; where neither is named or answers, `make run`."""
    settings, local = environment(), local_settings(data)
    named = "kafka_bootstrap" in settings.model_fields_set
    running = None if named or local else _running(default_url(settings))
    if running is not None:
        return running
    seen = asyncio.run(_seen(local or settings))
    # The system of `make up` may be down, and `make run` run in its place.
    if seen.status.healthy or named or not local:
        return seen
    return _running(default_url(settings)) or seen


async def _seen(settings: Settings) -> Seen:
    from fanfold.adapters.kafka.log_view import KafkaLogView

    view = KafkaLogView(settings)
    status, copies = await asyncio.gather(read_status(view), read_copies(settings))
    return Seen(view.name, status, copies)


def _running(url: str) -> Seen | None:
    """What a healthy process at that address knows, if there is one."""
    try:
        seen = _at(url)
    except FanfoldError:
        return None
    return seen if seen.status.healthy else None


def _at(url: str) -> Seen:
    """What the process at that address knows. Raises like `ask`."""
    document = ask(url, "/ops/work")
    try:
        return Seen(f"{document['log']} at {url}", Status.from_json(document))
    except (KeyError, TypeError, ValueError) as error:
        raise Fault(f"{url} answers as no version of Fanfold that this one knows") from error


def print_status(status: Status, console: Console, *, copies: Copies | None = None) -> None:
    """Print what waits, and which copies are missing; the last line is the verdict."""
    print_work(status, console)
    print_copies(copies, console)
    print_verdict(console, healthy=status.healthy and (copies is None or copies.whole))


def print_copies(copies: Copies | None, console: Console) -> None:
    """Print which are missing, and an empty line; nothing where there is only one of everything."""
    if copies is not None:
        for line in (*copies.lines(), ""):
            console.print(line, markup=False, soft_wrap=True)


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
