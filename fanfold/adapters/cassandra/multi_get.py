"""Rows by key in few statements: `IN` lists, each for one set of replicas. Keys of many callers share them.

A hundred rows by single statements cost the client 10 to 12 ms of CPU, in lists of 25 they cost 1.6 to 2; one list of all of
them costs less still, but its server works through it alone, so it takes twice as long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Hashable, Sequence
from math import prod
from typing import Any, Generic, TypeVar

from cassandra.query import BoundStatement

from fanfold.adapters.cassandra.gathering import Gathering
from fanfold.adapters.cassandra.replica_sets import ReplicaSets
from fanfold.adapters.cassandra.session import CassandraSession, Row
from fanfold.adapters.cassandra.statement import Statement

K = TypeVar("K", bound=Hashable)

KEYS_IN_A_LIST = 25
KEYS_OF_ONE_CELL = 100
"""For statements that select one small cell of each row: there the statement costs more than the rows."""
COMBINATIONS_IN_A_LIST = 150
"""Of the values of keys with several columns. The server looks up each combination."""

_NONE: Sequence[None] = (None,)


class MultiGet(Generic[K]):
    """Reads by keys: the columns that a statement names by `IN ?`. They must be its first markers, and the first columns that it selects.

    A key of several columns is a tuple, and its first column must be one of the partition key. A list of such keys asks for every combination of
    their values: a hundred for a hundred keys of one user, or for ten keys that have nothing in common. The other markers are the same for
    all keys of a call. `routing_key` serialises the partition key of a key and these others. `most_keys`: in a list.
    """

    def __init__(
        self,
        session: CassandraSession,
        statement: Statement,
        *,
        replica_sets: ReplicaSets,
        routing_key: Callable[..., bytes],
        columns: int = 1,
        most_keys: int = KEYS_IN_A_LIST,
    ) -> None:
        self._session = session
        self._statement = statement
        self._replica_sets = replica_sets
        self._routing_key = routing_key
        self._columns = columns
        self._most_keys = most_keys
        self._open: dict[Hashable, _List] = {}
        self._asking: set[asyncio.Future[None]] = set()
        self._gathering = Gathering(self._ask_all)

    async def rows(self, keys: Collection[K], *others: Any) -> list[Row]:
        """The rows that exist, key by key. Raises `Unavailable`: one list that fails fails all."""
        asked: dict[K, _List] = {}
        group_of = self._replica_sets.group_of()
        for key in keys:
            if key not in asked:
                group = group_of(self._routing_key(key, *others)) if group_of else None
                asked[key] = self._add(key, others, group)
        for some in dict.fromkeys(asked.values()):
            await some.answered()
        return [row for key, some in asked.items() for row in some.found.get(key, ())]

    async def row(self, key: K, *others: Any) -> Row | None:
        """The row of a key that has at most one."""
        group_of = self._replica_sets.group_of()
        group = group_of(self._routing_key(key, *others)) if group_of else None
        some = self._add(key, others, group)
        await some.answered()
        return some.found.get(key, _NONE)[0]

    def _add(self, key: K, others: tuple[Any, ...], group: Hashable) -> _List:
        some = self._open.get((group, others))
        if some is None:
            some = self._open[group, others] = _List(key, others, self._columns)
        some.add(key)
        if some.is_full(self._most_keys):
            self._ask(self._open.pop((group, others)))
        else:
            self._gathering.join()
        return some

    def _ask_all(self) -> None:
        while self._open:
            self._ask(self._open.popitem()[1])

    def _ask(self, some: _List) -> None:
        asking = asyncio.ensure_future(self._answer(some))
        # The loop itself keeps only a weak reference.
        self._asking.add(asking)
        asking.add_done_callback(self._asking.discard)

    async def _answer(self, some: _List) -> None:
        try:
            asked = _Routed(self._session.prepared(self._statement)).bind(some.bound())
            asked.routing_key = self._routing_key(some.first, *some.others)
            some.answer(await self._session.rows_of(asked))
        except Exception as error:  # noqa: BLE001 - raised where it is awaited
            some.fail(error)


class _List:
    """Keys that are asked together, and what was found of each."""

    def __init__(self, first: Any, others: tuple[Any, ...], columns: int) -> None:
        self.first = first
        self.others = others
        self.found: dict[Any, list[Row]] = {}
        self._values: list[dict[Any, None]] = [{} for _ in range(columns)]
        self._error: BaseException | None = None
        self._is_answered = False
        self._waiting: list[asyncio.Future[None]] = []

    def add(self, key: Any) -> None:
        if len(self._values) == 1:
            self._values[0][key] = None
            return
        for values, value in zip(self._values, key, strict=True):
            values[value] = None

    def is_full(self, most_keys: int) -> bool:
        return (
            len(self._values[0]) >= most_keys
            or prod(map(len, self._values)) >= COMBINATIONS_IN_A_LIST
        )

    def bound(self) -> tuple[Any, ...]:
        return (*map(list, self._values), *self.others)

    async def answered(self) -> None:
        """Return when it is answered. Raises what asking raised."""
        if not self._is_answered:
            # A future for each caller: one that is cancelled doesn't cancel the others.
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            await waiter
        if self._error is not None:
            raise self._error

    def answer(self, rows: list[Row]) -> None:
        columns = len(self._values)
        for row in rows:
            self.found.setdefault(row[0] if columns == 1 else row[:columns], []).append(row)
        self._end()

    def fail(self, error: BaseException) -> None:
        self._error = error
        self._end()

    def _end(self) -> None:
        self._is_answered = True
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)


class _Routed(BoundStatement):  # type: ignore[misc]
    """Sent to a replica of `routing_key`. The driver finds that key in no list."""

    routing_key: bytes | None = None
