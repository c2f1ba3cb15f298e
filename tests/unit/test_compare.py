"""`fanfold compare` refuses keyspaces whose tables can't be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace

import pytest

from fanfold.adapters.cassandra import compare as module
from fanfold.adapters.cassandra.compare import PROJECTED, Compared, compare
from fanfold.core.errors import Fault
from fanfold.core.settings import Settings

Columns = Sequence[tuple[str, str, str, int]]

TABLES = [(table, "id", "partition_key", 0) for table in PROJECTED]


class Keyspaces:
    """A session of a Cassandra that has these keyspaces, all of whose tables are empty."""

    def __init__(self, columns: Mapping[str, Columns]) -> None:
        self._columns = columns
        self.cluster = SimpleNamespace(shutdown=lambda: None)

    def execute(
        self, statement: object, values: tuple[str] | None = None, timeout: float = 0
    ) -> Columns:
        del statement, timeout
        return self._columns.get(values[0], ()) if values else ()


async def compared(monkeypatch: pytest.MonkeyPatch, keyspaces: Mapping[str, Columns]) -> Compared:
    monkeypatch.setattr(module, "connect", lambda *_, **__: Keyspaces(keyspaces))
    found = Compared()
    await compare(Settings(), "one", "two", found, lambda _: None)
    return found


async def test_two_keyspaces_of_one_version_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    found = await compared(monkeypatch, {"one": TABLES, "two": TABLES[::-1]})
    assert (found.tables, found.different) == (len(PROJECTED), 0)


@pytest.mark.parametrize("other", [[], TABLES[1:], [("local", "key", "partition_key", 0)]])
async def test_a_keyspace_without_the_tables_is_named(
    monkeypatch: pytest.MonkeyPatch, other: Columns
) -> None:
    with pytest.raises(Fault, match="no keyspace two with the tables"):
        await compared(monkeypatch, {"one": TABLES, "two": other})
    with pytest.raises(Fault, match="no keyspace one with the tables"):
        await compared(monkeypatch, {"one": other, "two": TABLES})


async def test_a_column_that_only_one_of_them_has_is_no_equality(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    newer = [*TABLES, ("posts", "edited_at_ms", "regular", -1)]
    for one, two in ((TABLES, newer), (newer, TABLES)):
        with pytest.raises(Fault, match="the table posts has other columns"):
            await compared(monkeypatch, {"one": one, "two": two})
