"""Batches of rows that are serialised already: the driver's own batch takes ten times as much Python for each row.

`ProtocolHandler.encode_message` is the driver's documented hook for another encoding. Routing, timeouts, retries and
re-preparing are still the driver's.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from struct import Struct
from typing import Any

from cassandra.cqltypes import (
    BooleanType,
    Int32Type,
    LongType,
    UUIDType,
    VarcharType,
)
from cassandra.protocol import BatchMessage, ProtocolHandler
from cassandra.query import UNSET_VALUE, BatchStatement, BatchType, PreparedStatement

_BODY_START = Struct(">BH")
_BODY_END = Struct(">HI")
length = Struct(">i").pack
"""The length prefix of a bound value on the wire."""
_LENGTH_BYTES = 4
_UUID_LENGTH = length(16)
_UNSET = length(-2)
_NO_FLAGS = 0
PROTOCOL_VERSION = 5


PackedRow = tuple[bytes, bytes]
"""The serialised partition key that routes a row, and the row on the wire."""


def _packed_text(value: str) -> bytes:
    encoded = value.encode()
    return length(len(encoded)) + encoded


# A bound value on the wire: its length and its bytes. The driver's own functions take several times as long.
_PACKED: dict[type, Callable[[Any], bytes]] = {
    VarcharType: _packed_text,
    UUIDType: lambda value: _UUID_LENGTH + value.bytes,
    LongType: partial(Struct(">iq").pack, 8),
    Int32Type: partial(Struct(">ii").pack, 4),
    BooleanType: partial(Struct(">i?").pack, 1),
}


# The fixed sizes, and their formats.
_FIXED: dict[type, tuple[int, str]] = {
    UUIDType: (16, "16s"),
    LongType: (8, "q"),
    Int32Type: (4, "i"),
    BooleanType: (1, "b"),  # "?" takes anything, also what marks a value as unset
}


class Packing:
    """Packs rows of one prepared statement, which binds the whole partition key."""

    def __init__(self, prepared: PreparedStatement) -> None:
        self.prepared = prepared
        self._packed = [_PACKED[column.type] for column in prepared.column_metadata]
        self._key_indexes: Sequence[int] = prepared.routing_key_indexes
        query_id: bytes = prepared.query_id
        prepared_kind = b"\x01"
        self.row_start = (
            prepared_kind + len(query_id).to_bytes(2) + query_id + len(self._packed).to_bytes(2)
        )
        """The bytes before the values of every row."""
        types = [column.type for column in prepared.column_metadata]
        self._quick_row = _row_function(types, self._key_indexes, self.row_start)

    def values(self, first: int, *bound: Any) -> bytes:
        """The values of the markers from number `first` on, serialised."""
        return b"".join(_values(self._packed[first : first + len(bound)], bound))

    def row(self, *bound: Any) -> PackedRow:
        """A whole row."""
        try:
            return self._quick_row(*bound)
        except (AttributeError, struct.error):
            # A value is unset, or wrong.
            return self._row(bound)

    def _row(self, bound: Sequence[Any]) -> PackedRow:
        values = _values(self._packed, bound)
        key = [values[index][_LENGTH_BYTES:] for index in self._key_indexes]
        return routing_key(*key), self.row_start + b"".join(values)


def _values(packed: Sequence[Callable[[Any], bytes]], bound: Sequence[Any]) -> list[bytes]:
    return [
        _UNSET if value is UNSET_VALUE else pack(value)
        for pack, value in zip(packed, bound, strict=True)
    ]


def routing_key(*columns: bytes) -> bytes:
    """The partition key of these serialised columns."""
    if len(columns) == 1:
        return columns[0]
    return b"".join([len(column).to_bytes(2) + column + b"\x00" for column in columns])


def _row_function(
    types: Sequence[type], key_indexes: Sequence[int], row_start: bytes
) -> Callable[..., PackedRow]:
    """`Packing.row` for values that are all set, written out for these columns: a third of the time of a loop over them.

    Raises `AttributeError` or `struct.error` for a value that is unset or of another type. Only types and numbers are in its source.
    """
    known: dict[str, Any] = {"length": length, "join": b"".join, "routing_key": routing_key}
    lines, parts = [], [repr(row_start)]
    for is_text, run in groupby(range(len(types)), key=lambda index: types[index] is VarcharType):
        columns = list(run)
        if is_text:
            lines += [f"raw{index} = value{index}.encode()" for index in columns]
            parts += [f"length(len(raw{index})), raw{index}" for index in columns]
            continue
        sizes_and_formats = [_FIXED[types[index]] for index in columns]
        known[f"pack{columns[0]}"] = Struct(
            ">" + "".join(f"i{letters}" for _, letters in sizes_and_formats)
        ).pack
        uuids = {index for index in columns if types[index] is UUIDType}
        lines += [f"raw{index} = value{index}.bytes" for index in sorted(uuids)]
        packed = ", ".join(
            f"{size}, {'raw' if index in uuids else 'value'}{index}"
            for index, (size, _) in zip(columns, sizes_and_formats, strict=True)
        )
        parts.append(f"pack{columns[0]}({packed})")
    key = ", ".join(_raw(types[index], index, known) for index in key_indexes)
    names = ", ".join(f"value{index}" for index in range(len(types)))
    body = "\n    ".join([*lines, f"return routing_key({key}), join(({', '.join(parts)},))"])
    exec(f"def row({names}):\n    {body}", known)  # noqa: S102 - as the standard library makes named tuples
    row: Callable[..., PackedRow] = known["row"]
    return row


def _raw(column: type, index: int, known: dict[str, Any]) -> str:
    """The source of a key column's bytes without their length."""
    if column in (VarcharType, UUIDType):
        return f"raw{index}"
    known[f"key{index}"] = Struct(">" + _FIXED[column][1]).pack
    return f"key{index}(value{index})"


class PackedRows:
    """The rows of a batch, serialised one after the other."""

    __slots__ = ("count", "wire")

    def __init__(self, count: int, wire: bytes) -> None:
        self.count = count
        self.wire = wire

    def __len__(self) -> int:
        return self.count


class PackedBatch(BatchStatement):  # type: ignore[misc]
    """An UNLOGGED batch of packed rows for a replica of `routing_key`. It may be sent twice: its rows are idempotent."""

    def __init__(self, rows: PackedRows, *, keyspace: str, routing_key: bytes) -> None:
        super().__init__(BatchType.UNLOGGED)
        self._statements_and_parameters = rows
        self.is_idempotent = True
        # For routing only: the statement's id identifies the table.
        self.keyspace = keyspace
        self.routing_key = routing_key


class PackingProtocolHandler(ProtocolHandler):  # type: ignore[misc]
    """Encodes packed batches. The driver encodes every other message."""

    @classmethod
    def encode_message(cls, msg: Any, *args: Any, **options: Any) -> bytes:
        if isinstance(msg, BatchMessage) and isinstance(msg.queries, PackedRows):
            msg = _Raw(msg)
        encoded: bytes = ProtocolHandler.encode_message(msg, *args, **options)
        return encoded


class _Raw:
    """The message interface that `ProtocolHandler.encode_message` needs, for a packed batch on protocol 5."""

    opcode = BatchMessage.opcode

    def __init__(self, batch: Any) -> None:
        self._batch = batch
        self.custom_payload = batch.custom_payload
        self.tracing = batch.tracing

    def send_body(self, body: Any, _protocol_version: int) -> None:
        rows: PackedRows = self._batch.queries
        body.write(_BODY_START.pack(self._batch.batch_type.value, rows.count))
        body.write(rows.wire)
        body.write(_BODY_END.pack(self._batch.consistency_level, _NO_FLAGS))
