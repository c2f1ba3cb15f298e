"""The file of `SqliteLog`: records in one SQLite table. Synchronous, and used by one thread only.

One process writes it, and holds the lock of its directory meanwhile. Any number of others read it at the same time, in any
language: `file:log.sqlite?mode=ro`.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import orjson

from fanfold.core.data_format import DATA_FORMAT, refuse_other_format
from fanfold.core.errors import Fault
from fanfold.core.events import Encoded
from fanfold.core.ports.log import Position, Record

# `seq` is the order of appending over all topics, and so of a replay.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    seq INTEGER PRIMARY KEY,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    "offset" INTEGER NOT NULL,
    key BLOB,
    value BLOB,
    headers TEXT NOT NULL,
    appended_at_ms INTEGER NOT NULL,
    UNIQUE (topic, partition, "offset")
)
"""
_INSERT = "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
# NOT INDEXED makes SQLite scan by the primary key, which is the wanted order. The topics are one JSON parameter.
_SELECT = """
SELECT * FROM records NOT INDEXED
WHERE seq > ? AND topic IN (SELECT value FROM json_each(?)) ORDER BY seq LIMIT ?
"""
_SELECT_ONE = 'SELECT * FROM records WHERE topic = ? AND partition = ? AND "offset" = ?'
_FIRST_SINCE = """
SELECT MIN(seq) FROM records NOT INDEXED
WHERE appended_at_ms >= ? AND topic IN (SELECT value FROM json_each(?))
"""
_ENDS = 'SELECT topic, partition, MAX("offset") + 1, MAX(seq) FROM records GROUP BY 1, 2'
_SEQ_OF = 'SELECT seq FROM records WHERE topic = ? AND partition = ? AND "offset" = ?'
_TIME_OF = 'SELECT appended_at_ms FROM records WHERE topic = ? AND partition = ? AND "offset" = ?'
_WITHIN = """
SELECT * FROM records WHERE topic = ? AND partition = ? AND "offset" >= ? AND "offset" < ? ORDER BY "offset"
"""
# What `probe` writes is as large as the longest post: where it finds room, so does any one append.
_PROBE_BYTES = 32 * 1024
_PROBE_SCHEMA = "CREATE TABLE IF NOT EXISTS probe (one INTEGER PRIMARY KEY, filling BLOB NOT NULL)"
_PROBE = "INSERT OR REPLACE INTO probe VALUES (1, randomblob(?))"
_DELETE = "DELETE FROM records WHERE topic IN (SELECT value FROM json_each(?))"
# The highest `seq` so far, when records were last deleted. If a `seq` were given out twice, readers might have passed it already.
_SEQ_SCHEMA = "CREATE TABLE IF NOT EXISTS passed (one INTEGER PRIMARY KEY, seq INTEGER NOT NULL)"
_KEEP_SEQ = """
INSERT INTO passed SELECT 1, COALESCE(MAX(seq), 0) FROM records WHERE TRUE
ON CONFLICT DO UPDATE SET seq = MAX(seq, excluded.seq)
"""
_LAST_SEQ = """
SELECT MAX(seq) FROM (SELECT seq FROM passed UNION ALL SELECT COALESCE(MAX(seq), 0) FROM records)
"""


IN_MEMORY = Path(":memory:")
"""The path of a log that is gone when it is closed. Nobody else can open it."""


class Row(NamedTuple):
    """A record and its number in the order of appending."""

    seq: int
    record: Record


class PartitionEnd(NamedTuple):
    """The next offset of a partition, and the `seq` of its last record."""

    topic: str
    partition: int
    next_offset: int
    last_seq: int


Ends = Mapping[tuple[str, int], int]
"""An offset of each partition, which is a topic and a number."""


class ReadableFile:
    """A log's file, to read, while another process may be writing it. Every method may raise `sqlite3.Error`.

    Opening raises it too, for a file that isn't there, and `Fault` for a file of another data format.
    """

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(
            f"file:{quote(str(path))}?mode=ro",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=1,
        )
        try:
            self._check_format(path.parent)
        except BaseException:
            self._connection.close()
            raise

    def _check_format(self, directory: Path) -> None:
        ((found,),) = self._connection.execute("PRAGMA user_version")
        refuse_other_format(
            # 0 in files from before it was written.
            found or 1,
            directory,
            delete=f"rm -r {directory}",
            choose="make run DATA=…",
        )

    def ends(self) -> list[PartitionEnd]:
        return [PartitionEnd(*row) for row in self._connection.execute(_ENDS)]

    def rows(self, topics: Collection[str], after: int, limit: int) -> list[Row]:
        return [
            _row(row) for row in self._connection.execute(_SELECT, (after, _json(topics), limit))
        ]

    def read(self, position: Position) -> Record | None:
        """The record at that position, or None."""
        found_by = (position.topic, position.partition, position.offset)
        found = self._connection.execute(_SELECT_ONE, found_by).fetchone()
        return None if found is None else _row(found).record

    def first_since(self, topics: Collection[str], since_ms: int) -> int | None:
        """The `seq` of the first record appended at or after that time, or None."""
        row: tuple[int | None] = self._connection.execute(
            _FIRST_SINCE, (since_ms, _json(topics))
        ).fetchone()
        return row[0]

    def first_after_seq(self, seq: int, ends: Ends) -> Ends:
        """The lowest offset of each partition whose record has a higher `seq`, by the partitions' ends; where there is none, its end."""
        return self._first_above(_SEQ_OF, seq, ends)

    def first_after_ms(self, at_ms: int, ends: Ends) -> Ends:
        """The same for records appended after that time. If the clock was set back meanwhile, one of the offsets at that time."""
        return self._first_above(_TIME_OF, at_ms, ends)

    def _first_above(self, statement: str, bound: int, ends: Ends) -> Ends:
        def is_above(partition: tuple[str, int], offset: int) -> bool:
            found = self._connection.execute(statement, (*partition, offset)).fetchone()
            return found is None or found[0] > bound

        # Both ascend within a partition, so some twenty rows are read of one. A scan would hold up every append meanwhile.
        return {
            partition: bisect_left(range(end), True, key=partial(is_above, partition))
            for partition, end in ends.items()
        }

    def within(self, topic: str, spans: Mapping[int, tuple[int, int]]) -> list[Record]:
        """The records of each partition from an offset on and before another."""
        return [
            _row(row).record
            for partition, (first, end) in spans.items()
            for row in self._connection.execute(_WITHIN, (topic, partition, first, end))
        ]

    def close(self) -> None:
        self._connection.close()


class SqliteFile(ReadableFile):
    """A log's file, to write. Opening also raises `Fault` while another process writes it."""

    def __init__(self, path: Path) -> None:
        self._lock = None if path == IN_MEMORY else _locked(path.resolve())
        self._connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, timeout=1
        )
        try:
            self._connection.execute("PRAGMA journal_mode = WAL")
            # NORMAL, the default of WAL, would lose the last acknowledged commits in a power cut.
            self._connection.execute("PRAGMA synchronous = FULL")
            ((written,),) = self._connection.execute("SELECT COUNT(*) FROM sqlite_master")
            if not written:
                self._connection.execute(f"PRAGMA user_version = {DATA_FORMAT}")
            self._check_format(path.parent)
            self._connection.execute(_SCHEMA)
            self._connection.execute(_PROBE_SCHEMA)
            self._connection.execute(_SEQ_SCHEMA)
        except BaseException:
            self.close()
            raise

    def insert(
        self, seq: int, records: Iterable[tuple[Encoded, Position]], appended_at_ms: int
    ) -> None:
        """Store the records under `seq` and the following numbers: all or none, durable on return."""
        rows = [
            (
                number,
                position.topic,
                position.partition,
                position.offset,
                encoded.key,
                encoded.value,
                _packed(encoded.headers),
                appended_at_ms,
            )
            for number, (encoded, position) in enumerate(records, start=seq)
        ]
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(_INSERT, rows)

    def last_seq(self) -> int:
        """The highest `seq` that a record has or had; 0 if there was none."""
        ((seq,),) = self._connection.execute(_LAST_SEQ)
        return int(seq)

    def delete(self, topics: Collection[str]) -> None:
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute(_KEEP_SEQ)
            self._connection.execute(_DELETE, (_json(topics),))

    def probe(self) -> None:
        """Write as an append does, durably: a file that can be read may be on a full disk."""
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute(_PROBE, (_PROBE_BYTES,))

    def close(self) -> None:
        self._connection.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _locked(path: Path) -> int:
    """The log's directory, open and locked: a file beside the log could be deleted, and then locked by a second writer. Raises `Fault`.

    A second writer would assign the same offsets; SQLite's own lock would keep readers away too.
    """
    try:
        lock = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise Fault(f"{path} can't be opened as a log: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise Fault(f"{path} is locked: another process writes a log in its directory") from error
    except OSError as error:
        os.close(lock)
        raise Fault(f"{path.parent} can't be locked: {error.strerror}") from error
    return lock


def _row(row: tuple[Any, ...]) -> Row:
    seq, topic, partition, offset, key, value, headers, appended_at_ms = row
    record = Record(topic, partition, offset, key, value, _unpacked(headers), appended_at_ms)
    return Row(seq, record)


def _json(topics: Collection[str]) -> str:
    return orjson.dumps(list(topics)).decode()


def _packed(headers: Sequence[tuple[str, bytes]]) -> str:
    # Latin-1 can hold any byte, and the file stays readable with `sqlite3`.
    return orjson.dumps({name: value.decode("latin-1") for name, value in headers}).decode()


def _unpacked(headers: str) -> dict[str, bytes]:
    return {name: value.encode("latin-1") for name, value in orjson.loads(headers).items()}
