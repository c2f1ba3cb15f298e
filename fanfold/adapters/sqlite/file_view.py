"""What each partition of an embedded log holds, for a process beside the one that writes it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from fanfold.adapters.sqlite.file import ReadableFile
from fanfold.adapters.sqlite.in_thread import in_thread
from fanfold.core.errors import Fault, LogUnavailable
from fanfold.core.ports.log import Record
from fanfold.core.ports.log_view import Span
from fanfold.core.topics import load_topics

T = TypeVar("T")


class SqliteFileView:
    """`spans` and `records` as in `LogView`."""

    def __init__(self, file: ReadableFile) -> None:
        self._file = file

    async def spans(self, topic: str) -> dict[int, Span]:
        ends = {
            found.partition: found.next_offset
            for found in await self._asked(lambda file: file.ends())
            if found.topic == topic
        }
        # Nothing is ever deleted from the beginning of a partition.
        numbers = range(load_topics()[topic].partitions["few"])
        return {number: Span(0, ends.get(number, 0)) for number in numbers}

    async def records(self, topic: str, spans: Mapping[int, Span]) -> list[Record]:
        return await self._asked(lambda file: file.within(topic, spans))

    async def _asked(self, ask: Callable[[ReadableFile], T]) -> T:
        try:
            return await in_thread(partial(ask, self._file))
        except sqlite3.Error as error:
            raise LogUnavailable(f"the log: {error}") from error


@contextmanager
def opened_view(path: Path) -> Iterator[SqliteFileView]:
    """Raises `Fault` for a file that is no log."""
    try:
        file = ReadableFile(path)
    except sqlite3.Error as error:
        raise Fault(f"{path} can't be read as a log: {error}") from error
    try:
        yield SqliteFileView(file)
    finally:
        file.close()
