"""Rows by key in few statements: what is asked together, and of which node."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from cassandra.metadata import Murmur3Token, murmur3

from fanfold.adapters.cassandra.multi_get import (
    COMBINATIONS_IN_A_LIST,
    KEYS_IN_A_LIST,
    KEYS_OF_ONE_CELL,
    MultiGet,
)
from fanfold.adapters.cassandra.replica_sets import ReplicaSets
from fanfold.core.errors import Unavailable
from fanfold.core.settings import Settings
from tests.unit.test_batches import Ring


class Session:
    """Answers each list with its keys, but for one key that no row has."""

    def __init__(self, ring: Ring, *, absent: UUID | None = None, away: bool = False) -> None:
        self.metadata = type("Metadata", (), {"token_map": ring})
        self.absent, self.away = absent, away
        self.asked: list[Any] = []

    def prepared(self, statement: Any) -> Any:
        return statement

    async def rows_of(self, asked: Any) -> list[tuple[UUID]]:
        self.asked.append(asked)
        if self.away:
            raise Unavailable("away")
        return [(key,) for key in asked.values[0] if key != self.absent]


class Bound:
    def __init__(self, _prepared: Any) -> None:
        self.values: Any = None
        self.routing_key: bytes | None = None

    def bind(self, values: Any) -> Bound:
        self.values = values
        return self


def a_multi_get(
    session: Session, monkeypatch: pytest.MonkeyPatch, *, most_keys: int = KEYS_IN_A_LIST
) -> MultiGet[UUID]:
    monkeypatch.setattr("fanfold.adapters.cassandra.multi_get._Routed", Bound)
    return MultiGet(
        session,  # type: ignore[arg-type]
        "statement",  # type: ignore[arg-type]
        replica_sets=ReplicaSets(session, Settings()),  # type: ignore[arg-type]
        routing_key=lambda key, *_: key.bytes,
        most_keys=most_keys,
    )


async def test_each_list_asks_a_replica_of_all_its_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = Ring(nodes=6, replicas=3)
    session = Session(ring)
    keys = [uuid4() for _ in range(500)]
    rows = await a_multi_get(session, monkeypatch).rows(keys)
    assert sorted(row[0] for row in rows) == sorted(keys)
    for asked in session.asked:
        assert len(asked.values[0]) <= KEYS_IN_A_LIST
        holders = {
            frozenset(ring.get_replicas("", Murmur3Token(murmur3(key.bytes))))
            for key in asked.values[0]
        }
        routed = ring.get_replicas("", Murmur3Token(murmur3(asked.routing_key)))
        assert holders == {frozenset(routed)}


async def test_where_every_node_holds_everything_lists_are_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = Session(Ring(nodes=3, replicas=3))
    await a_multi_get(session, monkeypatch).rows([uuid4() for _ in range(60)])
    assert [len(asked.values[0]) for asked in session.asked] == [25, 25, 10]


async def test_a_statement_of_one_small_cell_takes_longer_lists(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = Session(Ring(nodes=3, replicas=3))
    multi_get = a_multi_get(session, monkeypatch, most_keys=KEYS_OF_ONE_CELL)
    await multi_get.rows([uuid4() for _ in range(230)])
    assert [len(asked.values[0]) for asked in session.asked] == [100, 100, 30]


async def test_a_key_is_asked_once_and_one_without_a_row_is_absent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here, absent = uuid4(), uuid4()
    session = Session(Ring(nodes=1, replicas=1), absent=absent)
    assert await a_multi_get(session, monkeypatch).rows([here, absent, here]) == [(here,)]
    assert [asked.values[0] for asked in session.asked] == [[here, absent]]


async def test_no_key_asks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session(Ring(nodes=1, replicas=1))
    assert await a_multi_get(session, monkeypatch).rows([]) == []
    assert session.asked == []


async def test_one_list_that_fails_fails_all(monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session(Ring(nodes=1, replicas=1), away=True)
    with pytest.raises(Unavailable):
        await a_multi_get(session, monkeypatch).rows([uuid4() for _ in range(60)])


async def test_keys_of_many_callers_are_asked_together(monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session(Ring(nodes=1, replicas=1))
    multi_get = a_multi_get(session, monkeypatch)
    keys = [uuid4() for _ in range(30)]
    found = await asyncio.gather(*(multi_get.row(key) for key in [*keys, keys[0]]))
    assert found == [(key,) for key in [*keys, keys[0]]]
    assert [len(asked.values[0]) for asked in session.asked] == [25, 6]


async def test_callers_that_differ_in_another_value_ask_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = Session(Ring(nodes=1, replicas=1))
    multi_get = a_multi_get(session, monkeypatch)
    one, other = uuid4(), uuid4()
    await asyncio.gather(
        multi_get.rows([one], 10), multi_get.rows([other], 20), multi_get.rows([other], 10)
    )
    assert sorted(asked.values[1:] for asked in session.asked) == [(10,), (20,)]


async def test_a_cancelled_caller_leaves_the_others_their_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    multi_get = a_multi_get(Session(Ring(nodes=1, replicas=1)), monkeypatch)
    key = uuid4()
    cancelled, other = (asyncio.create_task(multi_get.row(key)) for _ in range(2))
    await asyncio.sleep(0)
    cancelled.cancel()
    assert await other == (key,)


class Combining(Session):
    """Answers every combination of the first two columns."""

    async def rows_of(self, asked: Any) -> list[Any]:
        self.asked.append(asked)
        return [(user, other) for user in asked.values[0] for other in asked.values[1]]


async def test_keys_of_two_columns_get_their_own_rows_and_lists_ask_for_few_combinations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fanfold.adapters.cassandra.multi_get._Routed", Bound)
    session = Combining(Ring(nodes=1, replicas=1))
    multi_get: MultiGet[tuple[str, str]] = MultiGet(
        session,  # type: ignore[arg-type]
        "statement",  # type: ignore[arg-type]
        replica_sets=ReplicaSets(session, Settings()),  # type: ignore[arg-type]
        routing_key=lambda key: key[0].encode(),
        columns=2,
    )
    unlike = [(f"user-{n}", f"other-{n}") for n in range(100)]
    assert await multi_get.rows(unlike) == unlike
    of_one_user = [("alice", f"other-{n}") for n in range(100)]
    assert await multi_get.rows(of_one_user) == of_one_user
    combinations = [len(asked.values[0]) * len(asked.values[1]) for asked in session.asked]
    assert max(combinations) < COMBINATIONS_IN_A_LIST + 2 * 13
    assert combinations[-1] == 100
