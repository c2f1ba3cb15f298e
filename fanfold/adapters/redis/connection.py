"""Keeps one connection to the cache open, and knows which server it leads to."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Self

from fanfold.adapters.redis.address import client_tls
from fanfold.adapters.redis.greeting import Greeted, greet, identity
from fanfold.adapters.redis.link import Link
from fanfold.core.clock import Clock
from fanfold.core.errors import CacheUnavailable
from fanfold.core.settings import Settings

_ASK_EVERY_S = 0.5
# A replica may become the master without ending a connection. As with an outage, a reader may trust what it knows for a second.
_TRUSTED_S = 1.0
# An absent server is tried this often, and costs its callers no time in between.
_TRY_AGAIN_AFTER_S = 0.5

_log = logging.getLogger(__name__)


class Connection:
    """A context. From its first use on it connects, asks the server twice a second who it is, and connects again when the connection is lost.

    `ticked` is called twice a second with the time that has passed since the last call. Not every process that opens
    the engines uses the cache, so opening connects to nothing.
    """

    def __init__(self, settings: Settings, *, clock: Clock) -> None:
        self.ticked: Callable[[float], None] = lambda _: None
        self._settings = settings
        self._clock = clock
        self._greeted: Greeted | None = None
        self._identified_at_s = float("-inf")
        self._try_again_at_s = float("-inf")
        self._opening: asyncio.Task[Greeted | None] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._why_away = ""

    @property
    def known(self) -> Greeted | None:
        """The open connection, if it is known which server it leads to now."""
        self._start()
        greeted = self._open
        if greeted is None or self._clock.monotonic_s() - self._identified_at_s > _TRUSTED_S:
            return None
        return greeted

    @property
    def _open(self) -> Greeted | None:
        greeted = self._greeted
        return None if greeted is None or greeted.link.closed.is_set() else greeted

    async def opened(self) -> Greeted:
        """The open connection; connect if there is none. Raises `CacheUnavailable`, at once if the last try has just failed."""
        self._start()
        greeted = self._open
        if greeted is None and self._clock.monotonic_s() >= self._try_again_at_s:
            if self._opening is None:
                self._opening = asyncio.create_task(self._connect(), name="cache connection")
            # Others wait for the same try.
            greeted = await asyncio.shield(self._opening)
        if greeted is None:
            raise CacheUnavailable(self._why_away)
        return greeted

    async def _connect(self) -> Greeted | None:
        asked_at_s = self._clock.monotonic_s()
        try:
            self._greeted = await greet(self._settings)
        except CacheUnavailable as error:
            self._try_again_at_s = self._clock.monotonic_s() + _TRY_AGAIN_AFTER_S
            if not self._why_away:
                _log.warning("the shared cache is away: %s", error)
            self._why_away = str(error)
            return None
        finally:
            self._opening = None
        self._identified_at_s = asked_at_s
        if self._why_away:
            _log.warning("the shared cache answers again")
        self._why_away = ""
        return self._greeted

    async def _identify(self, greeted: Greeted) -> None:
        asked_at_s = self._clock.monotonic_s()
        try:
            now = await identity(greeted.link)
        except CacheUnavailable as error:
            greeted.link.close(str(error))
            return
        self._identified_at_s = asked_at_s
        if self._greeted is greeted:
            self._greeted = greeted._replace(identity=now)

    def _start(self) -> None:
        if self._keeping is None:
            self._keeping = asyncio.create_task(self._keep(), name="keeps the cache connection")

    async def _keep(self) -> None:
        at_s = self._clock.monotonic_s()
        while True:
            link: Link | None = None
            with contextlib.suppress(CacheUnavailable):
                greeted = await self.opened()
                link = greeted.link
                await self._identify(greeted)
            await self._pause(link)
            then_s, at_s = at_s, self._clock.monotonic_s()
            self.ticked(at_s - then_s)

    async def _pause(self, link: Link | None) -> None:
        """Half a second, or until the connection is lost."""
        if link is None:
            await self._clock.sleep(_ASK_EVERY_S)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ASK_EVERY_S):
                await link.closed.wait()

    async def __aenter__(self) -> Self:
        # A wrong path is a mistake in the configuration: it must fail now, while an outage would be waited for.
        client_tls(self._settings)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for task in (self._keeping, self._opening):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        if self._greeted is not None:
            self._greeted.link.close()
