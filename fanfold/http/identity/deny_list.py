"""The deny-list as this process knows it: read every few seconds, and kept while the tables are away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from fanfold.core.clock import Clock
from fanfold.core.errors import Unavailable
from fanfold.core.ports import Revocation, Revocations
from fanfold.http.identity.bearer import BearerIdentity
from fanfold.http.identity.credentials import Credential
from fanfold.http.identity.identity import Identity

logger = logging.getLogger(__name__)

REFRESH_S = 2.0
"""The longest time that a revoked token is still accepted, while the tables answer."""


class DenyList:
    """Revoked tokens and users."""

    def __init__(self, revocations: Iterable[Revocation] = ()) -> None:
        self._tokens: set[str] = set()
        self._users: dict[str, float] = {}
        for revocation in revocations:
            if revocation.kind == "token":
                self._tokens.add(revocation.value)
            else:
                self._users[revocation.value] = revocation.at_ms / 1000

    def denies(self, credential: Credential) -> bool:
        """Whether it is revoked. A token issued in the second of its user's revocation is: `iat` has whole seconds."""
        if credential.token_id is not None and credential.token_id in self._tokens:
            return True
        until_s = self._users.get(credential.user_id)
        return until_s is not None and credential.issued_s <= until_s


@asynccontextmanager
async def denying(
    identity: Identity, revocations: Revocations, *, clock: Clock
) -> AsyncIterator[None]:
    """Meanwhile refuse what is revoked, and end answers that go on. A trusted header can't be revoked."""
    if not isinstance(identity, BearerIdentity):
        yield
        return
    reading = asyncio.create_task(_keep_reading(identity, revocations, clock), name="deny-list")
    try:
        yield
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def _keep_reading(identity: BearerIdentity, revocations: Revocations, clock: Clock) -> None:
    away = False
    while True:
        try:
            denied = DenyList(await revocations.revoked())
        except Unavailable as error:
            if not away:
                logger.warning("the deny-list can't be read", extra={"reason": str(error)})
            away = True
        else:
            away = False
            identity.revoked = denied.denies
            identity.open_answers.end_revoked(denied.denies)
        await clock.sleep(REFRESH_S)
