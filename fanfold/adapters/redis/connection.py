"""Keeps one connection to the cache open, and knows which server it leads to."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple, Self

from fanfold.adapters.redis.address import Address, client_tls
from fanfold.adapters.redis.greeting import greet, identity
from fanfold.adapters.redis.link import Link
from fanfold.adapters.redis.master import Master
from fanfold.core.clock import Clock
from fanfold.core.errors import CacheUnavailable
from fanfold.core.settings import Settings

_ASK_EVERY_S = 0.5
# A replica may become the master without closing a connection. As with an outage, a reader may trust its knowledge for a second.
_TRUSTED_S = 1.0
# In a process whose event loop is busy, the round trips of a connection take longer than one answer may. Callers don't wait for them all.
_CONNECT_WITHIN_S = 1.0
# An absent server is tried this often; between tries, callers lose no time.
_TRY_AGAIN_AFTER_S = 0.5

_log = logging.getLogger(__name__)


class Server(NamedTuple):
    """An open connection, and what identifies the server at its other end."""

    link: Link
    address: Address
    identity: bytes


async def ended(*tasks: asyncio.Task[Any] | None) -> None:
    """Cancel those that were started, and return when each has ended."""
    for task in tasks:
        if task is not None:
            task.cancel()
            await asyncio.wait([task])


class Connection:
    """A context manager. From its first use on it connects, asks the server twice a second who it is, and connects again when the connection is lost.

    `ticked` is called twice a second with the time that has passed since the last call. Not every process that opens
    the engines uses the cache, so opening connects to nothing.
    """

    def __init__(
        self, settings: Settings, master: Master, *, clock: Clock, of_cluster: bool = False
    ) -> None:
        self.ticked: Callable[[float], None] = lambda _: None
        self._settings = settings
        self._master = master
        self._of_cluster = of_cluster
        self._clock = clock
        self._server: Server | None = None
        self._identified_at_s = float("-inf")
        self._met = b""
        self._met_at_s = float("-inf")
        self._try_again_at_s = float("-inf")
        self._opening: asyncio.Task[None] | None = None
        self._opening_since_s = float("-inf")
        self._keeping: asyncio.Task[None] | None = None
        self._why_away = ""

    @property
    def known(self) -> Server | None:
        """The open connection, for readers.

        None unless it is known which server it leads to now, and that no writer still tells another server.
        """
        self._start()
        server, now_s = self._open, self._clock.monotonic_s()
        if server is None or now_s - self._identified_at_s > _TRUSTED_S:
            return None
        return server if now_s - self._met_at_s >= self._master.settles_s else None

    def check_still_told(self, link: Link) -> None:
        """For writers, after an answer: raises `CacheUnavailable` unless the link has lately led to the master."""
        relied_on_s = self._master.settles_s / 2
        if relied_on_s == 0:
            return
        server = self._open
        known_s = self._clock.monotonic_s() - self._identified_at_s
        if server is None or server.link is not link or known_s > relied_on_s:
            raise CacheUnavailable("another server may be the master now")

    @property
    def _open(self) -> Server | None:
        server = self._server
        return None if server is None or server.link.closed.is_set() else server

    async def opened(self) -> Server:
        """The open connection; connect if there is none. Raises `CacheUnavailable`, at once if the last try has just failed."""
        self._start()
        now_s = self._clock.monotonic_s()
        if self._open is None and now_s >= self._try_again_at_s:
            if self._opening is None:
                self._opening_since_s = now_s
                self._opening = asyncio.create_task(self._connect(), name="connects to the cache")
            left_s = self._opening_since_s + self._settings.cache_timeout_s - now_s
            if left_s > 0:
                # Other callers wait for the same attempt, which continues when they give up.
                await asyncio.wait([self._opening], timeout=left_s)
        server = self._open
        if server is None:
            raise CacheUnavailable(self._why_away or "the cache has not answered yet")
        return server

    async def _connect(self) -> None:
        try:
            address = await self._master.address()
            link = await greet(self._settings, address, within_s=_CONNECT_WITHIN_S)
            await self._identify(link, address)
        except CacheUnavailable as error:
            self._try_again_at_s = self._clock.monotonic_s() + _TRY_AGAIN_AFTER_S
            if not self._why_away:
                _log.warning("the shared cache is away: %s", error)
            self._why_away = str(error)
            return
        finally:
            self._opening = None
        if self._why_away:
            _log.warning("the shared cache answers again")
        self._why_away = ""

    async def _identify(self, link: Link, address: Address) -> None:
        asked_at_s = self._clock.monotonic_s()
        try:
            if (now := await self._master.address()) != address:
                raise CacheUnavailable(f"the master is at {now} now")
            met = await identity(link, of_cluster=self._of_cluster)
        except (CacheUnavailable, asyncio.CancelledError) as error:
            link.close(str(error))
            raise
        self._server = Server(link, address, met)
        self._identified_at_s = asked_at_s
        if met != self._met:
            self._met, self._met_at_s = met, asked_at_s

    def _start(self) -> None:
        if self._keeping is None:
            self._keeping = asyncio.create_task(self._keep(), name="keeps the cache connection")

    async def _keep(self) -> None:
        at_s = self._clock.monotonic_s()
        while True:
            link: Link | None = None
            with contextlib.suppress(CacheUnavailable):
                link, address, _ = await self.opened()
                await self._identify(link, address)
            # Counted from the question: in a busy process the answer takes long, and after a further pause the last answer would be too
            # old.
            await self._pause(link, max(0.0, at_s + _ASK_EVERY_S - self._clock.monotonic_s()))
            then_s, at_s = at_s, self._clock.monotonic_s()
            self.ticked(at_s - then_s)

    async def _pause(self, link: Link | None, seconds: float) -> None:
        """Pause for that long, or until the connection is lost."""
        if link is None:
            await self._clock.sleep(_ASK_EVERY_S)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await link.closed.wait()

    async def __aenter__(self) -> Self:
        # A wrong path is a configuration error, so it must fail now; an outage would only be waited for.
        client_tls(self._settings)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close it, and end its background work."""
        await ended(self._keeping, self._opening)
        if self._server is not None:
            self._server.link.close()
        self._master.close()
