"""Packed rows are what the driver would send."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from cassandra.cqltypes import BooleanType, Int32Type, LongType, UUIDType, VarcharType
from cassandra.query import UNSET_VALUE

from fanfold.adapters.cassandra.packed import PROTOCOL_VERSION, Packing, length

POST = UUID("01a3185c-4f39-733b-a192-09edf9c04ddf")


def a_packing(*types: Any, key: tuple[int, ...] = (0,)) -> Packing:
    columns = [SimpleNamespace(type=column_type) for column_type in types]
    prepared: Any = SimpleNamespace(
        column_metadata=columns, routing_key_indexes=key, query_id=b"statement"
    )
    return Packing(prepared)


@pytest.mark.parametrize(
    ("column_type", "value"),
    [
        (VarcharType, "alice"),
        (VarcharType, "Zoë €"),
        (VarcharType, ""),
        (UUIDType, POST),
        (LongType, -1),
        (LongType, 2**63 - 1),
        (Int32Type, -1),
        (Int32Type, 2**31 - 1),
        (BooleanType, True),
        (BooleanType, False),
    ],
)
def test_a_value_is_packed_as_the_driver_serialises_it(column_type: Any, value: Any) -> None:
    packing = a_packing(column_type)
    serialised = column_type.serialize(value, PROTOCOL_VERSION)
    assert packing.values(0, value) == length(len(serialised)) + serialised
    routing_key, wire = packing.row(value)
    assert routing_key == serialised
    assert wire == packing.row_start + packing.values(0, value)


MIXED = (VarcharType, Int32Type, UUIDType, VarcharType, BooleanType, LongType, LongType)
A_ROW = ("alice", 7, POST, "Zoë", True, -1, 2**40)


@pytest.mark.parametrize("unset", [None, *range(len(A_ROW))])
def test_a_whole_row_is_its_values_one_after_the_other(unset: int | None) -> None:
    packing = a_packing(*MIXED, key=(3, 2) if unset in (0, 1) else (0, 1))
    row = [UNSET_VALUE if index == unset else value for index, value in enumerate(A_ROW)]
    assert packing.row(*row)[1] == packing.row_start + packing.values(0, *row)


def test_a_row_routes_by_text_id_and_number() -> None:
    key, _ = a_packing(*MIXED, key=(0, 2, 1)).row(*A_ROW)
    number = (7).to_bytes(4)
    assert key == b"\0\5alice\0" + b"\0\x10" + POST.bytes + b"\0" + b"\0\4" + number + b"\0"


def test_a_row_with_a_value_too_few_or_of_another_type_is_refused() -> None:
    packing = a_packing(*MIXED)
    with pytest.raises(TypeError):
        packing.row(*A_ROW[:-1])
    with pytest.raises(struct.error):
        packing.row(*A_ROW[:-1], "late")


def test_a_value_that_is_not_set_leaves_its_column_alone() -> None:
    packing = a_packing(VarcharType, LongType)
    assert packing.values(0, "alice", UNSET_VALUE) == packing.values(0, "alice") + length(-2)


def test_the_partition_key_is_found_wherever_its_markers_are() -> None:
    packing = a_packing(LongType, VarcharType, Int32Type, key=(1, 2))
    routing_key, _ = packing.row(5, "alice", 7)
    alice, seven = b"alice", (7).to_bytes(4)
    assert routing_key == b"\0\5" + alice + b"\0" + b"\0\4" + seven + b"\0"
    assert a_packing(LongType, VarcharType, key=(1,)).row(5, "alice")[0] == alice
