"""`fanfold`: the operator's command line. It sits on top of everything and nothing imports it."""

from __future__ import annotations

import asyncio
import json
import logging
import runpy
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fanfold.core.errors import FanfoldError
from fanfold.core.settings import Settings
from fanfold.ops.commands import activity, dead_letters, modes, settings_of

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Fanfold, a social feed backend."
)
schema = typer.Typer(no_args_is_help=True, help="The tables in Cassandra and the events' schemas.")
topics = typer.Typer(no_args_is_help=True, help="The topics in Kafka.")
graph = typer.Typer(no_args_is_help=True, help="Who follows whom.")
app.add_typer(schema, name="schema")
app.add_typer(topics, name="topics")
app.add_typer(graph, name="graph")
app.add_typer(modes, name="modes")
app.add_typer(activity, name="activity")
app.add_typer(dead_letters, name="dead-letters")
console = Console(stderr=True, highlight=False)


class Service(StrEnum):
    POST = "post"
    GRAPH = "graph"
    FANOUT = "fanout"
    FEED = "feed"


@app.command()
def serve(service: Annotated[Service, typer.Argument(help="Which one.")]) -> None:
    """Run one service on Kafka and Cassandra until SIGTERM: the same as `python -m post_service`."""
    runpy.run_module(f"{service}_service", run_name="__main__")


@app.command()
def dev(
    port: Annotated[int, typer.Option(help="Port of the whole API.")] = 8080,
    data: Annotated[
        Path | None,
        typer.Option(help="Keep the log in this directory; by default it is temporary."),
    ] = None,
    demo: Annotated[bool, typer.Option(help="Load the demo on an empty log.")] = True,
) -> None:
    """Run every service in one process on the embedded adapters: no Kafka, no Cassandra, no Docker."""
    from all_in_one.__main__ import run

    run(port=port, data=data, with_demo=demo)


@app.command()
def status(
    data: Annotated[
        Path, typer.Option(help="The directory of the system that `make up` started.")
    ] = Path(".fanfold"),
    as_json: Annotated[bool, typer.Option("--json", help="For a program to read.")] = False,
) -> None:
    """Show the health of each process, what the workers have before them, and where the logs are.

    Without a system in that directory: only what Kafka knows. Exit status 1 if something is not healthy.
    """
    from fanfold.ops import status_report
    from fanfold.ops.status import read_status
    from fanfold.ops.system import read_system

    # What does not answer is in the report; the drivers would say it again, and louder.
    logging.disable()
    system = read_system(data)
    settings = Settings(**system.settings) if system else Settings()
    if system is None:
        console.print(
            f"No system in {data}: this is what Kafka at {settings.kafka_bootstrap} knows."
        )
    found = asyncio.run(read_status(settings, system))
    if as_json:
        typer.echo(json.dumps(status_report.as_json(found), indent=2))
    else:
        status_report.print_status(found, Console(highlight=False))
    if not found.healthy:
        raise typer.Exit(1)


@schema.command()
def migrate() -> None:
    """Create the keyspace and apply the migrations it lacks. Safe to repeat."""
    from fanfold.adapters.cassandra.migrate import migrate as apply

    for line in asyncio.run(apply(Settings())):
        console.print(line)


@schema.command("grant")
def grant_(
    read: Annotated[
        list[str] | None, typer.Option(help="A role that may read the tables; repeatable.")
    ] = None,
    write: Annotated[
        list[str] | None,
        typer.Option(
            help="A role that may write them too, or role:table for one table; repeatable."
        ),
    ] = None,
) -> None:
    """Let roles of Cassandra use the tables. Safe to repeat; takes nothing away."""
    from fanfold.adapters.cassandra.grants import grant

    for line in asyncio.run(grant(Settings(), read=read or [], write=write or [])):
        console.print(line)


@schema.command()
def export(directory: Path = Path("schemas/events")) -> None:
    """Write the JSON Schema of every event."""
    from fanfold.ops.event_schemas import export as write

    for path in write(directory):
        console.print(f"wrote {path}")


@topics.command()
def apply() -> None:
    """Create the topics that are missing. Safe to repeat; refuses to change a partition count."""
    from fanfold.adapters.cassandra.migrate import record_partitions
    from fanfold.adapters.kafka.admin import apply_topics, partition_counts

    async def applied() -> list[str]:
        settings = Settings()
        lines = await apply_topics(settings)
        await record_partitions(settings, await partition_counts(settings))
        return lines

    for line in asyncio.run(applied()):
        console.print(line)


@topics.command()
def replay(
    since: Annotated[
        str | None, typer.Option(help="From what was appended then on, as 2026-11-21T03:10:00Z.")
    ] = None,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="From the first event on: into an empty keyspace.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say how many records that is.")
    ] = False,
) -> None:
    """Have the workers handle the public topics again, from an earlier place. Stop all workers first, and start them after it.

    What the tables hold already it does not change; what they lack comes back. Safe to repeat. Exits with 1 while a worker
    is in the group.
    """
    from fanfold.adapters.kafka.rewind import rewind

    moved = asyncio.run(
        rewind(Settings(), since_ms=_replayed_since(since, from_start), dry_run=dry_run)
    )
    for each in moved:
        console.print(f"{each.topic}/{each.partition} from {each.before:,} to {each.after:,}")
    records = sum(each.records for each in moved)
    console.print(f"{records:,} records {'would be' if dry_run else 'are'} handled again")


def _replayed_since(since: str | None, from_start: bool) -> int | None:
    if (since is not None) == from_start:
        raise typer.BadParameter("give one of --since and --from-start")
    if since is None:
        return None
    try:
        at = datetime.fromisoformat(since)
    except ValueError as error:
        raise typer.BadParameter(f"{since} is no time as 2026-11-21T03:10:00Z") from error
    if at.tzinfo is None:
        raise typer.BadParameter(f"{since} says no zone: add Z for UTC")
    return int(at.timestamp() * 1000)


@graph.command("import")
def import_(  # noqa: PLR0917 - typer calls it by name
    file: Annotated[Path, typer.Argument(help="follower,followee[,time] a line, plain or gzip.")],
    names: Annotated[
        Path | None, typer.Option(help="user_id,display_name a line, for those it registers.")
    ] = None,
    register: Annotated[
        bool, typer.Option(help="Register users who are not, by their id or their name.")
    ] = True,
    max_lag: Annotated[
        float,
        typer.Option(min=0.1, help="Seconds that a live follow may wait behind imported ones."),
    ] = 1.0,
    rate: Annotated[float | None, typer.Option(min=1, help="Most events a second.")] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Where to keep how far it has come; FILE.checkpoint.")
    ] = None,
    rejected: Annotated[
        Path | None, typer.Option(help="Where to keep rejected lines; FILE.rejected.")
    ] = None,
    start_over: Annotated[
        bool, typer.Option("--start-over", help="Forget the checkpoint and begin anew.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read and check the lines, append nothing.")
    ] = False,
    data: Annotated[
        Path, typer.Option(help="The directory of the system that `make up` started.")
    ] = Path(".fanfold"),
    as_json: Annotated[bool, typer.Option("--json", help="The summary as JSON on stdout.")] = False,
) -> None:
    """Bring a follower graph in. Ctrl-C or a crash loses nothing: the same command goes on.

    Into the Kafka that the environment names, else the system in that directory, else the default addresses.
    Exits with 0 when all lines are in, 3 when some were rejected, 75 when an engine stayed away, 130 on Ctrl-C.
    """
    from fanfold.ops.graph_import.command import Request, import_graph

    settings = settings_of(data)
    request = Request(
        path=file,
        names=names,
        checkpoint=checkpoint,
        rejected=rejected,
        rate=rate,
        max_lag_s=max_lag,
        register=register,
        start_over=start_over,
        dry_run=dry_run,
        as_json=as_json,
    )
    raise typer.Exit(import_graph(settings, request, console=console))


def main() -> None:
    """Run the command; an expected failure is one line that says what to do, and exit status 1."""
    try:
        app()
    except FanfoldError as error:
        console.print(f"[red]fanfold:[/red] {error}")
        raise SystemExit(1) from error
