"""The form of a dead letter, alike in every log; and of the record that replaying one appends."""

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
    """A record that could not be handled, as it lay at its origin.

    `replay_of` is set when it was appended by a replay itself. The value is None where the letter would have been too
    large with it: the log still holds it at its origin.
    """

    record: Record
    reason: str
    buried_at_ms: int

    @property
    def replay_of(self) -> Position | None:
        return replay_of(self.record)


def as_dead_letter(record: Record, reason: str) -> Encoded:
    """The raw record with its own headers, its origin and the reason; a null key or value becomes empty."""
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
    """What a record of the dead letters' topic says. Raises `Rejected` for one that is no dead letter."""
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
            # Letters of before this header: it may have lain there since the beginning.
            appended_at_ms=int(found.get("ff_appended_at_ms", b"0")),
        )
        reason = found["ff_reason"].decode(errors="replace")
    except (KeyError, ValueError) as error:
        raise Rejected(f"{letter.position} is no dead letter: {error!r}") from error
    return DeadLetter(record, reason, letter.appended_at_ms)


def as_replay(record: Record) -> Encoded:
    """The same record once more, for the topic that it was on: key, value and headers are kept, `ce_id` among them."""
    headers = {**record.headers, REPLAY_OF: str(record.position).encode()}
    return Encoded(record.topic, record.key or b"", record.value or b"", list(headers.items()))


def replay_of(record: Record) -> Position | None:
    """Which record this one repeats; None for one that was not appended by a replay."""
    try:
        return Position.parse(record.headers[REPLAY_OF].decode())
    except (KeyError, ValueError):
        return None
