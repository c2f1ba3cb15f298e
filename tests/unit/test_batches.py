"""How rows become batches: without a server, on rings that a laptop doesn't have."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from cassandra.metadata import Murmur3Token, murmur3

from fanfold.adapters.cassandra.batches import MAX_BATCH_BYTES, BatchWriter
from fanfold.adapters.cassandra.packed import PackedBatch, PackedRow
from fanfold.adapters.cassandra.replica_sets import ReplicaSets, group_by_replicas
from fanfold.core.errors import Unavailable
from fanfold.core.settings import Settings


@dataclass(frozen=True)
class Host:
    name: str
    datacenter: str = "datacenter1"


@dataclass
class Ring:
    """A token map: `nodes` nodes with four tokens each, every row on `replicas` neighbours."""

    nodes: int
    replicas: int
    elsewhere: bool = False

    def __post_init__(self) -> None:
        tokens = self.nodes * 4
        self.ring = [
            Murmur3Token(-(2**63) + (2**64 // tokens) * (number + 1) - 1)
            for number in range(tokens)
        ]

    def get_replicas(self, _keyspace: str, token: Murmur3Token) -> list[Host]:
        index = next(i for i, other in enumerate(self.ring) if token.value <= other.value)
        hosts = [Host(f"node{(index + i) % self.nodes}") for i in range(self.replicas)]
        return [*hosts, Host(f"far{index}", "elsewhere")] if self.elsewhere else hosts


@dataclass
class Session:
    """Accepts batches and answers them on request, or at the next turn of the loop."""

    ring: Ring
    answer_at_once: bool = True
    sent: list[PackedBatch] = field(default_factory=list)
    waiting: list[asyncio.Future[None]] = field(default_factory=list)
    fail_from: int | None = None

    @property
    def metadata(self) -> Any:
        return type("Metadata", (), {"token_map": self.ring})

    def send(self, batch: PackedBatch) -> asyncio.Future[None]:
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.fail_from is not None and len(self.sent) >= self.fail_from:
            answer.set_exception(Unavailable("away"))
        elif self.answer_at_once:
            answer.set_result(None)
        else:
            self.waiting.append(answer)
        self.sent.append(batch)
        return answer


def a_writer(session: Session, *, rows: int = 100, in_flight: int = 64) -> BatchWriter:
    settings = Settings(write_batch_rows=rows)
    replica_sets = ReplicaSets(session, settings)  # type: ignore[arg-type]
    return BatchWriter(session, settings, replica_sets, in_flight=in_flight)  # type: ignore[arg-type]


def some_rows(count: int, size: int = 20) -> list[PackedRow]:
    return [(f"user{number}".encode(), f"{number:0{size}}".encode()) for number in range(count)]


def rows_of(batches: list[PackedBatch], size: int = 20) -> list[bytes]:
    wires = [batch._statements_and_parameters.wire for batch in batches]
    return [wire[at : at + size] for wire in wires for at in range(0, len(wire), size)]


async def test_each_batch_holds_rows_of_one_replica_set_and_every_row_is_in_one() -> None:
    ring = Ring(nodes=6, replicas=3)
    session = Session(ring)
    rows = some_rows(2000)
    assert await a_writer(session).write(rows) == 2000
    assert sorted(rows_of(session.sent)) == sorted(wire for _, wire in rows)
    key_of = {wire: key for key, wire in rows}
    for batch in session.sent:
        holders = {
            frozenset(ring.get_replicas("", Murmur3Token(murmur3(key_of[wire]))))
            for wire in rows_of([batch])
        }
        assert len(holders) == 1
        assert holders == {
            frozenset(ring.get_replicas("", Murmur3Token(murmur3(batch.routing_key))))
        }


@pytest.mark.parametrize(("nodes", "replicas"), [(1, 1), (3, 3)])
async def test_where_every_node_holds_everything_batches_are_full(
    nodes: int, replicas: int
) -> None:
    session = Session(Ring(nodes, replicas))
    assert group_by_replicas(session.ring, Settings()) is None
    await a_writer(session, rows=100).write(some_rows(250))
    assert [len(batch) for batch in session.sent] == [100, 100, 50]


async def test_replicas_in_another_datacenter_do_not_split_a_batch() -> None:
    assert group_by_replicas(Ring(nodes=3, replicas=3, elsewhere=True), Settings()) is None


async def test_long_rows_make_smaller_batches() -> None:
    session = Session(Ring(1, 1))
    await a_writer(session, rows=500).write(some_rows(500, size=200))
    sizes = [len(batch) * 200 for batch in session.sent]
    assert sum(sizes) == 100_000
    assert max(sizes) < MAX_BATCH_BYTES + 200


async def test_rows_are_drawn_no_faster_than_batches_are_answered() -> None:
    session = Session(Ring(1, 1), answer_at_once=False)
    drawn = 0

    def endless() -> Iterator[PackedRow]:
        nonlocal drawn
        while True:
            drawn += 1
            yield b"user", b"row"

    writing = asyncio.create_task(a_writer(session, rows=10, in_flight=4).write(endless()))
    for answered in range(20):
        await asyncio.sleep(0)
        assert len(session.sent) <= 4 + answered
        assert drawn <= (5 + answered) * 10
        if session.waiting:
            session.waiting.pop(0).set_result(None)
    assert len(session.sent) > 10
    writing.cancel()
    await asyncio.sleep(0)
    for answer in session.waiting:
        answer.set_result(None)
    with pytest.raises(asyncio.CancelledError):
        await writing


async def test_on_a_wide_ring_rows_that_wait_for_their_batch_are_bounded_too() -> None:
    session = Session(Ring(nodes=20, replicas=3), answer_at_once=False)
    drawn = 0

    def counted() -> Iterator[PackedRow]:
        nonlocal drawn
        for row in some_rows(5000):
            drawn += 1
            yield row

    writing = asyncio.create_task(a_writer(session, rows=50, in_flight=2).write(counted()))
    await asyncio.sleep(0)
    assert drawn <= 2 * 50 * 2 + 50
    session.answer_at_once = True
    for answer in session.waiting:
        answer.set_result(None)
    assert await writing == 5000


async def test_the_first_failure_ends_the_call_when_nothing_is_in_flight() -> None:
    session = Session(Ring(1, 1), fail_from=3)
    writer = a_writer(session, rows=10, in_flight=2)
    with pytest.raises(Unavailable):
        await writer.write(some_rows(10_000))
    assert len(session.sent) < 10
    session.fail_from = None
    assert await writer.write(some_rows(100)) == 100, "the room they took is given back"


async def test_rows_of_many_callers_travel_together() -> None:
    session = Session(Ring(1, 1))
    writer = a_writer(session, rows=100)
    assert await asyncio.gather(*(writer.write([row]) for row in some_rows(250))) == [1] * 250
    assert [len(batch) for batch in session.sent] == [100, 100, 50]


async def test_callers_that_go_on_a_turn_after_one_another_share_a_batch_too() -> None:
    session = Session(Ring(1, 1))
    writer = a_writer(session)

    async def write_later(row: PackedRow, turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        await writer.write([row])

    await asyncio.gather(*(write_later(row, turns) for turns, row in enumerate(some_rows(5))))
    assert [len(batch) for batch in session.sent] == [5]


async def test_while_nothing_more_may_be_in_flight_rows_gather_in_one_batch() -> None:
    session = Session(Ring(1, 1), answer_at_once=False)
    writer = a_writer(session, rows=100, in_flight=1)
    calls = []
    for row in some_rows(10):
        calls.append(asyncio.create_task(writer.write([row])))
        for _ in range(5):
            await asyncio.sleep(0)
    assert [len(batch) for batch in session.sent] == [1]
    session.waiting.pop().set_result(None)
    await calls[0]
    assert [len(batch) for batch in session.sent] == [1, 9]
    session.waiting.pop().set_result(None)
    await asyncio.gather(*calls)


async def test_a_failure_is_raised_by_those_whose_rows_it_concerns_and_by_no_other() -> None:
    session = Session(Ring(1, 1), fail_from=1)
    writer = a_writer(session, rows=2)
    found = await asyncio.gather(
        *(writer.write([row]) for row in some_rows(4)), return_exceptions=True
    )
    assert [type(answer) for answer in found] == [int, int, Unavailable, Unavailable]


async def test_a_cancelled_caller_does_not_take_the_rows_of_others_with_it() -> None:
    session = Session(Ring(1, 1), answer_at_once=False)
    writer = a_writer(session)
    cancelled, other = (asyncio.create_task(writer.write([row])) for row in some_rows(2))
    await asyncio.sleep(0)
    cancelled.cancel()
    for _ in range(3):
        await asyncio.sleep(0)
    session.waiting.pop().set_result(None)
    assert await other == 1


async def test_a_small_write_waits_for_one_batch_of_each_large_one_at_most() -> None:
    session = Session(Ring(1, 1), answer_at_once=False)
    writer = a_writer(session, rows=10, in_flight=2)
    large = [asyncio.create_task(writer.write(some_rows(1000))) for _ in range(3)]
    await asyncio.sleep(0)
    small = asyncio.create_task(writer.write([(b"small", b"small".ljust(20))]))
    answered = 0
    while not small.done():
        session.waiting.pop(0).set_result(None)
        answered += 1
        for _ in range(4):
            await asyncio.sleep(0)
    assert answered <= 2 + len(large) + 1
    session.answer_at_once = True
    for answer in session.waiting:
        answer.set_result(None)
    assert await asyncio.gather(*large) == [1000] * 3


async def test_a_row_that_would_make_a_batch_too_large_begins_another() -> None:
    session = Session(Ring(1, 1))
    wires = [b"x" * 100, b"y" * (MAX_BATCH_BYTES - 50), b"z" * 100]
    assert await a_writer(session).write([(b"user", wire) for wire in wires]) == 3
    assert [batch._statements_and_parameters.wire for batch in session.sent] == wires


async def test_rows_that_cannot_be_made_end_the_call_with_what_was_added_before() -> None:
    session = Session(Ring(1, 1))

    def broken() -> Iterator[PackedRow]:
        yield from some_rows(5)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await a_writer(session).write(broken())
    assert [len(batch) for batch in session.sent] == [5]
