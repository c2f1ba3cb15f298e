"""`fanfold revoke`: ends tokens before they expire, on the real engines."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from fanfold.core.clock import SystemClock
from fanfold.core.errors import Fault
from fanfold.core.ports import Revocation
from fanfold.core.settings import Settings
from fanfold.ops.installation import settings_of
from fanfold.ops.options import DEFAULT_DATA, Data, complain, console, refuse_no_user_ids
from fanfold.ops.run import run

_LONGEST_TOKEN_ID = 255


def revoke(
    user: Annotated[
        str | None, typer.Option(help="A user id: all tokens that the user has now.")
    ] = None,
    token: Annotated[str | None, typer.Option(help="One token, by its jti.")] = None,
    data: Data = DEFAULT_DATA,
) -> None:
    """Refuse tokens that have not expired, and end their live feeds and exports, within a few seconds. Safe to repeat.

    Tokens that are issued later are accepted: stop the issuer first. Uses the Cassandra that the environment names, else the
    system in --data. Exits with 75 when the tables stayed away.
    """
    if (user is None) == (token is None):
        raise Fault("name one: --user USER_ID, or --token JTI")
    if user is not None:
        refuse_no_user_ids(user)
    if token is not None and not 0 < len(token) <= _LONGEST_TOKEN_ID:
        raise Fault(f"use 1-{_LONGEST_TOKEN_ID} characters for the token's jti")
    kind: Literal["token", "user"] = "user" if token is None else "token"
    revocation = Revocation(kind, user or token or "", SystemClock().now_ms())
    ended = run(_revoke(settings_of(data), revocation))
    if ended.cut_short:
        complain(f"{ended.cut_short}; run the same command again")
    else:
        what = "tokens of this user issued until now are" if user else "this token is"
        console.print(f"From now on {what} refused.")
    raise typer.Exit(ended.status)


async def _revoke(settings: Settings, revocation: Revocation) -> None:
    from fanfold.adapters.cassandra.stores import cassandra_stores

    async with cassandra_stores(settings, clock=SystemClock()) as stores:
        await stores.revocations.revoke(revocation)
