"""Callers of `write_row`: what many of them send together, and what each is answered."""

from __future__ import annotations

import asyncio
from typing import Any

from fanfold.adapters.cassandra.batches import BatchWriter
from fanfold.adapters.cassandra.packed import PackedRow
from fanfold.core.errors import Unavailable
from tests.unit.test_batches import Ring, Session, a_writer, rows_of, some_rows


class OneRow:
    """Packs a row whose values are its key and its bytes."""

    def row(self, key: bytes, wire: bytes) -> PackedRow:
        return key, wire


class PackingSession(Session):
    """A session that also packs rows."""

    def packing(self, _statement: object) -> OneRow:
        return OneRow()


async def written_alone(writer: BatchWriter, rows: list[PackedRow]) -> list[BaseException | None]:
    statement: Any = None
    return await asyncio.gather(
        *(writer.write_row(statement, *row) for row in rows), return_exceptions=True
    )


async def test_single_rows_of_many_callers_share_batches_as_far_as_they_are_full() -> None:
    session = PackingSession(Ring(nodes=3, replicas=3))
    rows = some_rows(250)
    assert await written_alone(a_writer(session), rows) == [None] * 250
    assert sorted(len(batch._statements_and_parameters) for batch in session.sent) == [50, 100, 100]
    assert sorted(rows_of(session.sent)) == sorted(wire for _, wire in rows)


async def test_the_callers_of_a_batch_that_fails_fail_and_no_others() -> None:
    session = PackingSession(Ring(nodes=3, replicas=3), fail_from=1)
    outcomes = await written_alone(a_writer(session), some_rows(150))
    assert [outcome is None for outcome in outcomes] == [True] * 100 + [False] * 50
    assert all(isinstance(outcome, Unavailable) for outcome in outcomes[100:])


async def test_a_cancelled_caller_leaves_its_row_in_the_batch_and_the_others_waiting() -> None:
    session = PackingSession(Ring(nodes=3, replicas=3), answer_at_once=False)
    writer, statement = a_writer(session), None
    first, second = (
        asyncio.ensure_future(writer.write_row(statement, *row))  # type: ignore[arg-type]
        for row in some_rows(2)
    )
    for _ in range(5):
        await asyncio.sleep(0)
    first.cancel()
    session.waiting[0].set_result(None)
    await second
    assert first.cancelled()
    assert rows_of(session.sent) == [wire for _, wire in some_rows(2)]
