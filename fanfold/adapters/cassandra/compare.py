"""Comparing the tables of two keyspaces, cell by cell, with the timestamps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from cassandra.cluster import Session
from cassandra.query import SimpleStatement

from fanfold.adapters.cassandra.connect import connect
from fanfold.adapters.cassandra.driver_errors import DRIVER_ERRORS, translated
from fanfold.adapters.cassandra.migrate import TIMEOUT_S
from fanfold.core.errors import Fault
from fanfold.core.settings import Settings

PROJECTED = (
    "users",
    "followers_by_user",
    "following_by_user",
    "mutes_by_user",
    "blocks_by_user",
    "posts",
    "posts_by_author",
    "author_buckets",
    "user_timeline",
    "celebrity_posts",
    "pulled_authors",
    "likes_by_user",
    "recent_likes_by_user",
    "fanout_jobs",
)
"""The tables that are projections of the log. `fanout_slices` and `newly_pulled` are left out: they hold when work was done."""

WHEN_WORK_WAS_DONE = {
    ("fanout_jobs", "started_at_ms"),
    ("pulled_authors", "until_ms"),
    ("pulled_authors", "announced"),
}
"""Columns that say when, and not what."""

MOST_EXAMPLES = 20
_ROWS = 1000
_COLUMNS = """
SELECT table_name, column_name, kind, position FROM system_schema.columns WHERE keyspace_name = %s
"""

Cells = tuple[Any, ...]
Rows = Mapping[Any, Cells]


@dataclass(slots=True)
class Compared:
    """The counts of a comparison. `differences` are examples: the table, the row's key, and its cells in each keyspace."""

    tables: int = 0
    rows: int = 0
    different: int = 0
    differences: list[tuple[str, Any, Cells | None, Cells | None]] = field(default_factory=list)

    def describe(self) -> str:
        return f"{self.rows:,} rows of {self.tables} tables, {self.different:,} different"


async def compare(
    settings: Settings, one: str, other: str, compared: Compared, show: Callable[[Compared], None]
) -> None:
    """Compare all projected tables, and count in `compared`. Raises `Unavailable`, and `Fault` for a keyspace that isn't there."""
    try:
        await asyncio.to_thread(_compare, settings, one, other, compared, show)
    except DRIVER_ERRORS as error:
        raise translated(error) from error


def _compare(
    settings: Settings, one: str, other: str, compared: Compared, show: Callable[[Compared], None]
) -> None:
    session = connect(settings, keyspace=None)
    try:
        columns, others = columns_of(session, one), columns_of(session, other)
        for keyspace, found in ((one, columns), (other, others)):
            if not found.keys() >= set(PROJECTED):
                raise Fault(f"there is no keyspace {keyspace} with the tables of Fanfold")
        for table in PROJECTED:
            if sorted(columns[table]) != sorted(others[table]):
                raise Fault(
                    f"the table {table} has other columns in {other} than in {one}: `fanfold schema migrate` brings both to one version"
                )
        for table in PROJECTED:
            compared.tables += 1
            select, keys = _select(table, columns[table])
            tables = [
                _by_token(session, select.format(keyspace=name), keys) for name in (one, other)
            ]
            for left, right in _side_by_side(*tables):
                _count(table, left, right, compared)
                show(compared)
    finally:
        session.cluster.shutdown()


def columns_of(session: Session, keyspace: str) -> dict[str, list[tuple[str, str, int]]]:
    """The columns of each table of a keyspace: name, kind, and position in the key."""
    found: dict[str, list[tuple[str, str, int]]] = {}
    for table, column, kind, position in session.execute(_COLUMNS, (keyspace,)):
        found.setdefault(table, []).append((column, kind, position))
    return found


def _select(table: str, columns: list[tuple[str, str, int]]) -> tuple[str, int]:
    """A statement for the token of the partition, the row's key, and each other column with its timestamp; and the key's columns."""
    partition, clustering = key_of(columns, "partition_key"), key_of(columns, "clustering")
    cells = sorted(
        name
        for name, kind, _ in columns
        if kind == "regular" and (table, name) not in WHEN_WORK_WAS_DONE
    )
    values = [f'"{name}", WRITETIME("{name}")' for name in cells]
    key = [*partition, *clustering]
    selected = ", ".join([f"token({', '.join(partition)})", *key, *values])
    # The names are Cassandra's own: those of its schema.
    return f"SELECT {selected} FROM {{keyspace}}.{table}", len(key)  # noqa: S608


def key_of(columns: list[tuple[str, str, int]], kind: str) -> list[str]:
    """The key's columns of this kind (`partition_key` or `clustering`), in order."""
    return [name for _, name in sorted((p, n) for n, k, p in columns if k == kind)]


Partition = tuple[int, Rows]


def _by_token(session: Session, select: str, keys: int) -> Iterator[Partition]:
    """The rows of each token, in the order of tokens, which is the same in every keyspace."""
    rows = session.execute(SimpleStatement(select, fetch_size=_ROWS), timeout=TIMEOUT_S)
    for token, of_token in groupby(rows, key=lambda row: row[0]):
        yield token, {tuple(row[1 : 1 + keys]): tuple(row[1 + keys :]) for row in of_token}


def _side_by_side(
    one: Iterator[Partition], other: Iterator[Partition]
) -> Iterator[tuple[Rows, Rows]]:
    """The rows of each token in both; none where a keyspace has none."""
    left, right = next(one, None), next(other, None)
    while left is not None or right is not None:
        token = min(found[0] for found in (left, right) if found is not None)
        here = left[1] if left is not None and left[0] == token else {}
        there = right[1] if right is not None and right[0] == token else {}
        yield here, there
        if left is not None and left[0] == token:
            left = next(one, None)
        if right is not None and right[0] == token:
            right = next(other, None)


def _count(table: str, one: Rows, other: Rows, compared: Compared) -> None:
    for key in one.keys() | other.keys():
        compared.rows += 1
        here, there = one.get(key), other.get(key)
        if here != there:
            compared.different += 1
            if len(compared.differences) < MOST_EXAMPLES:
                compared.differences.append((table, key, here, there))
