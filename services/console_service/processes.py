"""The processes that a console looks at: what each says of itself."""

from __future__ import annotations

import asyncio
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from typing import Protocol

from fanfold.core.errors import Transient
from fanfold.http.problems import Problem

READY = "ready"
_ANSWER_S = 3.0
_MOST_BYTES = 4 * 1024 * 1024

# A proxy of the environment is for other machines.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


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
        return await asyncio.to_thread(self._ask_readiness)

    async def metrics(self) -> str | None:
        try:
            return await asyncio.to_thread(self._get, "/metrics")
        except (OSError, http.client.HTTPException):
            return None

    def _ask_readiness(self) -> str:
        try:
            self._get("/readyz")
        except urllib.error.HTTPError as error:
            return _detail(error)
        except (OSError, http.client.HTTPException):
            return "no answer"
        return READY

    def _get(self, path: str) -> str:
        with _opener.open(self._url + path, timeout=_ANSWER_S) as answer:
            body: bytes = answer.read(_MOST_BYTES)
            # `read` of a number of bytes doesn't raise when the process ends in the middle of its answer.
            if answer.length or answer.read(1):
                raise http.client.IncompleteRead(body)
            return body.decode(errors="replace")


def _detail(error: urllib.error.HTTPError) -> str:
    """The detail of a problem document, else the status."""
    try:
        return str(json.loads(error.read(_MOST_BYTES))["detail"])
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return f"answers {error.code}"
