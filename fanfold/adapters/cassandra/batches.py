"""Rows as UNLOGGED batches, each for one set of replicas, a bounded number in flight.

Rows of many callers travel together. With the reads in lists likewise (`multi_get`), a like costs the worker a quarter and Cassandra a third of what it costs
with a statement for each row (docs/decisions/0044).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable, Iterable
from functools import partial
from typing import Any

from fanfold.adapters.cassandra.gathering import Gathering
from fanfold.adapters.cassandra.packed import PackedBatch, PackedRow, PackedRows
from fanfold.adapters.cassandra.replica_sets import ReplicaSets
from fanfold.adapters.cassandra.session import CassandraSession
from fanfold.adapters.cassandra.statement import Statement
from fanfold.adapters.cassandra.window import Window
from fanfold.core.settings import Settings

# Cassandra refuses a batch over 50 KiB, measured in its own, larger form of the rows.
MAX_BATCH_BYTES = 24 * 1024


class _Call:
    """One caller of `write`: how many batches with its rows are not answered."""

    __slots__ = ("batches", "done", "error")

    def __init__(self) -> None:
        self.batches = 0
        self.done: asyncio.Future[None] | None = None
        self.error: BaseException | None = None

    def answered(self, error: BaseException | None) -> None:
        self.batches -= 1
        self.error = self.error or error
        if not self.batches and self.done is not None and not self.done.done():
            self.done.set_result(None)

    async def all_answered(self) -> None:
        if self.batches:
            self.done = asyncio.get_running_loop().create_future()
            await self.done


class _Batch:
    __slots__ = ("alone", "calls", "last_call", "routing_key", "size", "wires")

    def __init__(self, routing_key: bytes) -> None:
        self.routing_key = routing_key
        self.wires: list[bytes] = []
        self.size = 0
        self.calls: list[_Call] = []
        # Callers with a single row.
        self.alone: list[asyncio.Future[None]] = []
        self.last_call: _Call | None = None


class BatchWriter:
    """Bounds its batches in flight, and lets rows of all callers share them. A process has one for large pushes and one for all else."""

    def __init__(
        self,
        session: CassandraSession,
        settings: Settings,
        replica_sets: ReplicaSets,
        *,
        in_flight: int,
    ) -> None:
        self._session = session
        self._keyspace = settings.cassandra_keyspace
        self._replica_sets = replica_sets
        self._rows = settings.write_batch_rows
        self._window = Window(in_flight)
        # Batches that may still grow, by their replicas.
        self._open: dict[Hashable, _Batch] = {}
        self._open_rows = 0
        self._most_open_rows = settings.write_batch_rows * in_flight
        # Batches that may not grow, and wait for room. A caller adds no row while there are any.
        self._full: deque[_Batch] = deque()
        self._drained = asyncio.Event()
        self._gathering = Gathering(self._send_what_fits)

    async def write_row(self, statement: Statement, *values: Any) -> None:
        """Write one row: the values of a statement. Raises `Unavailable`."""
        row = self._session.packing(statement).row(*values)
        group_of = self._replica_sets.group_of()
        # The same as `write` for one row, at half of the cost: most of what a worker writes are single rows.
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        batch = self._add(row, group_of(row[0]) if group_of else None)
        batch.alone.append(answered)
        if len(batch.wires) >= self._rows or self._open_rows >= self._most_open_rows:
            self._close(max(self._open, key=self._rows_of))
        self._gathering.join()
        await answered

    async def write(self, rows: Iterable[PackedRow]) -> int:
        """Write all rows, and take them from `rows` only as fast as they are written. Returns their number.

        Raises `Unavailable` if a batch fails, once no row of the call is in flight any more.
        """
        call, count = _Call(), 0
        open_batches = self._open
        try:
            group_of = self._replica_sets.group_of()
            # `_add` written out, because a large audience has many rows.
            for routing_key, wire in rows:
                group = group_of(routing_key) if group_of else None
                batch = open_batches.get(group)
                if batch is None or batch.size + len(wire) > MAX_BATCH_BYTES:
                    batch = self._new_batch(group, routing_key)
                if batch.last_call is not call:
                    batch.last_call = call
                    batch.calls.append(call)
                    call.batches += 1
                batch.wires.append(wire)
                batch.size += len(wire)
                self._open_rows += 1
                count += 1
                if len(batch.wires) >= self._rows or self._open_rows >= self._most_open_rows:
                    self._close(max(open_batches, key=self._rows_of))
                    if self._full:
                        await self._drained.wait()
                        if call.error is not None:
                            break
        finally:
            self._gathering.join()
            await call.all_answered()
        if call.error is not None:
            raise call.error
        return count

    def _add(self, row: PackedRow, group: Hashable) -> _Batch:
        routing_key, wire = row
        batch = self._open.get(group)
        if batch is None or batch.size + len(wire) > MAX_BATCH_BYTES:
            batch = self._new_batch(group, routing_key)
        batch.wires.append(wire)
        batch.size += len(wire)
        self._open_rows += 1
        return batch

    def _new_batch(self, group: Hashable, routing_key: bytes) -> _Batch:
        if group in self._open:
            self._close(group)
        batch = self._open[group] = _Batch(routing_key)
        return batch

    def _rows_of(self, group: Hashable) -> int:
        return len(self._open[group].wires)

    def _close(self, group: Hashable) -> None:
        """No more rows for this batch: send it as soon as there is room."""
        batch = self._open.pop(group)
        self._open_rows -= len(batch.wires)
        self._full.append(batch)
        self._send_full()

    def _send_full(self) -> None:
        while self._full and self._window.has_room():
            self._send(self._full.popleft())
        if self._full:
            self._drained.clear()
        else:
            self._drained.set()

    def _send_what_fits(self) -> None:
        """Full batches first. The others go on growing while there is no room for them."""
        self._send_full()
        while self._open and self._window.has_room():
            batch = self._open.pop(next(iter(self._open)))
            self._open_rows -= len(batch.wires)
            self._send(batch)

    def _send(self, batch: _Batch) -> None:
        self._window.enter()
        rows = PackedRows(len(batch.wires), b"".join(batch.wires))
        sent = self._session.send(
            PackedBatch(rows, keyspace=self._keyspace, routing_key=batch.routing_key)
        )
        sent.add_done_callback(partial(self._answered, batch))

    def _answered(self, batch: _Batch, sent: asyncio.Future[Any]) -> None:
        error = sent.exception()
        self._window.leave(answered=error is None)
        for call in batch.calls:
            call.answered(error)
        for answered in batch.alone:
            if answered.done():
                continue
            if error is None:
                answered.set_result(None)
            else:
                answered.set_exception(error)
        self._send_what_fits()
