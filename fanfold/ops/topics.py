"""`fanfold topics`: create Kafka's topics, and let the workers handle the public ones again."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated

import typer

from fanfold.ops.installation import environment
from fanfold.ops.options import console

app = typer.Typer(no_args_is_help=True, help="The topics in Kafka.")


@app.command()
def apply() -> None:
    """Create the missing topics. Safe to repeat; refuses to change a partition count."""
    from fanfold.adapters.cassandra.migrate import record_partitions
    from fanfold.adapters.kafka.admin import apply_topics, partition_counts

    async def applied() -> list[str]:
        settings = environment()
        lines = await apply_topics(settings)
        await record_partitions(settings, await partition_counts(settings))
        return lines

    for line in asyncio.run(applied()):
        console.print(line)


@app.command()
def replay(
    since: Annotated[
        str | None,
        typer.Option(help="Replay what was appended since this time, as 2026-11-21T03:10:00Z."),
    ] = None,
    from_start: Annotated[
        bool,
        typer.Option("--from-start", help="Replay everything, as into an empty keyspace."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count the records; move nothing.")
    ] = False,
) -> None:
    """Let the workers handle the projected topics again, from an earlier offset. Stop all workers first; start them after it.

    A replay restores missing rows and leaves the others as they are. Safe to repeat. Exits with 1 while a worker is in the
    group.
    """
    from fanfold.adapters.kafka.rewind import rewind

    since_ms = _since_ms(since, from_start=from_start)
    moved = asyncio.run(rewind(environment(), since_ms=since_ms, dry_run=dry_run))
    for rewound in moved:
        console.print(
            f"{rewound.topic}/{rewound.partition} from {rewound.before:,} to {rewound.after:,}"
        )
    if from_start and any(rewound.after for rewound in moved):
        console.print(
            "The log no longer has its first records: before the workers start, restore a backup of the tables that is younger than"
            " what the log has lost.",
            soft_wrap=True,
        )
    records = sum(rewound.records for rewound in moved)
    console.print(f"{records:,} records {'would be' if dry_run else 'are'} handled again")


def _since_ms(since: str | None, *, from_start: bool) -> int | None:
    """Milliseconds since the epoch; None for everything. Raises `BadParameter`."""
    if (since is not None) == from_start:
        raise typer.BadParameter("give either --since or --from-start")
    if since is None:
        return None
    try:
        time = datetime.fromisoformat(since)
    except ValueError as error:
        raise typer.BadParameter(f"{since} is not a time like 2026-11-21T03:10:00Z") from error
    if time.tzinfo is None:
        raise typer.BadParameter(f"{since} has no time zone: add Z for UTC")
    return int(time.timestamp() * 1000)
