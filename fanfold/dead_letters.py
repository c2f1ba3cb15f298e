"""The form of a dead letter, alike in every log."""

from __future__ import annotations

from fanfold.events import DEAD_LETTERS, Encoded
from fanfold.log import Record


def as_dead_letter(record: Record, reason: str) -> Encoded:
    """The raw record with its own headers, its origin and the reason; a null key or value becomes empty."""
    origin = {
        "ff_topic": record.topic,
        "ff_partition": str(record.partition),
        "ff_offset": str(record.offset),
        "ff_reason": reason,
    }
    headers = [*record.headers.items(), *((name, text.encode()) for name, text in origin.items())]
    return Encoded(DEAD_LETTERS, record.key or b"", record.value or b"", headers)
