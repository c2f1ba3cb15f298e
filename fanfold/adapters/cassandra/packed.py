"""Batches of rows that are serialised already: the driver's own batch takes ten times as much Python for each row.

`ProtocolHandler.encode_message` is the driver's documented hook for another encoding. Routing, timeouts, retries and
re-preparing are still the driver's.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Any

from cassandra.protocol import BatchMessage, ProtocolHandler
from cassandra.query import BatchStatement, BatchType, PreparedStatement

_BODY_START = Struct(">BH")
_BODY_END = Struct(">HI")
length = Struct(">i").pack
"""The length prefix of a bound value on the wire."""
_NO_FLAGS = 0
PROTOCOL_VERSION = 5


PackedRow = tuple[bytes, bytes]
"""The serialised partition key that routes a row, and the row on the wire."""


class Packing:
    """Packs rows of one prepared statement. Its first markers must be the partition key's columns, in order."""

    def __init__(self, prepared: PreparedStatement) -> None:
        self._types = [column.type for column in prepared.column_metadata]
        self._key_columns = len(prepared.routing_key_indexes)
        query_id: bytes = prepared.query_id
        prepared_kind = b"\x01"
        self.row_start = (
            prepared_kind + len(query_id).to_bytes(2) + query_id + len(self._types).to_bytes(2)
        )
        """The bytes before the values of every row."""

    def values(self, first: int, *bound: Any) -> bytes:
        """The values of the markers from number `first` on, serialised."""
        return _values(self._serialised(first, bound))

    def row(self, *bound: Any) -> PackedRow:
        """A whole row."""
        serialised = self._serialised(0, bound)
        key = serialised[: self._key_columns]
        routing_key = key[0] if len(key) == 1 else b"".join(_component(column) for column in key)
        return routing_key, self.row_start + _values(serialised)

    def _serialised(self, first: int, bound: Sequence[Any]) -> list[bytes]:
        types = self._types[first : first + len(bound)]
        return [
            column_type.serialize(value, PROTOCOL_VERSION)
            for column_type, value in zip(types, bound, strict=True)
        ]


def _values(serialised: list[bytes]) -> bytes:
    return b"".join([part for value in serialised for part in (length(len(value)), value)])


def _component(serialised: bytes) -> bytes:
    """One column of a partition key that has several."""
    return len(serialised).to_bytes(2) + serialised + b"\x00"


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
