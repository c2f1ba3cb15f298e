"""A master that sentinels name: one of its replicas takes over when it dies."""

from __future__ import annotations

from typing import Any

from fanfold.adapters.redis.address import Address, CacheUrl
from fanfold.adapters.redis.witnesses import Witnesses
from fanfold.core.errors import CacheUnavailable
from fanfold.core.settings import Settings


class Sentinels:
    """Implements `Master`. A majority of the sentinels must answer, and the newest configuration among their answers counts.

    Sentinels tell one another of a failover within two seconds, so a single one may not know of it yet.
    """

    def __init__(self, settings: Settings, url: CacheUrl, *, settles_s: float) -> None:
        self.settles_s = settles_s
        self._url = url
        self._witnesses = Witnesses(settings)

    async def address(self) -> Address:
        answers = await self._witnesses.ask(
            self._url.addresses, ("SENTINEL", "MASTER", self._url.master)
        )
        if len(answers) <= len(self._url.addresses) // 2:
            raise CacheUnavailable("most of the sentinels don't answer")
        _, address = max(map(self._named, answers.values()), key=lambda named: named[0])
        return address

    def _named(self, answer: Any) -> tuple[int, Address]:
        try:
            told = dict(zip(answer[::2], answer[1::2], strict=True))
            address = Address(told[b"ip"].decode(), int(told[b"port"]), self._url.database)
            return int(told[b"config-epoch"]), address
        except (KeyError, TypeError, ValueError) as error:
            raise CacheUnavailable("a sentinel does not say where the master is") from error

    def close(self) -> None:
        self._witnesses.close()
