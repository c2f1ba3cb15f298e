"""`fanfold events snapshot`: its options, and the log that it reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from fanfold.core.clock import SystemClock
from fanfold.ops.installation import embedded_log, settings_of, why_cut_short
from fanfold.ops.options import DEFAULT_DATA, AsJson, DataOfEither, complain, console, print_json
from fanfold.ops.progress import showing_bar
from fanfold.ops.run import run
from fanfold.ops.snapshot.make import Counts, Made, Spans, make_snapshot


def snapshot(
    into: Annotated[
        Path, typer.Option(help="The directory of the snapshot; it goes on from the one there.")
    ],
    as_json: AsJson = False,
    data: DataOfEither = DEFAULT_DATA,
) -> None:
    """Keep the public topics in files, without the records that later ones have overtaken: a new view starts from them.

    Reads the snapshot in the directory and the log since; changes nothing else, and joins no group. An interrupted run leaves the earlier
    snapshot as it was. Reads the log of `make run DATA=` in `--data`, or else the Kafka that the other commands use. Exits with 75 when
    Kafka stayed away.
    """
    clock = SystemClock()
    made: Made | None = None

    async def work() -> None:
        nonlocal made
        with (
            opened_spans(data) as log,
            showing_bar(console, clock, Counts()) as show,
        ):
            made = await make_snapshot(log, into, clock=clock, show=show)

    ended = run(work())
    if made is None:
        complain(f"{why_cut_short(ended, data)}; the snapshot before is as it was")
        raise typer.Exit(ended.status)
    counts = made.counts
    if as_json:
        print_json(
            {
                "read": counts.done,
                "kept": counts.kept,
                "left_out": counts.left_out,
                "head": made.head.model_dump(mode="json"),
            }
        )
    console.print(f"{counts.done:,} records of the log read, {counts.kept:,} lines in {into}")
    if counts.left_out:
        console.print(f"{counts.left_out:,} records are no public event, and are left out")


@contextmanager
def opened_spans(data: Path) -> Iterator[Spans]:
    """The log of `make run DATA=` in that directory, or else the Kafka that the other commands use."""
    if (embedded := embedded_log(data)) is not None:
        from fanfold.adapters.sqlite.file_view import opened_view

        with opened_view(embedded) as view:
            yield view
        return
    from fanfold.adapters.kafka.log_view import KafkaLogView

    yield KafkaLogView(settings_of(data))
