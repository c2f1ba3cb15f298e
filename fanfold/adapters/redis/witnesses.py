"""Servers that know where the master is: sentinels, or the nodes of a cluster. Each is asked over a connection that is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from fanfold.adapters.redis.address import Address
from fanfold.adapters.redis.greeting import greet_sentinel
from fanfold.adapters.redis.link import Command, Link, checked
from fanfold.core.errors import CacheUnavailable
from fanfold.core.settings import Settings

_CONNECT_WITHIN_S = 1.0


class Witnesses:
    """Kept connections by address."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._links: dict[Address, Link] = {}

    async def ask(self, addresses: Iterable[Address], command: Command) -> dict[Address, Any]:
        """The answers of those that answer in time. Raises `CacheUnavailable` with one reason if none does."""
        asked = [*addresses]
        answers = await asyncio.gather(
            *(self._answer(address, command) for address in asked), return_exceptions=True
        )
        found: dict[Address, Any] = {}
        reason = "no address is known"
        for address, answer in zip(asked, answers, strict=True):
            if isinstance(answer, CacheUnavailable):
                reason = str(answer)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                found[address] = answer
        if not found:
            raise CacheUnavailable(reason)
        return found

    async def _answer(self, address: Address, command: Command) -> Any:
        link = self._links.get(address)
        if link is None or link.closed.is_set():
            link = await greet_sentinel(self._settings, address, within_s=_CONNECT_WITHIN_S)
            if (other := self._links.get(address)) is not None:
                other.close()
            self._links[address] = link
        (answer,) = checked(await link.ask(command))
        return answer

    def close(self) -> None:
        """Close every connection."""
        for link in self._links.values():
            link.close()
