"""Tickets in both adapters."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from fanfold.adapters.memory import memory_stores
from fanfold.adapters.memory.tickets import MOST
from fanfold.core.ports import Stores
from fanfold.core.ports.tickets import VALID_S, Ticket
from fanfold.core.settings import Settings
from tests.support.clock import START_MS, ManualClock
from tests.support.stores import stores_of_each_adapter

stores = stores_of_each_adapter()

ALICES = Ticket("alice", "/users/alice/export", 1.5, 2.5, "jti-1", START_MS)
HEADERS = Ticket("bob", "/users/bob/export", 0.0, None, None, START_MS)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.mark.parametrize("ticket", [ALICES, HEADERS])
async def test_a_ticket_is_taken_once_and_whole(stores: Stores, ticket: Ticket) -> None:
    digest, other = secrets.token_bytes(32), secrets.token_bytes(32)
    assert await stores.tickets.take(digest) is None
    await stores.tickets.keep(digest, ticket)
    assert await stores.tickets.take(other) is None
    assert await stores.tickets.take(digest) == ticket
    assert await stores.tickets.take(digest) is None


async def test_of_many_requests_for_one_ticket_at_once_one_gets_it(stores: Stores) -> None:
    digest = secrets.token_bytes(32)
    await stores.tickets.keep(digest, ALICES)
    taken = await asyncio.gather(*(stores.tickets.take(digest) for _ in range(8)))
    assert sorted(ticket is not None for ticket in taken) == [False] * 7 + [True]


async def test_tickets_in_memory_are_forgotten_in_time_and_are_a_bounded_number(
    clock: ManualClock,
) -> None:
    tickets = memory_stores(Settings(), clock=clock).tickets
    await tickets.keep(b"first", ALICES)
    clock.advance(VALID_S - 1)
    await tickets.keep(b"second", ALICES)
    clock.advance(1)
    assert await tickets.take(b"first") is None
    assert await tickets.take(b"second") == ALICES
    for n in range(MOST + 1):
        await tickets.keep(n.to_bytes(4), ALICES)
    assert await tickets.take((0).to_bytes(4)) is None
    assert await tickets.take((1).to_bytes(4)) == ALICES
