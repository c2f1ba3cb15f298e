"""An address that leads to one server and then to another, as a service's name does after a failover."""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Self


class SwitchedAddress:
    """A context that forwards connections from `port` of this machine to another port of it."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self._target = target
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    def switch(self, target: int) -> None:
        """Lead new connections there, and end those that are open."""
        self._target = target
        for writer in self._open:
            writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ours = {writer}
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
            ours.add(back)
            self._open |= ours
            await asyncio.gather(_copy(reader, back), _copy(there, writer))
        except OSError:
            pass  # Nobody listens there: the client sees its connection end.
        finally:
            self._open -= ours
            for end in ours:
                end.close()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.close()
        self.switch(self._target)
        await asyncio.sleep(0)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
