"""`fanfold replay --into KEYSPACE` and `fanfold compare KEYSPACE KEYSPACE`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from fanfold.core.clock import Clock, SystemClock, rfc3339
from fanfold.core.exit_codes import ExitCode
from fanfold.core.settings import Settings
from fanfold.ops.installation import settings_of
from fanfold.ops.options import DEFAULT_DATA, AsJson, Data, complain, console, print_json
from fanfold.ops.progress import showing, showing_bar
from fanfold.ops.replay.replay import Replay, Replayed, Unlogged
from fanfold.ops.run import run

SOURCE = "fanfold/replay"


def replay(
    into: Annotated[str, typer.Option(help="The keyspace to build; it is created.")],
    workers: Annotated[
        int, typer.Option(min=1, help="How many partitions are handled at a time.")
    ] = 4,
    unlogged: Annotated[
        bool, typer.Option(help="Only copy what the log does not hold, once more.")
    ] = False,
    as_json: AsJson = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Build the tables in another keyspace from the log, up to where the log ends now, while workers and APIs go on with theirs.

    Then it copies from the tables in use what the log does not hold: idempotency keys, revocations, when feeds were read last, and how far the sweep has come.
    It is in no group and appends nothing. Safe to repeat and to interrupt. Uses the Kafka that the environment names, else the system in --data.
    Exits with 0 when the keyspace is built, with 1 if it is the one in use or Cassandra stayed away for FANFOLD_RETRY_BUDGET_S, and with 75 when Kafka stayed away.
    """
    settings, clock = settings_of(data), SystemClock()
    replayed, copied = Replayed(), Unlogged()
    if into == settings.cassandra_keyspace:
        complain(f"{into} is in use: name another keyspace")
        raise typer.Exit(ExitCode.FAILED)
    started_ms, started_s = clock.now_ms(), clock.monotonic_s()

    async def build() -> None:
        if not unlogged:
            await _replay(settings, into, workers, replayed, clock)
        await _copy_unlogged(settings, into, copied, clock)

    ended = run(build())
    if as_json:
        print_json(
            {
                "keyspace": into,
                "records": replayed.records,
                "dead": replayed.dead,
                "unlogged": copied.rows,
                "since": rfc3339(started_ms),
                "finished": ended.finished,
                "seconds": round(clock.monotonic_s() - started_s, 3),
            }
        )
    elif ended.finished:
        done = copied.describe()
        if not unlogged:
            done = f"{replayed.describe()}, and {done}. Records appended since {rfc3339(started_ms)} are missing."
        console.print(f"{into}: {done}", soft_wrap=True, markup=False)
    if ended.cut_short:
        complain(f"{ended.cut_short}; the same command starts over")
    raise typer.Exit(ended.status)


async def _copy_unlogged(settings: Settings, into: str, copied: Unlogged, clock: Clock) -> None:
    from fanfold.adapters.cassandra.unlogged import copy_unlogged

    with showing(console, clock, copied) as show:

        def count(rows: int) -> None:
            copied.rows = rows
            show(copied)

        await copy_unlogged(settings, into, count)


async def _replay(
    settings: Settings, into: str, workers: int, replayed: Replayed, clock: Clock
) -> None:
    from fanfold.adapters.cassandra.migrate import migrate, record_partitions
    from fanfold.adapters.cassandra.stores import cassandra_stores
    from fanfold.adapters.kafka.admin import partition_counts
    from fanfold.adapters.kafka.history import KafkaHistory

    built = settings.model_copy(update={"cassandra_keyspace": into})
    for line in await migrate(built):
        console.print(line, markup=False)
    await record_partitions(built, await partition_counts(settings))
    async with cassandra_stores(built, clock=clock) as stores:
        with showing_bar(console, clock, replayed) as show:
            await Replay(
                history=KafkaHistory(settings),
                stores=stores,
                settings=settings,
                clock=clock,
                workers=workers,
                show=show,
            ).run(replayed)


def compare(
    one: Annotated[str, typer.Argument(help="A keyspace.")],
    other: Annotated[str, typer.Argument(help="Another one.")],
    as_json: AsJson = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Compare the tables of two keyspaces that were built by a replay: every cell, and its timestamp.

    Left out is what says when work was done. Tables in use differ from a replay's in the order of things: which posts were copied at a follow, say.
    Uses the Cassandra that the environment names, else the system in --data. Exits with 0 when they are the same, with 1 when they are not.
    """
    from fanfold.adapters.cassandra.compare import Compared
    from fanfold.adapters.cassandra.compare import compare as compared_by

    compared, clock = Compared(), SystemClock()
    with showing(console, clock, compared) as show:
        ended = run(compared_by(settings_of(data), one, other, compared, show))
    if as_json:
        print_json(
            {
                "tables": compared.tables,
                "rows": compared.rows,
                "different": compared.different,
                "examples": [[table, *map(str, rest)] for table, *rest in compared.differences],
                "finished": ended.finished,
            },
            indent=2,
        )
    else:
        console.print(compared.describe())
        for table, key, here, there in compared.differences:
            console.print(escape(f"  {table} {key}: {here} and {there}"), soft_wrap=True)
    if ended.cut_short:
        complain(ended.cut_short)
    status = ended.status
    if ended.finished and compared.different:
        status = ExitCode.FAILED
    raise typer.Exit(status)
