from __future__ import annotations

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fanfold.adapters.memory.cells import ClusteredTable, Table

writes = st.lists(
    st.tuples(
        st.integers(0, 5), st.dictionaries(st.sampled_from("abc"), st.integers(0, 3), max_size=3)
    ),
    max_size=12,
)


@given(writes, st.integers())
def test_the_order_and_number_of_writes_leave_no_trace(
    written: list[tuple[int, dict[str, int]]], seed: int
) -> None:
    rng = random.Random(seed)
    again = [*written, *rng.choices(written, k=3)] if written else []
    rng.shuffle(again)
    in_order: Table[str] = Table()
    disturbed: Table[str] = Table()
    for timestamp, columns in written:
        in_order.write("row", timestamp, **columns)
    for timestamp, columns in again:
        disturbed.write("row", timestamp, **columns)
    assert in_order.row("row") == disturbed.row("row")


def test_the_higher_timestamp_stays_and_of_equal_ones_the_larger_value() -> None:
    table: Table[str] = Table()
    table.write("row", 2, name="new")
    table.write("row", 1, name="old")
    assert table.row("row") == {"name": "new"}
    table.write("row", 2, name="newer")
    table.write("row", 2, name="new")
    assert table.row("row") == {"name": "newer"}


def test_each_column_keeps_its_own_timestamp() -> None:
    table: Table[str] = Table()
    table.write("row", 5, name="alice")
    table.write("row", 1, name="bob", age=3)
    assert table.row("row") == {"name": "alice", "age": 3}


def test_a_row_without_columns_exists() -> None:
    table: Table[str] = Table()
    table.write("row", 1)
    assert table.row("row") == {}
    assert table.row("another") is None
    assert dict(table.items()) == {"row": {}}


@given(st.sets(st.integers(0, 20)), st.integers(0, 20), st.integers(0, 20))
def test_rows_come_in_clustering_order_between_the_bounds(
    keys: set[int], low: int, high: int
) -> None:
    table: ClusteredTable[str, int] = ClusteredTable()
    for key in keys:
        table.write("partition", key, 1, value=key)

    def found(**bounds: int) -> list[int]:
        rows: Any = table.rows
        return [key for key, _ in rows("partition", **bounds)]

    assert found() == sorted(keys)
    assert found(above=low) == [key for key in sorted(keys) if key > low]
    newest_first = [key for key, _ in table.rows("partition", below=high, descending=True)]
    assert newest_first == [key for key in sorted(keys, reverse=True) if key < high]
    if low <= high:
        assert found(at_least=low, below=high) == [key for key in sorted(keys) if low <= key < high]


def test_a_partition_never_written_has_no_rows() -> None:
    table: ClusteredTable[str, int] = ClusteredTable()
    assert list(table.rows("partition")) == []
    assert table.row("partition", 1) is None
