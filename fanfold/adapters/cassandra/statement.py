"""Statements that a store registers with its session."""

from __future__ import annotations

from cassandra.query import PreparedStatement

from fanfold.adapters.cassandra.packed import Packing


class Statement:
    """CQL that is prepared at connecting. `conditional` marks a lightweight transaction that must not be sent twice."""

    def __init__(self, cql: str, *, conditional: bool) -> None:
        self.cql = cql
        self.conditional = conditional
        self.prepared: PreparedStatement | None = None
        self._packing: Packing | None = None

    def packing_of(self, prepared: PreparedStatement) -> Packing:
        """How to pack its rows, as it was last prepared."""
        if self._packing is None or self._packing.prepared is not prepared:
            self._packing = Packing(prepared)
        return self._packing
