"""`fanfold topics`: create Kafka's topics, copy them into others with more partitions, and let the workers handle them again."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated

import typer

from fanfold.core.clock import SystemClock, rfc3339
from fanfold.core.errors import Fault
from fanfold.core.topics import PartitionCount
from fanfold.ops.installation import environment, settings_of
from fanfold.ops.options import DEFAULT_DATA, AsJson, Data, complain, console, print_json
from fanfold.ops.progress import showing_bar
from fanfold.ops.run import run

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


@app.command()
def grow(
    into: Annotated[str, typer.Option(help="The prefix of the new topics.")],
    partitions: Annotated[
        PartitionCount, typer.Option(help="Which partition counts of schemas/topics.yaml they get.")
    ] = "many",
    as_json: AsJson = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Copy the projected topics into new ones with other partitions, up to where they end now, while everything runs.

    The same command later copies what was appended meanwhile; the last time after everything that appends has stopped. A copy that was cut off
    can't be continued. Uses the Kafka that the environment names, else the system in --data. Exits with 0 when everything is copied, with 1 when
    the new topics can't be used, and with 75 when Kafka stayed away.
    """
    from fanfold.adapters.kafka.copy import Copied, copy_topics

    settings, clock, copied = settings_of(data), SystemClock(), Copied()
    if into == settings.topic_prefix:
        raise Fault(f"{into} is in use: name another prefix")
    new = settings.model_copy(update={"topic_prefix": into, "partitions": partitions})
    topics: dict[str, int] = {}
    since = rfc3339(clock.now_ms())

    async def copied_all() -> None:
        with showing_bar(console, clock, copied) as show:
            topics.update(await copy_topics(settings, new, copied, show))

    ended = run(copied_all())
    if as_json:
        counts = {f"{into}.{topic}": count for topic, count in topics.items()}
        result = {"records": copied.records, "since": since, "finished": ended.finished}
        print_json({"topics": counts, **result})
    elif ended.finished:
        for topic, count in topics.items():
            console.print(f"{into}.{topic} has {count} partitions", markup=False)
        rest = f"What was appended since {since} is missing."
        console.print(f"{copied.describe()}. {rest}", soft_wrap=True, markup=False)
    if ended.cut_short:
        complain(f"{ended.cut_short}; a copy that was cut off can't be continued")
    raise typer.Exit(ended.status)


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
