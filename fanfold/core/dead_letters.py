"""The format of a dead letter, the same in every log, and of the record that its replay appends."""

from __future__ import annotations

from dataclasses import dataclass

from fanfold.core.errors import Rejected
from fanfold.core.events import DEAD_LETTERS, Encoded
from fanfold.core.ports.log import Position, Record

OURS = "ff_"
REPLAY_OF = "ff_replay_of"
"""The header of a record that was appended by a replay: the position of the record that it repeats."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that could not be handled, as it is at its origin.

    `replay_of` is set when a replay had appended it. The value is None if it would have made the letter too large: the log
    still holds it at its origin.
    """

    record: Record
    reason: str
    dead_lettered_at_ms: int

    @property
    def replay_of(self) -> Position | None:
        return replay_of(self.record)


def as_dead_letter(record: Record, reason: str) -> Encoded:
    """The raw record with its headers, its origin and the reason; a null key or value becomes empty."""
    origin = {
        "ff_topic": record.topic,
        "ff_partition": str(record.partition),
        "ff_offset": str(record.offset),
        "ff_appended_at_ms": str(record.appended_at_ms),
        "ff_reason": reason,
    }
    headers = [*record.headers.items(), *((name, text.encode()) for name, text in origin.items())]
    return Encoded(DEAD_LETTERS, record.key or b"", record.value or b"", headers)


def read_letter(letter: Record) -> DeadLetter:
    """The dead letter in a record of the dead letters' topic. Raises `Rejected` if the record is not one."""
    found = letter.headers
    try:
        record = Record(
            topic=found["ff_topic"].decode(),
            partition=int(found["ff_partition"]),
            offset=int(found["ff_offset"]),
            key=letter.key,
            value=letter.value or None,
            headers={
                name: value
                for name, value in found.items()
                if not name.startswith(OURS) or name == REPLAY_OF
            },
            # Letters older than this header: their records may be as old as the log.
            appended_at_ms=int(found.get("ff_appended_at_ms", b"0")),
        )
        reason = found["ff_reason"].decode(errors="replace")
    except (KeyError, ValueError) as error:
        raise Rejected(f"{letter.position} is not a dead letter: {error!r}") from error
    return DeadLetter(record, reason, letter.appended_at_ms)


def as_replay(record: Record) -> Encoded:
    """The same record again, for the topic that it was on. Key, value and headers are kept, `ce_id` too."""
    headers = {**record.headers, REPLAY_OF: str(record.position).encode()}
    return Encoded(record.topic, record.key or b"", record.value or b"", list(headers.items()))


def replay_of(record: Record) -> Position | None:
    """The position of the record that this one repeats; None if no replay appended it."""
    try:
        return Position.parse(record.headers[REPLAY_OF].decode())
    except (KeyError, ValueError):
        return None
