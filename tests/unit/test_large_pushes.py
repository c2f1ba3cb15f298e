"""A push to a large audience, and what other callers write meanwhile: without a server."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

from fanfold.adapters.cassandra.packed import PackedRow
from fanfold.adapters.cassandra.timelines import CassandraTimelines
from fanfold.core.ids import new_post_id
from fanfold.core.ports import Pointer
from fanfold.core.settings import Settings
from tests.support.clock import ManualClock
from tests.unit.test_batches import Ring, Session, a_writer

ROWS, IN_FLIGHT = 10, 2


class Packing:
    row_start = b""

    def values(self, _: int, *values: object) -> bytes:
        return b"values"

    def row(self, user_id: str, *values: object) -> PackedRow:
        return user_id.encode(), b"row"


class Statements(Session):
    """The parts of a session that timelines use."""

    def statement(self, cql: str, **_: object) -> str:
        return cql

    def packing(self, _: object) -> Packing:
        return Packing()


async def test_a_post_to_few_waits_for_no_batch_of_a_post_to_many() -> None:
    session: Any = Statements(Ring(1, 1), answer_at_once=False)
    clock = ManualClock()
    timelines = CassandraTimelines(
        session,
        batches=a_writer(session, rows=ROWS, in_flight=IN_FLIGHT),
        large_pushes=a_writer(session, rows=ROWS, in_flight=IN_FLIGHT),
        replica_sets=session,
        settings=Settings(write_batch_rows=ROWS),
        clock=clock,
    )
    pointer = Pointer(UUID(str(new_post_id(clock.now_ms()))), "bob")
    many, few = ([f"reader-{number}" for number in range(count)] for count in (1000, ROWS))
    large = asyncio.create_task(timelines.push([pointer], many))
    for _ in range(5):
        await asyncio.sleep(0)
    of_large = list(session.waiting)
    assert len(of_large) == IN_FLIGHT

    small = asyncio.create_task(timelines.push([pointer], few))
    for _ in range(5):
        await asyncio.sleep(0)
    (of_small,) = set(session.waiting) - set(of_large)
    of_small.set_result(None)
    assert await small == ROWS

    session.answer_at_once = True
    for answer in of_large:
        answer.set_result(None)
    assert await large == len(many)
