"""What is revoked is refused, and what it opened ends; the list outlives an outage of the tables."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from fanfold.adapters.memory import memory_stores
from fanfold.core.exit_codes import ExitCode
from fanfold.core.ports import Revocation
from fanfold.core.settings import Settings
from fanfold.http.identity.bearer import BearerIdentity
from fanfold.http.identity.credentials import Credential
from fanfold.http.identity.deny_list import REFRESH_S, DenyList, denying
from fanfold.http.identity.identity import HeaderIdentity
from fanfold.http.identity.tokens import InvalidToken
from fanfold.ops.command_line import main
from tests.support.app import Tables
from tests.support.clock import START_MS, ManualClock
from tests.support.tokens import a_token, an_identity
from tests.unit.test_tokens import NOW_S, asking


@asynccontextmanager
async def watched(clock: ManualClock) -> AsyncIterator[tuple[BearerIdentity, Tables]]:
    tables = Tables(memory_stores(Settings(), clock=clock))
    identity = an_identity(clock)
    async with denying(identity, tables.stores.revocations, clock=clock):
        await settled(clock)
        yield identity, tables


async def settled(clock: ManualClock) -> None:
    for _ in range(10):
        await asyncio.sleep(0)
    assert clock.sleeping == 1


async def next_reading(clock: ManualClock) -> None:
    clock.advance(REFRESH_S)
    await settled(clock)


async def accepts(identity: BearerIdentity, token: str) -> bool:
    try:
        await identity.credential(asking(f"Bearer {token}"))
    except InvalidToken as refused:
        return "revoked" not in refused.detail
    return True


async def test_a_revoked_token_is_refused_and_its_long_answers_end() -> None:
    clock = ManualClock()
    async with watched(clock) as (identity, tables):
        bad, good = (a_token(now_s=NOW_S, jti=token_id) for token_id in ("bad", "good"))
        ended: list[str] = []
        for token_id, token in (("bad", bad), ("good", good)):
            credential = await identity.credential(asking(f"Bearer {token}"))
            identity.open_answers.opened(credential, partial(ended.append, token_id))
        await tables.stores.revocations.revoke(Revocation("token", "bad", START_MS))
        assert await accepts(identity, bad)
        await next_reading(clock)
        assert not await accepts(identity, bad)
        assert await accepts(identity, good)
        assert ended == ["bad"]


async def test_a_revoked_user_needs_a_new_token() -> None:
    clock = ManualClock()
    async with watched(clock) as (identity, tables):
        tokens = {user: a_token(user, now_s=NOW_S) for user in ("alice", "bob")}
        await tables.stores.revocations.revoke(Revocation("user", "alice", START_MS + 500))
        await next_reading(clock)
        assert not await accepts(identity, tokens["alice"])
        assert await accepts(identity, tokens["bob"])
        assert await accepts(identity, a_token("alice", now_s=NOW_S + 1))


async def test_the_list_outlives_an_outage_of_the_tables() -> None:
    clock = ManualClock()
    async with watched(clock) as (identity, tables):
        bad = a_token(now_s=NOW_S, jti="bad")
        await tables.stores.revocations.revoke(Revocation("token", "bad", START_MS))
        await next_reading(clock)
        tables.away = True
        await next_reading(clock)
        assert not await accepts(identity, bad)
        tables.away = False
        worse = a_token(now_s=NOW_S, jti="worse")
        await tables.stores.revocations.revoke(Revocation("token", "worse", START_MS))
        await next_reading(clock)
        assert not await accepts(identity, worse)


def test_a_list_without_entries_denies_nobody() -> None:
    assert not DenyList().denies(Credential("alice", frozenset()))
    listed = DenyList([Revocation("token", "alice", START_MS)])
    assert not listed.denies(Credential("alice", frozenset(), token_id=None))


async def test_a_trusted_header_has_no_list() -> None:
    clock = ManualClock()
    stores = memory_stores(Settings(), clock=clock)
    async with denying(HeaderIdentity(), stores.revocations, clock=clock):
        await asyncio.sleep(0)
        assert clock.sleeping == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "name one"),
        (("--user", "alice", "--token", "t"), "name one"),
        (("--user", "auth0|x"), "for the user"),
        (("--token", ""), "for the token"),
    ],
)
def test_a_revocation_of_nothing_is_refused(
    arguments: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["fanfold", "revoke", *arguments, "--data", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == ExitCode.FAILED
    assert said in capsys.readouterr().err
