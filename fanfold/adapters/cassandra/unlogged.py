"""Copying the tables that the log does not hold into another keyspace, cell by cell, with their timestamps and what is left of their lives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from cassandra.concurrent import execute_concurrent
from cassandra.query import SimpleStatement

from fanfold.adapters.cassandra.compare import columns_of, key_of
from fanfold.adapters.cassandra.connect import connect
from fanfold.adapters.cassandra.driver_errors import DRIVER_ERRORS, translated
from fanfold.adapters.cassandra.migrate import TIMEOUT_S
from fanfold.core.settings import Settings

UNLOGGED = (
    "feed_reads",
    "activity_sweeps",
    "idempotency_keys",
    "revocations",
)
"""Without `cache_outages`, which are about what is cached of the old tables, `tickets`, which live for 30 seconds and are taken once, and
`topic_partitions`, which are those of the topics that the other keyspace is built from."""

_ROWS = 1000


class _Table(NamedTuple):
    select: str
    inserts: tuple[str, ...]
    """One for each column that is no part of the key, in the order of `select`."""
    key: int


async def copy_unlogged(settings: Settings, into: str, copied: Callable[[int], None]) -> None:
    """Copy them from the keyspace of the settings, and call `copied` with the number of rows so far.

    Idempotent: the newer of two cells stays. Raises `Unavailable`.
    """
    try:
        await asyncio.to_thread(_copy, settings, into, copied)
    except DRIVER_ERRORS as error:
        raise translated(error) from error


def _copy(settings: Settings, into: str, copied: Callable[[int], None]) -> None:
    number = 0
    session = connect(settings, keyspace=None)
    try:
        columns = columns_of(session, settings.cassandra_keyspace)
        # None where the tables in use are lost.
        for name in filter(columns.__contains__, UNLOGGED):
            table = _table(name, columns[name], settings.cassandra_keyspace, into)
            inserts = [session.prepare(insert) for insert in table.inserts]
            select = SimpleStatement(table.select, fetch_size=_ROWS)
            rows = iter(session.execute(select, timeout=TIMEOUT_S))
            while some := list(islice(rows, _ROWS)):
                cells = (cell for row in some for cell in _cells(row, table.key))
                execute_concurrent(session, [(inserts[column], values) for column, values in cells])
                number += len(some)
                copied(number)
    finally:
        session.cluster.shutdown()


def _table(name: str, columns: list[tuple[str, str, int]], one: str, other: str) -> _Table:
    key = [*key_of(columns, "partition_key"), *key_of(columns, "clustering")]
    cells = sorted(name for name, kind, _ in columns if kind == "regular")
    values = [f'"{cell}", WRITETIME("{cell}"), TTL("{cell}")' for cell in cells]
    # The names are Cassandra's own: those of its schema.
    return _Table(
        f"SELECT {', '.join([*key, *values])} FROM {one}.{name}",  # noqa: S608
        tuple(
            f'INSERT INTO {other}.{name} ({", ".join(key)}, "{cell}") VALUES ({", ".join("?" * (len(key) + 1))}) '  # noqa: S608
            "USING TIMESTAMP ? AND TTL ?"
            for cell in cells
        ),
        len(key),
    )


def _cells(row: tuple[Any, ...], key: int) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """The number of each column that has a value, and what its statement takes."""
    for column, first in enumerate(range(key, len(row), 3)):
        value, timestamp, ttl = row[first : first + 3]
        if value is not None:
            # 0 is for ever, also in a table that has a default.
            yield column, (*row[:key], value, timestamp, ttl or 0)
