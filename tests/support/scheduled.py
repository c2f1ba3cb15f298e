"""Calls of several processes, taken in an order that a test draws: each may fail, take effect late, or die with its process."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

from fanfold.core.errors import Unavailable

T = TypeVar("T")

_process: ContextVar[str] = ContextVar("_process", default="")
_TURNS = 3
"""Enough for most tasks to come to their next step."""
_SLOW_STEPS = 20
"""Much may happen between the effect of a call and the moment at which the caller learns of it."""


@dataclass
class Schedule:
    """Calls wait for a step before they take effect, and before their answers arrive. The test releases one step after another."""

    rng: random.Random
    failing: float
    """The share of calls that raise `Unavailable`, where an engine is not away altogether."""
    slow: frozenset[str] = frozenset()
    """Processes to which some answers come late."""
    away: set[tuple[str, str]] = field(default_factory=set)
    """(process, engine) pairs without a connection."""
    _waiting: list[tuple[str, asyncio.Future[None]]] = field(default_factory=list)
    _tasks: list[tuple[str, asyncio.Task[None]]] = field(default_factory=list)

    def start(self, process: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run work as a task of a process."""
        token = _process.set(process)
        task = asyncio.create_task(work)
        _process.reset(token)
        self._tasks.append((process, task))
        return task

    async def kill(self, process: str) -> None:
        """End a process, wherever it is."""
        for name, task in self._tasks:
            if name == process:
                task.cancel()
        for name, step in self._waiting:
            if name == process:
                step.cancel()
        self._waiting = [(name, step) for name, step in self._waiting if name != process]
        await self.quiet()

    async def release(self) -> bool:
        """Let one step go on; False if none waits."""
        await self.quiet()
        # A process may also have cancelled its own calls.
        self._waiting = [(name, step) for name, step in self._waiting if not step.done()]
        if not self._waiting:
            return False
        _, step = self._waiting.pop(self.rng.randrange(len(self._waiting)))
        step.set_result(None)
        return True

    async def quiet(self) -> None:
        """Let tasks run to their next steps."""
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        if ended := [task for _, task in self._tasks if task.done()]:
            self._tasks = [(name, task) for name, task in self._tasks if not task.done()]
            for task in ended:
                if not task.cancelled():
                    task.result()

    async def call(self, engine: str, effect: Callable[[], Awaitable[T]]) -> T:
        """Call an engine."""
        await self.step()
        away = (_process.get(), engine) in self.away
        if not away and self.rng.random() >= self.failing:
            answer = await effect()
            slow = _process.get() in self.slow and self.rng.random() < 0.2
            for _ in range(_SLOW_STEPS if slow else 1):
                await self.step()
            return answer
        if self.rng.random() < 0.3:
            self.start("", self._late(effect))  # the network's, which outlives the process
        elif not away and self.rng.random() < 0.5:
            await effect()
        await self.step()
        raise Unavailable(f"{engine} did not answer")

    async def _late(self, effect: Callable[[], Awaitable[Any]]) -> None:
        await self.step()
        await effect()

    async def step(self) -> None:
        """A moment in which other tasks may come first."""
        step = asyncio.get_running_loop().create_future()
        self._waiting.append((_process.get(), step))
        await step


class Scheduled:
    """A port whose async methods are calls of a schedule."""

    def __init__(self, port: Any, schedule: Schedule, *, engine: str) -> None:
        self._port = port
        self._schedule = schedule
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await self._schedule.call(self._engine, lambda: method(*args, **kwargs))

        return call
