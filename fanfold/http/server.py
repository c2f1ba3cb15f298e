"""How a service's server ends: on SIGTERM so that no request of a gateway fails, where another copy of the service runs."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import cast

import uvicorn

from fanfold.http.protocol import BoundedProtocol

LAST_REQUESTS_S = 4
"""How long idle connections stay open while the server stops. The gateway closes its own after three seconds without a request
(deploy/gateway/envoy.yaml)."""
_POLL_S = 0.05


class Server(uvicorn.Server):
    """Stops on the first SIGINT or SIGTERM. `on_stop` is called at once, before any answer in flight is waited for.

    On SIGTERM it first takes no more connections: a gateway asks another copy then. A request that is on its way on a connection
    that it has is still answered, and the answer says that it was the last one there. If the server closed an idle connection
    itself, such a request would be lost, and no gateway could know whether it may be repeated.

    On SIGINT somebody waits at a terminal: idle connections are closed at once.
    """

    def __init__(self, config: uvicorn.Config, *, on_stop: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_stop = on_stop
        self._asked_by: int | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self._asked_by = self._asked_by or sig
        self._on_stop()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle both signals. uvicorn's own version raises the signal again, before the engines are closed."""
        handled = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in handled}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As the class says. Called once, after the signal."""
        if self._asked_by == signal.SIGTERM:
            await self._take_no_more_connections(sockets or ())
            await self._answer_what_is_on_its_way()
        await super().shutdown(sockets)

    async def _take_no_more_connections(self, sockets: Sequence[socket.socket]) -> None:
        # What the kernel has connected already: its clients may have sent their requests, and would see a reset.
        waiting = [connected for listener in sockets for connected in _waiting(listener)]
        for server in self.servers:
            server.close()
        for listener in sockets:
            listener.close()
        loop = asyncio.get_running_loop()
        for connected in waiting:
            await loop.connect_accepted_socket(self._protocol, connected)

    def _protocol(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )

    async def _answer_what_is_on_its_way(self) -> None:
        connections = self.server_state.connections
        for connection in connections:
            cast("BoundedProtocol", connection).answer_one_more()
        loop = asyncio.get_running_loop()
        until_s = loop.time() + LAST_REQUESTS_S
        while connections and loop.time() < until_s and not self.force_exit:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(_POLL_S)


def _waiting(listener: socket.socket) -> Iterator[socket.socket]:
    """The connections that nobody has accepted yet."""
    while True:
        try:
            connected, _ = listener.accept()
        except OSError:
            return
        connected.setblocking(False)
        yield connected
