"""`Tail` on the file of an embedded log that another process may be writing."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType

from fanfold.adapters.sqlite.file import ReadableFile
from fanfold.adapters.sqlite.in_thread import in_thread
from fanfold.core.clock import Clock
from fanfold.core.errors import Fault, LogUnavailable
from fanfold.core.ports.log import Record, Tail

_WAIT_S = 0.2
_RECORDS = 1000


@asynccontextmanager
async def sqlite_tail(
    path: Path,
    topics: Sequence[str],
    *,
    since_ms: int,
    clock: Clock,
    first_offset: int = 0,
    first_offsets: Mapping[tuple[str, int], int] = MappingProxyType({}),
) -> AsyncIterator[Tail]:
    """Follow topics from the first record that is at or after a point in time and has at least the partition's first offset.

    `first_offsets` has the first offset by topic and partition; `first_offset` is that of all other partitions. Raises `Fault` for a file that
    is no log.
    """
    try:
        file = ReadableFile(path)
    except sqlite3.Error as error:
        raise Fault(f"{path} can't be read as a log: {error}") from error
    try:
        yield await in_thread(
            partial(
                _FileTail,
                file,
                topics,
                since_ms=since_ms,
                clock=clock,
                first_offset=first_offset,
                first_offsets=first_offsets,
            )
        )
    finally:
        file.close()


class _FileTail:
    def __init__(
        self,
        file: ReadableFile,
        topics: Sequence[str],
        *,
        since_ms: int,
        clock: Clock,
        first_offset: int,
        first_offsets: Mapping[tuple[str, int], int],
    ) -> None:
        self._file = file
        self._topics = topics
        self._clock = clock
        self._first_offset, self._first_offsets = first_offset, first_offsets
        # The end first: a record that is appended between the two is then found by the second, or comes after the end.
        end = max((found.last_seq for found in file.ends()), default=0)
        first = file.first_since(topics, since_ms)
        self._after = end if first is None else first - 1
        self._caught_up_at_s = clock.monotonic_s()

    async def read(self) -> Sequence[Record]:
        asked_at_s = self._clock.monotonic_s()
        try:
            rows = await in_thread(partial(self._file.rows, self._topics, self._after, _RECORDS))
        except sqlite3.Error as error:
            raise LogUnavailable(f"the log: {error}") from error
        if len(rows) < _RECORDS:
            self._caught_up_at_s = asked_at_s
        if not rows:
            await self._clock.sleep(_WAIT_S)
            return []
        self._after = rows[-1].seq
        return [row.record for row in rows if self._is_wanted(row.record)]

    def _is_wanted(self, record: Record) -> bool:
        first = self._first_offsets.get((record.topic, record.partition), self._first_offset)
        return record.offset >= first

    def behind_s(self) -> float:
        return self._clock.monotonic_s() - self._caught_up_at_s
