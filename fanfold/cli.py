"""`fanfold`: the operator's command line. It sits on top of everything and nothing imports it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fanfold.errors import FanfoldError
from fanfold.settings import Settings

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Fanfold, a social feed backend."
)
schema = typer.Typer(no_args_is_help=True, help="The tables in Cassandra and the events' schemas.")
topics = typer.Typer(no_args_is_help=True, help="The topics in Kafka.")
app.add_typer(schema, name="schema")
app.add_typer(topics, name="topics")
console = Console(stderr=True, highlight=False)


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
    from fanfold.operations import status_report
    from fanfold.operations.status import read_status
    from fanfold.operations.system import read_system

    system = read_system(data)
    settings = Settings(**system.settings) if system else Settings()
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
    from fanfold.cassandra.migrate import migrate as apply

    for line in asyncio.run(apply(Settings())):
        console.print(line)


@schema.command()
def export(directory: Path = Path("schemas/events")) -> None:
    """Write the JSON Schema of every event."""
    from fanfold.event_schemas import export as write

    for path in write(directory):
        console.print(f"wrote {path}")


@topics.command()
def apply() -> None:
    """Create the topics that are missing. Safe to repeat; refuses to change a partition count."""
    from fanfold.cassandra.migrate import record_partitions
    from fanfold.kafka.admin import apply_topics, partition_counts

    async def applied() -> list[str]:
        settings = Settings()
        lines = await apply_topics(settings)
        await record_partitions(settings, await partition_counts(settings))
        return lines

    for line in asyncio.run(applied()):
        console.print(line)


def main() -> None:
    """Run the command; an expected failure is one line that says what to do, and exit status 1."""
    try:
        app()
    except FanfoldError as error:
        console.print(f"[red]fanfold:[/red] {error}")
        raise SystemExit(1) from error
