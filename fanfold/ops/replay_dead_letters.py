"""`fanfold dead-letters list` and `replay`: what the workers could not handle, and handling it after all."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from fanfold.core.clock import Clock, SystemClock, rfc3339
from fanfold.core.errors import Fault
from fanfold.core.ports.log import EventLog, Position
from fanfold.core.settings import Settings
from fanfold.ops.dead_letters import Chosen, Judged, State, read_letters
from fanfold.ops.walk import attempt, showing

SOURCE = "fanfold/dead-letters"
BATCH = 100


@dataclass(slots=True)
class Replayed:
    """What a replay has come to. `left` counts those that were not replayed, by state."""

    replayed: int = 0
    left: Counter[State] = field(default_factory=Counter)

    def describe(self) -> str:
        left = "".join(f", {count:,} {state}" for state, count in sorted(self.left.items()))
        return f"{self.replayed:,} replayed{left}"


async def replay(
    log: EventLog,
    clock: Clock,
    chosen: Chosen,
    replayed: Replayed,
    *,
    again: bool,
    dry_run: bool,
    show: Callable[[Replayed], None] = lambda _: None,
) -> None:
    """Append those that wait once more, and count in `replayed`. Raises `Unavailable`: then some are appended.

    Safe to repeat, also after that: what was appended is known by its header. What happens to the same thing between
    the look at the log and the appending is overtaken by the replay.
    """
    states = {State.WAITING, State.BURIED_AGAIN} if again else {State.WAITING}
    due: list[Judged] = []
    for each in await read_letters(log, clock):
        if each in chosen:
            if each.state in states:
                due.append(each)
            else:
                replayed.left[each.state] += 1
    for first in range(0, len(due), BATCH):
        batch = due[first : first + BATCH]
        if not dry_run:
            await log.replay([each.letter.record for each in batch])
        replayed.replayed += len(batch)
        show(replayed)


def chosen_of(topic: str | None, type_: str | None, at: Sequence[str]) -> Chosen:
    """What the options of the command line mean. Raises `Fault` for a position that is none."""
    try:
        return Chosen(topic, type_, frozenset(map(Position.parse, at)))
    except ValueError as error:
        raise Fault(f"{error}, as `fanfold dead-letters list` shows it") from error


def list_dead_letters(
    settings: Settings, chosen: Chosen, *, as_json: bool, console: Console
) -> int:
    """Print them, in the order of their origin; returns the exit status."""
    found: list[Judged] = []

    async def look() -> None:
        clock = SystemClock()
        async with _log(settings, clock) as log:
            found.extend(each for each in await read_letters(log, clock) if each in chosen)

    status, why = attempt(look())
    if as_json and why is None:
        sys.stdout.write(json.dumps([_described(each) for each in found], indent=2) + "\n")
    elif why is None:
        _print(found, Console(highlight=False))
    else:
        console.print(f"[red]fanfold:[/red] {why}", soft_wrap=True)
    return status


def replay_dead_letters(
    settings: Settings,
    chosen: Chosen,
    *,
    again: bool,
    dry_run: bool,
    as_json: bool,
    console: Console,
) -> int:
    """Run it on the real log; returns the exit status."""
    replayed = Replayed()

    async def run() -> None:
        clock = SystemClock()
        async with _log(settings, clock) as log:
            with showing(console, clock, replayed) as show:
                await replay(log, clock, chosen, replayed, again=again, dry_run=dry_run, show=show)

    status, why = attempt(run())
    if as_json:
        summary = {
            "replayed": replayed.replayed,
            "left": dict(replayed.left),
            "dry_run": dry_run,
            "finished": why is None,
        }
        sys.stdout.write(json.dumps(summary) + "\n")
    else:
        told = "Would be: " if dry_run else ""
        console.print(f"{told}{replayed.describe()}", soft_wrap=True)
    if why is not None:
        console.print(f"[red]fanfold:[/red] {why}; the same command goes on", soft_wrap=True)
    return status


@asynccontextmanager
async def _log(settings: Settings, clock: Clock) -> AsyncIterator[EventLog]:
    from fanfold.adapters.stacks import real

    async with real(settings, clock=clock, source=SOURCE) as engines:
        yield engines.log


def _described(each: Judged) -> dict[str, Any]:
    letter = each.letter
    value = letter.record.value
    return {
        "position": str(letter.record.position),
        "type": each.type,
        "key": (letter.record.key or b"").decode(errors="replace"),
        "state": each.state,
        "reason": letter.reason,
        "buried_at": rfc3339(letter.buried_at_ms),
        "replay_of": str(letter.replay_of) if letter.replay_of else None,
        "value": value.decode(errors="replace") if value is not None else None,
    }


def _print(found: Sequence[Judged], console: Console) -> None:
    if not found:
        console.print("no dead letters")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("position", "type", "state", "since", "reason"):
        table.add_column(heading, overflow="fold")
    for each in found:
        letter = each.letter
        table.add_row(
            str(letter.record.position),
            each.type,
            each.state,
            rfc3339(letter.buried_at_ms),
            # A validation error goes on for lines; --json has it whole.
            letter.reason.split("\n", maxsplit=1)[0],
        )
    console.print(table, markup=False)
