"""Makes a snapshot from the one before and the log since; the tables are not asked."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from fanfold.core.clock import Clock
from fanfold.core.errors import Fault
from fanfold.core.events import GRAPH, PUBLIC_TOPICS, from_ms
from fanfold.core.ports.log import Record
from fanfold.core.ports.log_view import Span
from fanfold.ops.snapshot.form import (
    Head,
    Part,
    publish,
    read_head,
    read_lines,
    record_of,
    write_lines,
)
from fanfold.ops.snapshot.lasting import Lasting

_AT_ONCE = 20_000
"""Offsets that are asked for at once: some 30 MB of records."""
_TOPICS = (GRAPH, *(topic for topic in PUBLIC_TOPICS if topic != GRAPH))
"""First the topic that says who left: their posts and likes are left out of the others."""
_WORK = ".work-"


class Spans(Protocol):
    """What is used of a `LogView`."""

    async def spans(self, topic: str) -> dict[int, Span]: ...
    async def records(self, topic: str, spans: Mapping[int, Span]) -> list[Record]: ...


@dataclass(slots=True)
class Counts:
    """`done` of `total` offsets of the log are read."""

    total: int | None = None
    done: int = 0
    kept: int = 0
    left_out: int = 0

    def describe(self) -> str:
        return f"{self.done:,} records read, {self.kept:,} lines written"


class Made(NamedTuple):
    head: Head
    counts: Counts


async def make_snapshot(
    log: Spans, directory: Path, *, clock: Clock, show: Callable[[Counts], None] = lambda _: None
) -> Made:
    """Make the snapshot in `directory` that of the log's end now. An interrupted run leaves the one before as it was.

    Raises `Unavailable`, and `Fault` if another run works in the directory, if its snapshot can't be read, or if the log has lost records
    since then.
    """
    with _alone(directory) as work:
        before, made_at_ms = read_head(directory), clock.now_ms()
        spans = {
            topic: _since(topic, await log.spans(topic), before, directory) for topic in _TOPICS
        }
        counts = Counts(sum(span.end - span.first for of in spans.values() for span in of.values()))
        with closing(Lasting(work / "lasting.sqlite")) as lasting:
            run = _Run(log, lasting, directory=directory, before=before, counts=counts, show=show)
            topics = {topic: await run.topic(topic, spans[topic]) for topic in _TOPICS}
            counts.left_out = lasting.left_out
        # Records that the log deleted before they were read would be missing without notice.
        for topic in _TOPICS:
            for partition, span in (await log.spans(topic)).items():
                refuse_gap(topic, partition, spans[topic][partition].first, span, directory)
        head = Head(made_at=from_ms(made_at_ms), topics=topics)
        publish(directory, head)
    return Made(head, counts)


@contextmanager
def _alone(directory: Path) -> Iterator[Path]:
    """The directory of one run at a time, and a directory of its own in it, on the same disk."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise Fault(f"{directory} can't be opened: {error.strerror}") from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Fault(f"another run makes the snapshot in {directory}") from error
        for left in directory.glob(f"{_WORK}*"):
            shutil.rmtree(left)
        with tempfile.TemporaryDirectory(dir=directory, prefix=_WORK) as work:
            yield Path(work)
    finally:
        os.close(lock)


def _since(
    topic: str, spans: dict[int, Span], before: Head | None, directory: Path
) -> dict[int, Span]:
    """What the log has since the snapshot before. Raises `Fault` where it does not go on from there."""
    ends = before.ends() if before else {}
    for partition, span in spans.items():
        end = ends.get((topic, partition), 0)
        refuse_gap(topic, partition, end, span, directory)
        spans[partition] = Span(end, span.end)
    return spans


def refuse_gap(topic: str, partition: int, end: int, span: Span, directory: Path) -> None:
    """Raises `Fault` if a log with that span does not have every record from `end` on."""
    if span.first > end:
        raise Fault(
            f"the log has lost {topic}/{partition} from {end} to {span.first}, which the snapshot in {directory} lacks:"
            " take a younger snapshot, and make one more often than the log forgets"
        )
    if span.end < end:
        raise Fault(
            f"{topic}/{partition} ends at {span.end}, and the snapshot in {directory} goes to {end}: it is of another log"
        )


class _Run:
    def __init__(
        self,
        log: Spans,
        lasting: Lasting,
        *,
        directory: Path,
        before: Head | None,
        counts: Counts,
        show: Callable[[Counts], None],
    ) -> None:
        self._log, self._directory, self._before = log, directory, before
        self._lasting, self._counts, self._show = lasting, counts, show

    async def topic(self, topic: str, spans: Mapping[int, Span]) -> tuple[Part, ...]:
        """Read a topic, and write its files."""
        self._lasting.begin_topic()
        parts = self._before.topics.get(topic, ()) if self._before else ()
        as_of_ms = {}
        for part in parts:
            for line in read_lines(self._directory, part):
                self._lasting.add(record_of(line, topic, part.partition), line)
        for wanted in _batches(spans):
            for record in await self._log.records(topic, wanted):
                self._lasting.add(record)
                as_of_ms[record.partition] = record.appended_at_ms
            self._counts.done += sum(span.end - span.first for span in wanted.values())
            self._show(self._counts)
        as_of = {part.partition: part.as_of for part in parts} | {
            partition: from_ms(ms) for partition, ms in as_of_ms.items()
        }
        return tuple(
            self._part(topic, partition, span.end, as_of.get(partition))
            for partition, span in sorted(spans.items())
        )

    def _part(self, topic: str, partition: int, end: int, as_of: datetime | None) -> Part:
        written = write_lines(
            self._directory, topic, f"{partition}-{end}", self._lasting.of(partition)
        )
        self._counts.kept += written.lines
        self._show(self._counts)
        return Part(
            partition=partition,
            file=written.name,
            end_offset=end,
            as_of=as_of,
            records=written.lines,
            sha256=written.sha256,
        )


def _batches(spans: Mapping[int, Span]) -> Iterator[dict[int, Span]]:
    """The spans, in pieces that have some thousand offsets together."""
    wanted: dict[int, Span] = {}
    room = _AT_ONCE
    for partition, span in sorted(spans.items()):
        begun = span.first
        while begun < span.end:
            wanted[partition] = piece = Span(begun, min(span.end, begun + room))
            room -= piece.end - piece.first
            begun = piece.end
            if not room:
                yield wanted
                wanted, room = {}, _AT_ONCE
    if wanted:
        yield wanted
