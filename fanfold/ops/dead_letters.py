"""Which dead letters there are, and which of them would do good if they were handled now.

A replay appends a *new* record, later in the log than all that has happened since: of two follows and unfollows the later
place wins. So one that the log has overtaken must not be replayed, and none twice.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from fanfold.core.clock import Clock
from fanfold.core.dead_letters import DeadLetter, read_letter, replay_of
from fanfold.core.errors import Rejected, Undecodable
from fanfold.core.events import (
    DEAD_LETTERS,
    Event,
    PostEdited,
    PostLiked,
    PostUnliked,
    UserBlocked,
    UserFellAsleep,
    UserFollowed,
    UserMuted,
    UserRegistered,
    UserUnblocked,
    UserUnfollowed,
    UserUnmuted,
    UserWoke,
)
from fanfold.core.ports.log import EventLog, Position, Record

# Brokers take turns in leading, and their clocks differ; what is looked at twice does no harm.
_CLOCKS_DIFFER_MS = 60_000


# What an event decides until a later one about the same decides otherwise. A post's creation and deletion, a departure and
# every command are not here: repeated late, they undo nothing.
_SUBJECTS: dict[type[Event], tuple[str, ...]] = {
    PostEdited: ("text", "post_id"),
    PostLiked: ("like", "user_id", "post_id"),
    PostUnliked: ("like", "user_id", "post_id"),
    UserRegistered: ("name", "user_id"),
    UserFollowed: ("follow", "follower_id", "followee_id"),
    UserUnfollowed: ("follow", "follower_id", "followee_id"),
    UserMuted: ("mute", "user_id", "target_id"),
    UserUnmuted: ("mute", "user_id", "target_id"),
    UserBlocked: ("block", "user_id", "target_id"),
    UserUnblocked: ("block", "user_id", "target_id"),
    UserFellAsleep: ("sleep", "user_id"),
    UserWoke: ("sleep", "user_id"),
}


class State(StrEnum):
    """What is to be done about a dead letter."""

    WAITING = "waiting"
    """This version can read it: replay it."""
    UNREADABLE = "unreadable"
    """This version can't read it either: a later one may, or it is wrong in itself."""
    OVERTAKEN = "overtaken"
    """The log holds a later event about the same thing: replayed now, it would undo that."""
    REPLAYED = "replayed"
    """It was replayed before."""
    BURIED_AGAIN = "buried again"
    """It is a replay that could not be handled either."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A dead letter; `event` is None where this version can't read it."""

    letter: DeadLetter
    event: Event | None
    state: State

    @property
    def type(self) -> str:
        """The event's name, or what its header says, as far as it can be shown."""
        raw = self.letter.record.headers.get("ce_type", b"").decode(errors="replace")
        return raw.removeprefix("fanfold.").removesuffix(".v1") or "?"


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which letters are meant: those that fit everything given. No position: those of every position."""

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
    """All dead letters in the order of their origin, judged by the log of now. Raises `Unavailable`."""
    letters: list[DeadLetter] = []
    async for record in _records(log, clock, [DEAD_LETTERS], since_ms=0):
        try:
            letters.append(read_letter(record))
        except Rejected:
            continue  # somebody else's record
    letters.sort(key=lambda letter: (letter.record.topic, *_place(letter.record)))
    read = [(letter, _event_of(letter.record)) for letter in letters]
    later, replayed = await _what_followed(log, clock, read)
    return [Judged(each, event, _state(each, event, later, replayed)) for each, event in read]


def subject(event: Event) -> Hashable:
    """The thing that a later event can decide otherwise; None for an event that means the same whenever it is handled."""
    kind, *fields = _SUBJECTS.get(type(event), (None,))
    return kind and (kind, *(getattr(event, field) for field in fields))


async def _what_followed(
    log: EventLog, clock: Clock, read: Iterable[tuple[DeadLetter, Event | None]]
) -> tuple[dict[Hashable, int], set[Position]]:
    """The last offset of each subject concerned, and the positions that were replayed."""
    readable = [(letter.record, event) for letter, event in read if event is not None]
    later: dict[Hashable, int] = {}
    replayed: set[Position] = set()
    if not readable:
        return later, replayed
    asked = {subject(event) for _, event in readable}
    since_ms = min(record.appended_at_ms for record, _ in readable) - _CLOCKS_DIFFER_MS
    topics = sorted({record.topic for record, _ in readable})
    async for record in _records(log, clock, topics, since_ms=max(0, since_ms)):
        if (origin := replay_of(record)) is not None:
            replayed.add(origin)
        event = _event_of(record)
        if event is not None and (about := subject(event)) in asked:
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
    # One subject has one key, so one partition: its offsets can be compared.
    if about is not None and later.get(about, -1) > letter.record.offset:
        return State.OVERTAKEN
    return State.WAITING if letter.replay_of is None else State.BURIED_AGAIN


def _event_of(record: Record) -> Event | None:
    """The event, where it also lies where it belongs: elsewhere the worker would not take it."""
    try:
        event = record.event()
    except Undecodable:
        return None
    return event if (event.topic, event.key.encode()) == (record.topic, record.key) else None


def _place(record: Record) -> tuple[int, int]:
    return record.partition, record.offset


async def _records(
    log: EventLog, clock: Clock, topics: Sequence[str], *, since_ms: int
) -> AsyncIterator[Record]:
    """What was appended from that time on, up to about now."""
    async with log.tail(topics, since_ms=since_ms) as tail:
        opened_at_s = clock.monotonic_s()
        while True:
            for record in await tail.read():
                yield record
            # A new tail counts from its opening; only a later moment is one at which it held everything.
            if tail.behind_s() <= (clock.monotonic_s() - opened_at_s) / 2:
                return
