"""A worker in a process of its own, to be killed: `python -m tests.support.faust_worker FILE`.

It writes each follower it has handled to FILE, a line each, and takes a moment over it. Where `FILE.fail` exists, it
removes that and raises.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from fanfold.events import GRAPH
from fanfold.log import Record
from fanfold.settings import Settings
from fanout_service.stream import FaustConsumer
from tests.support.logs import followers

A_MOMENT_S = 0.001


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
