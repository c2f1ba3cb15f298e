"""Tables of last-write-wins cells, by Cassandra's rule.

A cell is written with a timestamp; the higher timestamp stays, and of two equal ones the larger value, so the
outcome doesn't depend on the order or the number of writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable, Iterator
from itertools import islice
from typing import Any, Generic, NamedTuple, TypeVar

from sortedcontainers import SortedDict

P = TypeVar("P", bound=Hashable)
C = TypeVar("C", bound=Hashable)

PAGE_ROWS = 1000

Row = dict[str, Any]
"""A row as read: column to value. A column never written is absent."""


class Cell(NamedTuple):
    """A value and its timestamp, compared in Cassandra's order: by timestamp, then by value."""

    timestamp: int
    value: Any


Cells = dict[str, Cell]


class Table(Generic[P]):
    """Rows by their key."""

    def __init__(self) -> None:
        self._rows: dict[P, Cells] = {}

    def write(self, key: P, timestamp: int, /, **columns: Any) -> None:
        """Write cells of one row. Without columns, only the row itself."""
        _write(self._rows.setdefault(key, {}), timestamp, columns)

    def row(self, key: P) -> Row | None:
        """One row, or None."""
        cells = self._rows.get(key)
        return None if cells is None else _read(cells)

    def items(self) -> Iterator[tuple[P, Row]]:
        """All rows."""
        return ((key, _read(cells)) for key, cells in self._rows.items())


class ClusteredTable(Generic[P, C]):
    """Rows under a partition key and, in its order, a clustering key."""

    def __init__(self) -> None:
        self._partitions: dict[P, SortedDict] = {}

    def write(self, partition: P, clustering: C, timestamp: int, /, **columns: Any) -> None:
        """Write cells of one row. Without columns, only the row itself."""
        rows = self._partitions.get(partition)
        if rows is None:
            rows = self._partitions[partition] = SortedDict()
        _write(rows.setdefault(clustering, {}), timestamp, columns)

    def row(self, partition: P, clustering: C) -> Row | None:
        """One row, or None."""
        cells = self._partitions.get(partition, {}).get(clustering)
        return None if cells is None else _read(cells)

    def remove(self, partition: P) -> None:
        """Remove a partition, as its expiry does. Idempotent."""
        self._partitions.pop(partition, None)

    def partitions(self) -> list[P]:
        """The key of every partition with a row."""
        return list(self._partitions)

    def rows(
        self,
        partition: P,
        *,
        at_least: C | None = None,
        above: C | None = None,
        below: C | None = None,
        descending: bool = False,
    ) -> Iterator[tuple[C, Row]]:
        """The rows of a partition between the bounds, in clustering order or its reverse."""
        rows = self._partitions.get(partition)
        if rows is None:
            return
        low = above if at_least is None else at_least
        inclusive = (at_least is not None, False)
        for clustering in rows.irange(low, below, inclusive=inclusive, reverse=descending):
            yield clustering, _read(rows[clustering])

    async def pages(
        self, partition: P, *, above: C | None = None
    ) -> AsyncIterator[list[tuple[C, Row]]]:
        """The rows of a partition above the bound, in clustering order, with a turn for the event loop between two pages."""
        while page := list(islice(self.rows(partition, above=above), PAGE_ROWS)):
            yield page
            if len(page) < PAGE_ROWS:
                return
            above = page[-1][0]
            await asyncio.sleep(0)


def _write(cells: Cells, timestamp: int, columns: Row) -> None:
    for column, value in columns.items():
        offered = Cell(timestamp, value)
        held = cells.get(column)
        if held is None or offered > held:
            cells[column] = offered


def _read(cells: Cells) -> Row:
    return {column: cell.value for column, cell in cells.items()}
