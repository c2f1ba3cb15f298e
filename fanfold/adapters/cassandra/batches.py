"""Many rows of one statement as UNLOGGED batches, each for one set of replicas, a bounded number in flight."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Iterable
from typing import Any

from fanfold.adapters.cassandra.packed import PackedBatch, PackedRow, PackedRows
from fanfold.adapters.cassandra.replica_sets import ReplicaSets
from fanfold.adapters.cassandra.session import CassandraSession
from fanfold.adapters.cassandra.window import Window
from fanfold.core.settings import Settings

# Cassandra refuses a batch over 50 KiB, measured in its own, larger form of the rows.
MAX_BATCH_BYTES = 24 * 1024


class _OpenBatch:
    __slots__ = ("routing_key", "size", "wires")

    def __init__(self, routing_key: bytes) -> None:
        self.routing_key = routing_key
        self.wires: list[bytes] = []
        self.size = 0


class BatchWriter:
    """A process has one, which bounds its batches in flight."""

    def __init__(
        self, session: CassandraSession, settings: Settings, replica_sets: ReplicaSets
    ) -> None:
        self._session = session
        self._settings = settings
        self._replica_sets = replica_sets
        self._rows = settings.write_batch_rows
        self._window = Window(settings.writes_in_flight)
        # The most rows of a call, over all groups, that wait until their batch is full.
        self._most_open_rows = settings.write_batch_rows * settings.writes_in_flight

    async def write(self, rows: Iterable[PackedRow]) -> int:
        """Write all rows, and take them from `rows` only as fast as they are written. Returns their number.

        Raises `Unavailable` if a batch fails, once no batch of the call is in flight any more.
        """
        sending = _Sending(self._session, self._window, self._settings.cassandra_keyspace)
        try:
            for batch in self._batches(rows):
                await sending.send(batch)
                if sending.error is not None:
                    break
        finally:
            await sending.all_answered()
        return sending.rows

    def _batches(self, rows: Iterable[PackedRow]) -> Iterable[_OpenBatch]:
        group_of = self._replica_sets.group_of()
        most_rows, most_open = self._rows, self._most_open_rows
        open_batches: dict[Hashable, _OpenBatch] = {}
        open_rows = 0
        for routing_key, wire in rows:
            group = group_of(routing_key) if group_of else None
            batch = open_batches.get(group)
            if batch is None:
                batch = open_batches[group] = _OpenBatch(routing_key)
            batch.wires.append(wire)
            batch.size += len(wire)
            open_rows += 1
            full = len(batch.wires) >= most_rows or batch.size >= MAX_BATCH_BYTES
            if not full and open_rows < most_open:
                continue
            if not full:
                group = max(
                    open_batches, key=lambda open_group: len(open_batches[open_group].wires)
                )
            batch = open_batches.pop(group)
            open_rows -= len(batch.wires)
            yield batch
        yield from open_batches.values()


class _Sending:
    """The batches of one call that are in flight."""

    def __init__(self, session: CassandraSession, window: Window, keyspace: str) -> None:
        self._session = session
        self._window = window
        self._keyspace = keyspace
        self._waiting: set[asyncio.Future[Any]] = set()
        self.rows = 0
        self.error: BaseException | None = None

    async def send(self, batch: _OpenBatch) -> None:
        await self._window.enter()
        rows = PackedRows(len(batch.wires), b"".join(batch.wires))
        self.rows += rows.count
        sent = self._session.send(
            PackedBatch(rows, keyspace=self._keyspace, routing_key=batch.routing_key)
        )
        self._waiting.add(sent)
        sent.add_done_callback(self._answered)

    async def all_answered(self) -> None:
        if self._waiting:
            await asyncio.wait(self._waiting)
        if self.error is not None:
            raise self.error

    def _answered(self, sent: asyncio.Future[Any]) -> None:
        self._waiting.discard(sent)
        error = sent.exception()
        self._window.leave(answered=error is None)
        self.error = self.error or error
