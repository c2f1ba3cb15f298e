"""Reads the dead letters and tells which of them can be replayed.

A replay appends a *new* record, at a later offset than everything since; of a follow and an unfollow the later offset wins.
So a dead letter must not be replayed when a later event has overtaken it, and none may be replayed twice.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from fanfold.core.clock import Clock
from fanfold.core.dead_letters import DeadLetter, read_letter, replay_of
from fanfold.core.errors import Rejected, Undecodable
from fanfold.core.events import DEAD_LETTERS, Cell, Event, event_name
from fanfold.core.ports.log import EventLog, Position, Record

# The clocks of the brokers that lead a partition in turn differ; records that are read twice do no harm.
_CLOCKS_DIFFER_MS = 60_000


class State(StrEnum):
    """What can be done about a dead letter."""

    WAITING = "waiting"
    """This version can read it: replay it."""
    UNREADABLE = "unreadable"
    """This version can't read it: a later one may, or the record itself is wrong."""
    OVERTAKEN = "overtaken"
    """The log holds a later event about the same thing: a replay would undo that."""
    REPLAYED = "replayed"
    """It has been replayed."""
    FAILED_AGAIN = "failed again"
    """It is a replay that failed too."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A dead letter with its state; `event` is None if this version can't read it."""

    letter: DeadLetter
    event: Event | None
    state: State

    @property
    def type(self) -> str:
        """The event's name, or what its header says."""
        return event_name(self.letter.record.headers)


@dataclass(frozen=True, slots=True)
class Chosen:
    """A filter: the dead letters that match everything given. `at` empty means any position."""

    topic: str | None = None
    type: str | None = None
    at: Collection[Position] = ()

    def __contains__(self, judged: Judged) -> bool:
        record = judged.letter.record
        return (
            self.topic in (None, record.topic)
            and self.type in (None, judged.type)
            and (not self.at or record.position in self.at)
        )


async def read_letters(log: EventLog, clock: Clock) -> list[Judged]:
    """All dead letters in the order of their origin, with their states by the log as it is now. Raises `Unavailable`."""
    letters: list[DeadLetter] = []
    async for record in _records(log, clock, [DEAD_LETTERS], since_ms=0):
        try:
            letters.append(read_letter(record))
        except Rejected:
            continue  # another program's record
    letters.sort(
        key=lambda letter: (letter.record.topic, letter.record.partition, letter.record.offset)
    )
    read = [(letter, _event_of(letter.record)) for letter in letters]
    later, replayed = await _read_since(log, clock, read)
    return [Judged(letter, event, _state(letter, event, later, replayed)) for letter, event in read]


def subject(event: Event) -> Cell | None:
    """What a later event can set again; None for an event that has the same effect whenever it is handled."""
    # The first cell is enough: the same events set the others.
    return next((change.cell for change in event.changes() if change.cell), None)


async def _read_since(
    log: EventLog, clock: Clock, read: Iterable[tuple[DeadLetter, Event | None]]
) -> tuple[dict[Hashable, int], set[Position]]:
    """The last offset of each subject of these letters, and the positions that were replayed."""
    readable = [(letter.record, event) for letter, event in read if event is not None]
    later: dict[Hashable, int] = {}
    replayed: set[Position] = set()
    if not readable:
        return later, replayed
    subjects = {subject(event) for _, event in readable}
    since_ms = min(record.appended_at_ms for record, _ in readable) - _CLOCKS_DIFFER_MS
    topics = sorted({record.topic for record, _ in readable})
    async for record in _records(log, clock, topics, since_ms=max(0, since_ms)):
        if (origin := replay_of(record)) is not None:
            replayed.add(origin)
        event = _event_of(record)
        if event is not None and (about := subject(event)) in subjects:
            later[about] = max(record.offset, later.get(about, -1))
    return later, replayed


def _state(
    letter: DeadLetter,
    event: Event | None,
    later: dict[Hashable, int],
    replayed: Collection[Position],
) -> State:
    if event is None:
        return State.UNREADABLE
    if letter.record.position in replayed:
        return State.REPLAYED
    about = subject(event)
    # One subject has one key and so one partition: its offsets can be compared.
    if about is not None and later.get(about, -1) > letter.record.offset:
        return State.OVERTAKEN
    return State.WAITING if letter.replay_of is None else State.FAILED_AGAIN


def _event_of(record: Record) -> Event | None:
    """The event, if it is on its own topic and key: elsewhere the worker would not handle it."""
    try:
        event = record.event()
    except Undecodable:
        return None
    return event if (event.topic, event.key.encode()) == (record.topic, record.key) else None


async def _records(
    log: EventLog, clock: Clock, topics: Sequence[str], *, since_ms: int
) -> AsyncIterator[Record]:
    """The records from that time up to about now."""
    async with log.tail(topics, since_ms=since_ms) as tail:
        opened_at_s = clock.monotonic_s()
        while True:
            for record in await tail.read():
                yield record
            # A new tail counts from its opening; it held everything once it has been level at a later moment.
            if tail.behind_s() <= (clock.monotonic_s() - opened_at_s) / 2:
                return
