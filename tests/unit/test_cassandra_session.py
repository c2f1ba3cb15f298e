"""A session outlives the addresses of its nodes: the driver itself resolves a name only once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from cassandra.cluster import NoHostAvailable
from prometheus_client import REGISTRY

from fanfold.adapters.cassandra import session as module
from fanfold.adapters.cassandra.second_node import SecondNode
from fanfold.adapters.cassandra.session import CassandraSession
from fanfold.adapters.cassandra.statement import Statement
from fanfold.core.errors import Fault, Unavailable
from fanfold.core.settings import Settings
from tests.support.eventually import eventually


@dataclass
class Driver:
    """The driver, with one node: what it resolved when it connected is what it keeps."""

    address: str = "127.0.0.1"
    reachable: bool = True
    error: Exception = field(default_factory=lambda: NoHostAvailable("nobody", {}))
    sessions: list[Any] = field(default_factory=list)
    shut_down: list[str] = field(default_factory=list)

    def connect(self, settings: Settings, *, keyspace: str | None, connection: type) -> Any:
        if not self.reachable:
            raise self.error
        resolved = self.address
        host = SimpleNamespace(is_up=True, datacenter=settings.cassandra_datacenter)
        metadata = SimpleNamespace(all_hosts=lambda: [host])
        cluster = SimpleNamespace(
            metadata=metadata, shutdown=lambda: self.shut_down.append(resolved)
        )
        connected = SimpleNamespace(
            cluster=cluster,
            host=host,
            prepare=lambda cql, keyspace: SimpleNamespace(cql=cql, by=resolved),
        )
        self.sessions.append(connected)
        return connected


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    driver = Driver()
    monkeypatch.setattr(module, "connect", driver.connect)
    monkeypatch.setattr(module, "CONNECT_AGAIN_S", 0.01)
    monkeypatch.setattr(module, "UNREACHABLE_S", 0.05)
    return driver


async def soon(holds: Callable[[], bool], *, what: str) -> None:
    async def asked() -> bool:
        return holds()

    # The session connects in a thread.
    await eventually(asked, within_s=30, what=what, every_s=0.01)


def prepared_by(session: CassandraSession, statement: Statement) -> str:
    prepared: Any = session.prepared(statement)
    return str(prepared.by)


async def test_a_node_under_a_new_address_is_found_again_with_every_statement_prepared(
    driver: Driver,
) -> None:
    session = CassandraSession(Settings())
    statements = [session.statement("SELECT a"), session.statement("UPDATE b", conditional=True)]
    async with session:
        driver.address, driver.sessions[0].host.is_up = "127.0.0.2", False
        await soon(
            lambda: prepared_by(session, statements[0]) == "127.0.0.2",
            what="the name is resolved again",
        )
        assert [prepared_by(session, statement) for statement in statements] == ["127.0.0.2"] * 2
        await soon(lambda: driver.shut_down == ["127.0.0.1"], what="the old one is closed")
    assert driver.shut_down == ["127.0.0.1", "127.0.0.2"]


@pytest.mark.slow
async def test_a_node_that_is_back_before_long_keeps_its_session(driver: Driver) -> None:
    async with CassandraSession(Settings()):
        host = driver.sessions[0].host
        for _ in range(10):
            host.is_up = False
            await asyncio.sleep(0.02)
            host.is_up = True
            await asyncio.sleep(0.02)
    assert len(driver.sessions) == 1


@pytest.mark.parametrize("error", [NoHostAvailable("nobody", {}), Fault("no such certificate")])
async def test_it_goes_on_trying_while_no_address_answers(driver: Driver, error: Exception) -> None:
    driver.reachable, driver.error = False, error
    session = CassandraSession(Settings())
    statement = session.statement("SELECT a")
    async with session:
        with pytest.raises(Unavailable):
            session.prepared(statement)
        driver.reachable = True
        await soon(lambda: len(driver.sessions) == 1, what="connected")
        driver.reachable, driver.sessions[0].host.is_up = False, False
        await asyncio.sleep(0.2)
        driver.reachable, driver.address = True, "127.0.0.2"
        await soon(lambda: prepared_by(session, statement) == "127.0.0.2", what="found again")


@dataclass
class Asked:
    """Statements that were sent, and the driver's callbacks of each: it calls one as often as nodes answer."""

    pages: list[bytes | None] = field(default_factory=list)
    answers: list[Callable[..., None]] = field(default_factory=list)

    async def has_begun(self, number: int) -> None:
        await soon(lambda: len(self.answers) == number, what=f"statement {number} was sent")

    def execute_async(self, _query: Any, *, paging_state: bytes | None) -> Any:
        response = SimpleNamespace(_paging_state=None)

        def answered(rows: Sequence[Any] = (), *, next_page: bytes | None = None) -> None:
            response._paging_state = next_page
            succeeded(rows)

        def succeeded(rows: Sequence[Any]) -> None:
            callback, arguments = callbacks[0]
            callback(list(rows), *arguments)

        def add_callbacks(*, callback: Any, callback_args: Any, **_: Any) -> None:
            callbacks.append((callback, callback_args))

        callbacks: list[Any] = []
        self.pages.append(paging_state)
        self.answers.append(answered)
        response.add_callbacks = add_callbacks
        return response


@pytest.fixture
async def asked(driver: Driver) -> AsyncIterator[tuple[Asked, CassandraSession]]:
    asked, session = Asked(), CassandraSession(Settings())
    async with session:
        driver.sessions[0].execute_async = asked.execute_async
        yield asked, session
    assert in_flight() == 0


async def test_statements_in_flight_are_those_that_are_not_answered(
    asked: tuple[Asked, CassandraSession],
) -> None:
    sent, session = asked
    batch: Any = object()
    calls = [session.send(batch) for _ in range(3)]
    assert in_flight() == 3
    sent.answers[0]()
    await calls[0]
    assert in_flight() == 2
    for answer in sent.answers[1:]:
        answer()
    await asyncio.gather(*calls)


async def test_the_first_answer_of_two_nodes_counts(
    asked: tuple[Asked, CassandraSession],
) -> None:
    sent, session = asked
    bound: Any = object()
    reading = asyncio.create_task(session.rows_of(bound))
    await sent.has_begun(1)
    sent.answers[0]([("first",)])
    sent.answers[0]([("second",)], next_page=b"more")
    assert await reading == [("first",)]
    sent.answers[0]([("third",)])
    await asyncio.sleep(0)
    assert in_flight() == 0


async def test_a_late_answer_is_not_taken_for_the_next_page(
    asked: tuple[Asked, CassandraSession],
) -> None:
    sent, session = asked
    bound: Any = object()
    reading = asyncio.create_task(session.rows_of(bound))
    await sent.has_begun(1)
    sent.answers[0]([("a",)], next_page=b"2")
    await sent.has_begun(2)
    sent.answers[0]([("a",)], next_page=b"2")
    await asyncio.sleep(0)
    sent.answers[1]([("b",)])
    assert await reading == [("a",), ("b",)]
    assert sent.pages == [None, b"2"]


def in_flight() -> float | None:
    return REGISTRY.get_sample_value("fanfold_cassandra_statements_in_flight")


# --- the second node -----------------------------------------------------------------------------------


def sent_again_after_s(policy: SecondNode, *, slow: bool) -> list[float]:
    """What the driver is told of one statement: before the first sending, and if nobody answers in that time, after the second."""
    plan = policy.new_plan(None, object())
    told = [plan.next_execution("first")]
    if slow and told[0] >= 0:
        told.append(plan.next_execution("second"))
    return told


def test_a_statement_is_sent_to_one_more_node_and_no_further() -> None:
    policy = SecondNode(0.5)
    assert sent_again_after_s(policy, slow=False) == [0.5]
    assert sent_again_after_s(policy, slow=True) == [0.5, -1]


def test_nodes_that_are_all_slow_are_not_all_asked_twice() -> None:
    policy = SecondNode(0.5, share=0.125, reserve=10)
    told = [sent_again_after_s(policy, slow=True) for _ in range(161)]
    assert told[:10] == [[0.5, -1]] * 10
    # The first statement adds nothing to a full reserve.
    assert [len(after_s) for after_s in told].count(2) == 10 + 160 // 8
    for _ in range(80):
        sent_again_after_s(policy, slow=False)
    assert [sent_again_after_s(policy, slow=True) for _ in range(10)] == [[0.5, -1]] * 10
