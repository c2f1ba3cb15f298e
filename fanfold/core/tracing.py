"""Traces of what this process does, behind a port. Off until `use`: then every function here returns at once.

A post's trace leads from the request over the log to the plan of its fan-out. A record carries it in the header `ce_traceparent`,
which is CloudEvents' extension for distributed tracing. A slice that is delivered later is a trace of its own, with a link to the post's: a
trace of a large audience would have no end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, Protocol

from fanfold.core.ports.log import Record

HEADER = "ce_traceparent"
_TRACEPARENT = re.compile(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_SAMPLED = 1

Attributes = Mapping[str, str | int]


class TraceParent(NamedTuple):
    """A span's position in a trace, as W3C's Trace Context writes it."""

    trace_id: int
    span_id: int
    flags: int

    @property
    def sampled(self) -> bool:
        """Whether the trace is recorded."""
        return bool(self.flags & _SAMPLED)

    @property
    def header(self) -> bytes:
        """The value of `ce_traceparent`."""
        return b"00-%032x-%016x-%02x" % self

    @classmethod
    def of(cls, record: Record) -> TraceParent | None:
        """What a record carries; None for nothing, or nothing that can be read."""
        found = _TRACEPARENT.fullmatch(record.headers.get(HEADER, b""))
        parent = cls(*(int(part, 16) for part in found.groups())) if found else None
        return parent if parent and parent.trace_id and parent.span_id else None


class Spans(Protocol):
    """Records spans. All but `follow` and `link` do nothing outside of a span that is recorded."""

    provider: Any
    """OpenTelemetry's `TracerProvider`."""

    def current(self) -> TraceParent | None:
        """The span that is under way."""
        ...

    def inside(
        self, name: str, attributes: Attributes, *, sends: bool
    ) -> AbstractContextManager[None]:
        """A part of the current span; `sends`: it appends to the log."""
        ...

    def follow(
        self, parent: TraceParent, name: str, attributes: Attributes
    ) -> AbstractContextManager[None]:
        """Go on in the trace of what a record carries."""
        ...

    def link(
        self, parent: TraceParent, name: str, attributes: Attributes
    ) -> AbstractContextManager[None]:
        """Begin a trace that is linked to what a record carries."""
        ...

    def describe(self, attributes: Attributes) -> None:
        """Add to the current span."""
        ...


_spans: Spans | None = None
_NOTHING: AbstractContextManager[None] = nullcontext()


def use(spans: Spans | None) -> None:
    """Record from now on, or no longer. For composition roots and tests."""
    global _spans  # noqa: PLW0603 - like the log of a process, one for all that it does
    _spans = spans


def spans() -> Spans | None:
    """What records; None if nothing does."""
    return _spans


def current() -> TraceParent | None:
    """The span that is under way, if it is recorded."""
    return _spans.current() if _spans is not None else None


def carried() -> list[tuple[str, bytes]]:
    """The headers of a record that is appended now."""
    if _spans is None or (parent := _spans.current()) is None:
        return []
    return [(HEADER, parent.header)]


def sending(topic: str, records: int = 1) -> AbstractContextManager[None]:
    """An append to the log."""
    if _spans is None:
        return _NOTHING
    attributes = {**_messaging(topic, "send"), "messaging.batch.message_count": records}
    return _spans.inside(f"send {topic}", attributes, sends=True)


def processing(record: Record, *, apart: bool, about: Attributes) -> AbstractContextManager[None]:
    """The work on a record whose append was traced. `apart`: in a trace of its own, linked to that one."""
    if _spans is None or (parent := TraceParent.of(record)) is None or not parent.sampled:
        return _NOTHING
    attributes: dict[str, str | int] = {
        **_messaging(record.topic, "process"),
        "messaging.destination.partition.id": str(record.partition),
        "messaging.kafka.offset": record.offset,
        **about,
    }
    begin = _spans.link if apart else _spans.follow
    return begin(parent, f"process {record.topic}", attributes)


def doing(name: str, attributes: Attributes) -> AbstractContextManager[None]:
    """A part of what is under way."""
    return _NOTHING if _spans is None else _spans.inside(name, attributes, sends=False)


def describe(attributes: Attributes) -> None:
    """Add attributes to the current span."""
    if _spans is not None:
        _spans.describe(attributes)


def _messaging(topic: str, operation: str) -> dict[str, str | int]:
    return {
        "messaging.system": "kafka",
        "messaging.destination.name": topic,
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
    }
