"""The log in one SQLite file, for one process: the embedded adapters of `EventLog` and `Consumer`.

All access to the file is on one thread, so the event loop never waits for the disk. A log in memory needs none. Appends of one turn of the loop, and
those that arrive during a commit, share a transaction: durable when acknowledged, and still thousands a second. Readers are
woken within the process and never poll the file.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import sqlite3
import zlib
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import NamedTuple, Self, TypeVar

from fanfold.adapters.sqlite.file import IN_MEMORY, Ends, Row, SqliteFile
from fanfold.core import tracing
from fanfold.core.clock import Clock
from fanfold.core.dead_letters import as_dead_letter, as_replay
from fanfold.core.errors import FanfoldError, Fault, LogUnavailable
from fanfold.core.events import Encoded, Event, encode
from fanfold.core.ports.log import Position, Record, Tail
from fanfold.core.topics import load_topics

logger = logging.getLogger(__name__)

T = TypeVar("T")

_TAIL_WAIT_S = 0.2
_TAIL_RECORDS = 1000
_PROBE_EVERY_S = 1.0


class _Append(NamedTuple):
    records: Sequence[Encoded]
    done: asyncio.Future[list[Position]]


class SqliteLog:
    """The embedded log: an async context manager.

    Opening raises `Fault` if another process has the file open, if it is not a log, or if another version wrote it.
    """

    def __init__(self, path: Path, *, clock: Clock, source: str) -> None:
        self._path = path
        self._clock = clock
        self._source = source
        self._topics = load_topics()
        self._thread: ThreadPoolExecutor | None = None
        if path != IN_MEMORY:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite-log")
        self._file: SqliteFile | None = None
        self._pending: list[_Append] = []
        self._writing: asyncio.Task[None] | None = None
        self._next_seq = 1
        self._next_offset: dict[tuple[str, int], int] = {}
        self._last_seq: dict[str, int] = {}
        self._grown = asyncio.Event()
        self._probe: asyncio.Future[None] | None = None
        self._probed_at_s = 0.0
        self.acknowledged: dict[str, int] = {}
        """The last `seq` that each consumer group has acknowledged: in memory, like the tables that its handlers fill."""

    async def __aenter__(self) -> Self:
        try:
            file = await self._in_thread(lambda: SqliteFile(self._path))
            ends = await self._in_thread(file.ends)
            self._next_seq = await self._in_thread(file.last_seq) + 1
        except sqlite3.Error as error:
            self._end_thread()
            raise Fault(f"{self._path} can't be opened as a log: {error}") from error
        except Fault:
            self._end_thread()
            raise
        for topic, partition, next_offset, last_seq in ends:
            self._next_offset[topic, partition] = next_offset
            self._last_seq[topic] = max(last_seq, self._last_seq.get(topic, 0))
        self._file = file
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._writing:
            await self._writing
        if self._probe:
            await asyncio.wait([self._probe])
        file, self._file = self._opened(), None
        await self._in_thread(file.close)
        self._end_thread()

    async def append(self, event: Event) -> Position | None:
        with tracing.sending(event.topic):
            (position,) = await self._append([self._encoded(event)])
        return position

    async def append_many(self, batch: Sequence[Event]) -> None:
        if batch:
            with tracing.sending(batch[0].topic, len(batch)):
                await self._append([self._encoded(event) for event in batch])

    async def dead_letter(self, record: Record, reason: str) -> None:
        await self._append([as_dead_letter(record, reason)])

    async def replay(self, records: Sequence[Record]) -> None:
        await self._append([as_replay(record) for record in records])

    async def read(self, position: Position) -> Record | None:
        return await self._read(lambda file: file.read(position))

    def tail(self, topics: Sequence[str], *, since_ms: int) -> AbstractAsyncContextManager[Tail]:
        return self._tail(topics, since_ms)

    @asynccontextmanager
    async def _tail(self, topics: Sequence[str], since_ms: int) -> AsyncIterator[Tail]:
        end = self._next_seq
        first = await self._read(lambda file: file.first_since(topics, since_ms))
        yield _SqliteTail(self, topics, after=(first or end) - 1, clock=self._clock)

    def clock_skew_ms(self) -> int | None:
        # The log has this machine's clock.
        return 0

    async def ping(self) -> None:
        """Return if the file can be written. Callers within a second share a write, for it waits for the disk."""
        now_s = self._clock.monotonic_s()
        if self._probe is None or now_s - self._probed_at_s >= _PROBE_EVERY_S:
            self._probed_at_s = now_s
            self._probe = asyncio.ensure_future(self._read(SqliteFile.probe))
        # Shielded, for a caller that hangs up must not cancel the write of the others.
        await asyncio.shield(self._probe)

    async def clear_internal(self) -> None:
        """Delete the records of internal topics: a replay of the projected ones appends them again."""
        internal = [topic.name for topic in self._topics.values() if not topic.projected]
        await self._read(lambda file: file.delete(internal))
        for topic in internal:
            self._last_seq.pop(topic, None)
        self._next_offset = {
            (topic, partition): offset
            for (topic, partition), offset in self._next_offset.items()
            if topic not in internal
        }

    def last_seq(self, topics: Collection[str]) -> int:
        """The `seq` of the last record of these topics; 0 if there is none."""
        return max((self._last_seq.get(topic, 0) for topic in topics), default=0)

    def next_offset(self, topic: str, partition: int) -> int:
        """The offset of the next record of the partition."""
        return self._next_offset.get((topic, partition), 0)

    async def waiting(self, ends: Ends, *, after: int) -> Ends:
        """The lowest offset of each partition among the records after that `seq`, by the partitions' ends; where there is none, its end. Raises `Unavailable`."""
        asked = {
            found: end for found, end in ends.items() if self._last_seq.get(found[0], 0) > after
        }
        return {**ends, **await self._read(lambda file: file.first_after_seq(after, asked))}

    async def ends_until(self, topic: str, until_ms: int) -> dict[int, int]:
        """The offset of each partition after what was appended until then. Raises `Unavailable`."""
        ends = {found: end for found, end in self._next_offset.items() if found[0] == topic}
        found = await self._read(lambda file: file.first_after_ms(until_ms, ends))
        return {partition: end for (_, partition), end in found.items()}

    async def within(self, topic: str, spans: Mapping[int, tuple[int, int]]) -> list[Record]:
        """The records of each partition from an offset on and before another. Raises `Unavailable`."""
        return await self._read(lambda file: file.within(topic, spans))

    async def rows(self, topics: Collection[str], *, after: int, limit: int) -> list[Row]:
        """At most `limit` records of these topics after that `seq`, in the order of appending. Raises `Unavailable`."""
        return await self._read(lambda file: file.rows(topics, after, limit))

    async def grown(self, topics: Collection[str], *, after: int) -> None:
        """Return once these topics hold a record after that `seq`."""
        while self.last_seq(topics) <= after:
            await self._grown.wait()

    def _encoded(self, event: Event) -> Encoded:
        return encode(
            event,
            source=self._source,
            now_ms=self._clock.now_ms(),
            extensions=tracing.carried(),
        )

    async def _append(self, records: Sequence[Encoded]) -> list[Position]:
        self._opened()
        done: asyncio.Future[list[Position]] = asyncio.get_running_loop().create_future()
        self._pending.append(_Append(records, done))
        if self._writing is None:
            # A task of its own: a caller that is cancelled must not cancel the appends of others.
            self._writing = asyncio.create_task(self._write_pending())
        return await done

    async def _write_pending(self) -> None:
        while self._pending:
            appends, self._pending = self._pending, []
            try:
                await self._write(appends)
            except sqlite3.Error as error:
                _refuse(appends, LogUnavailable(f"the log: {error}"))
            except BaseException as error:
                # Whatever the error, no caller may wait for an acknowledgement that will not come.
                self._writing = None
                _refuse(appends, Fault(f"the log: {error!r}"))
                raise
        self._writing = None

    async def _write(self, appends: list[_Append]) -> None:
        records = [record for append in appends for record in append.records]
        first_seq, next_offset = self._next_seq, dict(self._next_offset)
        positioned = [(record, self._next_position(record)) for record in records]
        file, now_ms = self._opened(), self._clock.now_ms()
        try:
            await self._in_thread(lambda: file.insert(first_seq, positioned, now_ms))
        except sqlite3.Error:
            self._next_seq, self._next_offset = first_seq, next_offset
            raise
        for seq, (record, _) in enumerate(positioned, start=first_seq):
            self._last_seq[record.topic] = seq
        positions = iter([position for _, position in positioned])
        for append in appends:
            own = list(itertools.islice(positions, len(append.records)))
            if not append.done.done():
                append.done.set_result(own)
        self._grown.set()
        self._grown = asyncio.Event()

    def _next_position(self, record: Encoded) -> Position:
        partition = zlib.crc32(record.key) % self._topics[record.topic].partitions["few"]
        offset = self._next_offset.get((record.topic, partition), 0)
        self._next_offset[record.topic, partition] = offset + 1
        self._next_seq += 1
        return Position(record.topic, partition, offset)

    def _opened(self) -> SqliteFile:
        if self._file is None:
            raise LogUnavailable("the log is closed")
        return self._file

    def _end_thread(self) -> None:
        if self._thread:
            self._thread.shutdown()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._thread is None:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _read(self, work: Callable[[SqliteFile], T]) -> T:
        file = self._opened()
        try:
            return await self._in_thread(lambda: work(file))
        except sqlite3.Error as error:
            raise LogUnavailable(f"the log: {error}") from error


def _refuse(appends: Sequence[_Append], error: FanfoldError) -> None:
    for append in appends:
        if not append.done.done():
            append.done.set_exception(error)


class _SqliteTail:
    def __init__(self, log: SqliteLog, topics: Sequence[str], *, after: int, clock: Clock) -> None:
        self._log = log
        self._topics = topics
        self._after = after
        self._clock = clock
        self._caught_up_at_s = clock.monotonic_s()

    async def read(self) -> Sequence[Record]:
        try:
            async with asyncio.timeout(_TAIL_WAIT_S):
                await self._log.grown(self._topics, after=self._after)
        except TimeoutError:
            self.behind_s()
            return []
        rows = await self._log.rows(self._topics, after=self._after, limit=_TAIL_RECORDS)
        self._after = rows[-1].seq
        self.behind_s()
        return [row.record for row in rows]

    def behind_s(self) -> float:
        now_s = self._clock.monotonic_s()
        if self._log.last_seq(self._topics) <= self._after:
            self._caught_up_at_s = now_s
        return now_s - self._caught_up_at_s
