"""The deny-list: what is revoked is found, once, until no such token can live any more."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from fanfold.adapters.memory import memory_stores
from fanfold.core.ports import Revocation, Stores
from fanfold.core.ports.revocations import KEPT_S
from fanfold.core.settings import Settings
from tests.support.clock import START_MS, ManualClock
from tests.support.stores import fresh, stores_of_each_adapter

stores = stores_of_each_adapter()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


async def revoked(stores: Stores, *values: str) -> Sequence[Revocation]:
    """Other tests have entries of their own in the same table."""
    return [entry for entry in await stores.revocations.revoked() if entry.value in values]


async def test_tokens_and_users_are_found_in_order(stores: Stores) -> None:
    user, token = fresh("user"), fresh("token")
    assert await revoked(stores, user, token) == []
    entries = [Revocation("token", token, START_MS), Revocation("user", user, START_MS + 1)]
    for entry in reversed(entries):
        await stores.revocations.revoke(entry)
    assert await revoked(stores, user, token) == entries


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (1, 1)])
async def test_of_two_revocations_the_later_stays(stores: Stores, order: tuple[int, int]) -> None:
    user = fresh("user")
    for n in order:
        await stores.revocations.revoke(Revocation("user", user, START_MS + n))
    assert await revoked(stores, user) == [Revocation("user", user, START_MS + 1)]


async def test_a_token_and_a_user_of_one_name_are_two_entries(stores: Stores) -> None:
    name = fresh("same")
    for kind in ("token", "user"):
        await stores.revocations.revoke(Revocation(kind, name, START_MS))
    assert [entry.kind for entry in await revoked(stores, name)] == ["token", "user"]


async def test_an_entry_is_forgotten_when_no_token_lives_that_long(clock: ManualClock) -> None:
    stores = memory_stores(Settings(), clock=clock)
    await stores.revocations.revoke(Revocation("token", "t", START_MS))
    clock.advance(KEPT_S - 1)
    assert await stores.revocations.revoked() != []
    clock.advance(1)
    assert await stores.revocations.revoked() == []
    lifetime = Settings.model_fields["jwt_max_lifetime_s"]
    assert any(getattr(bound, "le", None) == KEPT_S for bound in lifetime.metadata)
