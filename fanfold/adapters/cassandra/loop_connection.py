"""The driver's connection on asyncio's event loop, instead of a thread of its own: no answer is handed from one thread to another.

The driver supports other event loops by a subclass of its `Connection`: what it sends, what it receives and its timers. Everything else,
such as which node is asked, when again, and how a message reads, is the driver's.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar

from cassandra.connection import Connection, ConnectionShutdown

_LOG = logging.getLogger(__name__)

_RECEIVED_BYTES = 64 * 1024
_WAIT = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
# After a pause of the whole process, a timer runs before answers that arrived meanwhile are read: leave time for them.
_SECOND_LOOK_S = 0.002


def connection_on(loop: asyncio.AbstractEventLoop) -> type[LoopConnection]:
    """The class of connections on a loop. Make it on the loop's thread."""
    return type("LoopConnection", (LoopConnection,), {"on": Loop(loop)})


class Loop:
    """An event loop that any thread may call."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._thread = threading.get_ident()

    def call(self, function: Callable[[], None]) -> None:
        """Call a function in the loop's next turn."""
        if threading.get_ident() == self._thread:
            self.loop.call_soon(function)
            return
        try:
            self.loop.call_soon_threadsafe(function)
        except RuntimeError:
            _LOG.debug("the driver went on after its event loop was closed")

    def at_once(self, function: Callable[[], None]) -> None:
        """Call a function now where this is the loop's thread, else in its next turn."""
        if threading.get_ident() == self._thread:
            function()
        else:
            self.call(function)


class _Timer:
    """The driver's timer. Any thread makes and cancels it."""

    def __init__(self, on: Loop, timeout_s: float, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback
        self._on = on
        self._timeout_s = max(0.0, timeout_s)
        self._handle: asyncio.TimerHandle | None = None
        on.at_once(self._start)

    def cancel(self) -> None:
        self.callback = None
        self._on.at_once(self._stop)

    def _start(self) -> None:
        if self.callback is not None:
            self._handle = self._on.loop.call_later(self._timeout_s, self._look)

    def _stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()

    def _look(self) -> None:
        self._handle = self._on.loop.call_later(_SECOND_LOOK_S, self._end)

    def _end(self) -> None:
        if self.callback is not None:
            self.callback()


class LoopConnection(Connection):  # type: ignore[misc]  # the driver has no types
    """Made and closed by the driver's threads; it sends and receives on the loop alone. What is sent in one turn is one system call."""

    on: ClassVar[Loop]
    is_closed: bool

    @classmethod
    def create_timer(cls, timeout: float, callback: Callable[[], None]) -> _Timer:
        return _Timer(cls.on, timeout, callback)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._unsent: deque[bytes] = deque()
        self._rest = b""
        self._flushing = False
        self._has_begun = False
        # It blocks, for at most the driver's timeout.
        self._connect_socket()
        self._socket.setblocking(False)
        self.on.call(self._begin)
        self._send_options_message()

    def push(self, data: bytes) -> None:
        self._unsent.append(data)
        if not self._flushing:
            self._flushing = True
            self.on.call(self._flush)

    def close(self) -> None:
        with self.lock:
            if self.is_closed:
                return
            self.is_closed = True
        self.on.at_once(self._end)
        if not self.is_defunct:
            self.error_all_requests(ConnectionShutdown(f"Connection to {self.endpoint} was closed"))

    # From here on only the loop calls.

    def _begin(self) -> None:
        if not self.is_closed:
            self._has_begun = True
            self.on.loop.add_reader(self._socket.fileno(), self._receive)

    def _end(self) -> None:
        # Before the descriptor is closed: another connection may get its number at once.
        if self._has_begun:
            self.on.loop.remove_reader(self._socket.fileno())
            self.on.loop.remove_writer(self._socket.fileno())
        self._socket.close()

    def _flush(self) -> None:
        # Reset first, so that what is added meanwhile is sent in another turn.
        self._flushing = False
        if self.is_closed:
            return
        data = self._rest
        if self._unsent:
            parts = [data]
            while self._unsent:
                parts.append(self._unsent.popleft())
            data = b"".join(parts)
        waited = bool(self._rest)
        try:
            sent = self._socket.send(data) if data else 0
        except _WAIT:
            sent = 0
        except OSError as error:
            self.defunct(error)
            return
        self._rest = data[sent:]
        if self._rest and not waited:
            self.on.loop.add_writer(self._socket.fileno(), self._flush)
        elif waited and not self._rest:
            self.on.loop.remove_writer(self._socket.fileno())

    def _receive(self) -> None:
        try:
            # A whole record of TLS fits, so nothing is left where the loop doesn't look.
            received = self._socket.recv(_RECEIVED_BYTES)
        except _WAIT:
            return
        except OSError as error:
            self.defunct(error)
            return
        if received:
            self._iobuf.write(received)
            self.process_io_buffer()
        else:
            self.close()
