"""A cache server of the bench's own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.support.redis_node import RedisFromPath


@dataclass(frozen=True, slots=True)
class OwnRedis:
    """A running server."""

    node: RedisFromPath

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.node.port}"

    @property
    def pid(self) -> int:
        assert self.node.process is not None  # noqa: S101 - it is running
        return self.node.process.pid

    async def empty(self) -> None:
        await self._ask("FLUSHALL")

    async def commands(self) -> int:
        """Commands that it has processed so far."""
        stats = await self._ask("INFO stats")
        return int(stats.split("total_commands_processed:")[1].split()[0])

    async def _ask(self, command: str) -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.node.port)
        try:
            writer.write(f"{command}\r\nQUIT\r\n".encode())
            return (await reader.read()).decode()
        finally:
            writer.close()


@contextmanager
def own_redis() -> Iterator[OwnRedis]:
    """A server that is gone after the block."""
    node = RedisFromPath()
    node.launch()
    try:
        node.wait()
        yield OwnRedis(node)
    finally:
        node.stop()
