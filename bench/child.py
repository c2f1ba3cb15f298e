"""A bare program of the bench as a child process that answers orders."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fanfold.core.settings import Settings
from tests.support.real_stack import environment


class Child:
    """`python -m module` that prints `ready` and then answers each line of JSON with another."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ask(self, **order: Any) -> dict[str, Any]:
        """Send an order and await its answer. Raises when the child has died."""
        self._input.write(json.dumps(order).encode() + b"\n")
        await self._input.drain()
        answer: dict[str, Any] = json.loads(await self.line())
        return answer

    async def line(self) -> str:
        if self._process.stdout is None:
            raise RuntimeError("a child without a pipe")
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("a bare program has died; its last words are above")
        return line.decode().strip()

    @property
    def _input(self) -> asyncio.StreamWriter:
        if self._process.stdin is None:
            raise RuntimeError("a child without a pipe")
        return self._process.stdin

    async def stop(self) -> None:
        self._input.close()
        try:
            await asyncio.wait_for(self._process.wait(), timeout=10)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


@asynccontextmanager
async def child(module: str, settings: Settings) -> AsyncIterator[Child]:
    """The child is ready on entry, and has ended on exit."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=environment(settings),
    )
    started = Child(process)
    try:
        if await started.line() != "ready":
            raise RuntimeError(f"{module} did not get ready")
        yield started
    finally:
        await started.stop()
