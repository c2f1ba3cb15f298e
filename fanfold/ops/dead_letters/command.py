"""`fanfold dead-letters list` and `replay`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from fanfold.core.clock import Clock, SystemClock, rfc3339
from fanfold.core.errors import Fault
from fanfold.core.ports.log import EventLog, Position
from fanfold.core.settings import Settings
from fanfold.ops.dead_letters.replay import Replayed
from fanfold.ops.dead_letters.replay import replay as replay_letters
from fanfold.ops.dead_letters.states import Chosen, Judged, read_letters
from fanfold.ops.installation import settings_of
from fanfold.ops.options import DEFAULT_DATA, AsJson, Data, DryRun, complain, console, print_json
from fanfold.ops.progress import showing
from fanfold.ops.run import run

app = typer.Typer(no_args_is_help=True, help="Records that the workers could not handle.")

SOURCE = "fanfold/dead-letters"

Topic = Annotated[str | None, typer.Option(help="Only dead letters of this topic, as graph.v1.")]
Type = Annotated[
    str | None, typer.Option("--type", help="Only dead letters of this event, as UserFollowed.")
]
At = Annotated[
    list[str] | None,
    typer.Option(help="Only the dead letter of this position, topic/partition/offset; repeatable."),
]


@app.command("list")
def list_(
    topic: Topic = None,
    type_: Type = None,
    at: At = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Everything as JSON on stdout, with the values.")
    ] = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """List the dead letters: the records, why they failed, and their state now.

    `waiting` can be replayed; `unreadable` can't, by this version; `overtaken` means that the log holds a later event about
    the same thing. Exits with 0, or with 75 when an engine stayed away.
    """
    chosen = chosen_of(topic, type_, at or ())
    found: list[Judged] = []

    async def read() -> None:
        clock = SystemClock()
        async with _log(settings_of(data), clock) as log:
            found.extend(judged for judged in await read_letters(log, clock) if judged in chosen)

    ended = run(read())
    if ended.cut_short:
        complain(ended.cut_short)
    elif as_json:
        print_json([_described(judged) for judged in found], indent=2)
    else:
        _print(found, Console(highlight=False))
    raise typer.Exit(ended.status)


@app.command()
def replay(  # noqa: PLR0917 - typer calls it by name
    topic: Topic = None,
    type_: Type = None,
    at: At = None,
    again: Annotated[bool, typer.Option("--again", help="Also replays that failed again.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Append the waiting ones to the log again, as new records at its end; the workers handle them there.

    For when the cause is gone, for example after an upgrade. Safe to repeat: nothing is replayed twice, and no later event is
    undone. Exits with 0 when all that wait were appended, 75 when an engine stayed away.
    """
    chosen = chosen_of(topic, type_, at or ())
    replayed = Replayed()

    async def work() -> None:
        clock = SystemClock()
        async with _log(settings_of(data), clock) as log:
            with showing(console, clock, replayed) as show:
                await replay_letters(
                    log, clock, chosen, replayed, again=again, dry_run=dry_run, show=show
                )

    ended = run(work())
    if as_json:
        print_json(
            {
                "replayed": replayed.replayed,
                "left": dict(replayed.left),
                "dry_run": dry_run,
                "finished": ended.finished,
            }
        )
    else:
        console.print(f"{'Would be: ' if dry_run else ''}{replayed.describe()}", soft_wrap=True)
    if ended.cut_short:
        complain(f"{ended.cut_short}; the same command goes on")
    raise typer.Exit(ended.status)


def chosen_of(topic: str | None, type_: str | None, at: Sequence[str]) -> Chosen:
    """The dead letters that the options choose. Raises `Fault` for a malformed position."""
    try:
        return Chosen(topic, type_, frozenset(map(Position.parse, at)))
    except ValueError as error:
        raise Fault(f"{error}, as `fanfold dead-letters list` shows it") from error


@asynccontextmanager
async def _log(settings: Settings, clock: Clock) -> AsyncIterator[EventLog]:
    from fanfold.adapters.stacks import real

    async with real(settings, clock=clock, source=SOURCE) as engines:
        yield engines.log


def _described(judged: Judged) -> dict[str, Any]:
    letter = judged.letter
    value = letter.record.value
    return {
        "position": str(letter.record.position),
        "type": judged.type,
        "key": (letter.record.key or b"").decode(errors="replace"),
        "state": judged.state,
        "reason": letter.reason,
        "dead_lettered_at": rfc3339(letter.dead_lettered_at_ms),
        "replay_of": str(letter.replay_of) if letter.replay_of else None,
        "value": value.decode(errors="replace") if value is not None else None,
    }


def _print(found: Sequence[Judged], out: Console) -> None:
    if not found:
        out.print("no dead letters")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("position", "type", "state", "since", "reason"):
        table.add_column(heading, overflow="fold")
    for judged in found:
        letter = judged.letter
        table.add_row(
            str(letter.record.position),
            judged.type,
            judged.state,
            rfc3339(letter.dead_lettered_at_ms),
            # A validation error has several lines; --json shows all of them.
            letter.reason.split("\n", maxsplit=1)[0],
        )
    out.print(table, markup=False)
