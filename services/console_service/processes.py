"""The processes that a console looks at: what each says of itself."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Awaitable, Callable
from typing import Protocol

from fanfold.core.errors import Transient
from fanfold.http.ask import READY, get, readiness
from fanfold.http.problems import Problem

_ANSWER_S = 3.0


class Process(Protocol):
    """One process. Neither method raises, and each ends within seconds."""

    name: str

    async def readiness(self) -> str:
        """`READY`, or what is wrong in one line."""
        ...

    async def metrics(self) -> str | None:
        """Its metrics in the Prometheus text format; None if it doesn't answer."""
        ...


class ThisProcess:
    """The process that the console is a part of."""

    def __init__(
        self, name: str, ready: Callable[[], Awaitable[None]], metrics: Callable[[], str]
    ) -> None:
        self.name = name
        self._ready = ready
        self._metrics = metrics

    async def readiness(self) -> str:
        try:
            await self._ready()
        except Problem as problem:
            return problem.detail
        except Transient as error:
            return str(error)
        return READY

    async def metrics(self) -> str | None:
        return self._metrics()


class RemoteProcess:
    """A process behind `/readyz` and `/metrics` at an address."""

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        self._url = url

    async def readiness(self) -> str:
        return await asyncio.to_thread(readiness, f"{self._url}/readyz", within_s=_ANSWER_S)

    async def metrics(self) -> str | None:
        try:
            body = await asyncio.to_thread(get, f"{self._url}/metrics", within_s=_ANSWER_S)
        except (OSError, http.client.HTTPException):
            return None
        return body.decode(errors="replace")
