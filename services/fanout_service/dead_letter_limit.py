"""When dead letters mean that the worker is wrong, and not the records."""

from __future__ import annotations

from collections import Counter

from fanfold.core.errors import Rejected
from fanfold.core.ports.log import Record

NO_SOURCE = "none"
FOREIGN = "foreign"
_OWN = b"fanfold/"
_OWN_OTHER = "own"
_SERVICES = ("post_service", "graph_service", "feed_service", "fanout_service", "all-in-one")
SOURCES = (*_SERVICES, _OWN_OTHER, FOREIGN, NO_SOURCE)
CAUSES = ("undecodable", "rejected", "unexpected")


def source_of(record: Record) -> str:
    """The record's source as a label: one of our services, `own` for our other programs, `foreign`, or `none` without CloudEvents headers.

    A producer can name any source, so the label has few values.
    """
    source = record.headers.get("ce_source", b"")
    if not source or record.headers.get("ce_specversion") != b"1.0":
        return NO_SOURCE
    if not source.startswith(_OWN):
        return FOREIGN
    service = source.removeprefix(_OWN).decode(errors="replace")
    return service if service in _SERVICES else _OWN_OTHER


def cause_of(error: Exception) -> str:
    """The error as a label: `undecodable`, `rejected`, or `unexpected` for what is not a rejection at all."""
    if isinstance(error, Rejected):
        return type(error).__name__.lower()
    return "unexpected"


class DeadLettersInARow:
    """Counts dead letters since the last success, by source and cause.

    Unexpected errors count, with records of our own programs. Rejected records of our own count too, but not those of the source that has
    most of them: garbage of one source stops nobody, and a worker that rejects what several services append is wrong.
    Foreign records never count.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._unexpected = 0
        self._rejected: Counter[str] = Counter()

    def end(self) -> None:
        """A record was projected."""
        self._unexpected = 0
        self._rejected.clear()

    def add(self, record: Record, error: Exception) -> bool:
        """Count one more. Returns whether the worker is past the limit, and must not append it."""
        source = source_of(record)
        if source in (NO_SOURCE, FOREIGN):
            return False
        if isinstance(error, Rejected):
            self._rejected[source] += 1
        else:
            self._unexpected += 1
        rejected = self._rejected.total() - max(self._rejected.values(), default=0)
        return self._unexpected + rejected > self._limit
