"""Appends dead letters to the log again, as new records at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from fanfold.core.clock import Clock
from fanfold.core.ports.log import EventLog
from fanfold.ops.dead_letters.states import Chosen, Judged, State, read_letters

BATCH = 100


@dataclass(slots=True)
class Replayed:
    """The counts of a replay. `left` counts the dead letters that were not replayed, by state."""

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
    """Append the waiting ones once more, and count in `replayed`. Raises `Unavailable`: then some are appended.

    Safe to repeat, also after that: a header marks what was appended. An event about the same thing that is appended between
    the reading of the log and the replay is overtaken by the replay.
    """
    states = {State.WAITING, State.FAILED_AGAIN} if again else {State.WAITING}
    due: list[Judged] = []
    for judged in await read_letters(log, clock):
        if judged not in chosen:
            continue
        if judged.state in states:
            due.append(judged)
        else:
            replayed.left[judged.state] += 1
    for first in range(0, len(due), BATCH):
        batch = due[first : first + BATCH]
        if not dry_run:
            await log.replay([judged.letter.record for judged in batch])
        replayed.replayed += len(batch)
        show(replayed)
