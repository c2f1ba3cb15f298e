"""What a feed costs, without a socket and without engines. `python -m bench.feed_cpu` reads orders; the first says whether the hooks for traces are left out."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import Any

WARM = 100
PATHS = {"by time": "chronological", "by relevance": "relevance"}


async def main() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    if _order()["without_hooks"]:
        from bench import without_hooks

        without_hooks.install()
    # The product's modules are imported only now, so that the chosen build is measured.
    from all_in_one import demo
    from all_in_one.system import all_in_one
    from fanfold.core.clock import SystemClock
    from fanfold.core.settings import Settings

    settings = demo.suited(Settings()).model_copy(update={"cache": "memory"})
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "log.sqlite"
        async with all_in_one(settings, clock=SystemClock(), path=path, with_demo=True) as system:
            for ranking in PATHS.values():
                await _read(system.app, ranking, WARM)
            gc.collect()
            gc.freeze()
            _answer({})
            while (order := _order()).get("feeds"):
                measured = _instructions if order.get("counted") else _cpu_us
                found = await measured(system.app, PATHS[order["what"]], order["feeds"])
                _answer({"found": found})


async def _cpu_us(app: Any, ranking: str, feeds: int) -> float:
    """CPU of one feed in µs, as a mean of so many."""
    gc.disable()
    began_s = time.process_time()
    await _read(app, ranking, feeds)
    spent_s = time.process_time() - began_s
    gc.enable()
    return spent_s / feeds * 1e6


async def _instructions(app: Any, ranking: str, feeds: int) -> float:
    """Instructions of Python's interpreter for one feed, as a mean of so many. Unlike CPU time they do not depend on what else runs."""
    counted = 0

    def instruction(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal counted
        counted += event == "opcode"
        return instruction

    def function(frame: FrameType, _event: str, _argument: Any) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return instruction

    sys.settrace(function)
    try:
        await _read(app, ranking, feeds)
    finally:
        sys.settrace(None)
    return counted / feeds


async def _read(app: Any, ranking: str, feeds: int) -> None:
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": "/users/alice/feed", "raw_path": b"/users/alice/feed", "root_path": "",
        "query_string": f"ranking={ranking}".encode(), "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
        "headers": [(b"host", b"127.0.0.1"), (b"x-user-id", b"alice")],
    }  # fmt: skip
    statuses: set[int] = set()

    async def receive() -> dict[str, Any]:
        # A read has no body, and its client doesn't hang up.
        await asyncio.get_running_loop().create_future()
        return {}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.add(message["status"])

    for _ in range(feeds):
        await app(dict(scope), receive, send)
    if statuses != {200}:
        raise RuntimeError(f"feeds were answered {statuses}")


def _order() -> dict[str, Any]:
    order: dict[str, Any] = json.loads(sys.stdin.readline() or "{}")
    return order


def _answer(found: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
