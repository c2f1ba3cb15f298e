"""A worker in a process of its own, to be killed: what runs in it, and the handle that a test holds.

`python -m tests.support.faust_worker FILE` writes each follower it has handled to FILE, a line each, and takes a
moment over it. Where `FILE.fail` exists, it removes that and raises.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fanfold.adapters.kafka.log import KafkaLog
from fanfold.core.clock import SystemClock
from fanfold.core.events import GRAPH
from fanfold.core.ports.log import Record
from fanfold.core.settings import Settings
from fanout_service.stream import FaustConsumer
from tests.support.eventually import eventually
from tests.support.logs import a_follow, followers
from tests.support.real_stack import environment

AUTHORS = 50
A_MOMENT_S = 0.001


async def append_follows(settings: Settings, count: int, *, first: int = 0) -> None:
    async with KafkaLog(settings, clock=SystemClock(), source="test") as log:
        await log.append_many(
            [
                a_follow(of=f"author-{n % AUTHORS}", by=f"{n:05}")
                for n in range(first, first + count)
            ]
        )


class Worker:
    """A worker process and what it has handled so far; it can be killed and started again."""

    def __init__(self, settings: Settings, path: Path) -> None:
        self._settings = settings
        self.path = path
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.faust_worker", str(self.path)],
            env=environment(self._settings),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def end(self, how: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(how)
        return self.process.wait(timeout=25)

    def handled(self) -> list[str]:
        return self.path.read_text().split() if self.path.exists() else []

    async def progresses(self) -> None:
        before = len(self.handled())

        async def more() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, "the worker has ended by itself"
            return len(self.handled()) > before

        await eventually(more, within_s=30, what="the worker handles something", every_s=0.02)


@contextmanager
def a_worker(settings: Settings, path: Path) -> Iterator[Worker]:
    worker = Worker(settings, path)
    worker.start()
    try:
        yield worker
    finally:
        if worker.process is not None and worker.process.poll() is None:
            worker.end(signal.SIGKILL)


async def main(path: Path) -> None:
    fail = path.with_suffix(".fail")
    output = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    async def handle(records: Sequence[Record]) -> None:
        for follower in followers(records):
            await asyncio.sleep(A_MOMENT_S)
            os.write(output, f"{follower}\n".encode())
            if fail.exists():
                fail.unlink()
                raise ConnectionError("asked to fail")

    running = asyncio.create_task(FaustConsumer(Settings()).run({GRAPH: handle}))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    await asyncio.wait({running})
    if not running.cancelled():
        running.result()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
