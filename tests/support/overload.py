"""Three times what a server can do, and how it takes that.

`python -m tests.support.overload` does it for a minute to `fanfold dev` in a process of its own.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from tests.support.open_loop import Answers, Clients, a_request, percentile
from tests.support.probes import free_port

ADMITTED = (200, 201)
TIMES = 3
LIVENESS = a_request("GET", "/livez", actor="probe")
REQUESTS = [a_request("GET", "/users/alice/feed", actor="alice")] * 9 + [
    a_request("POST", "/posts", actor="alice", body=b'{"content": "hello"}')
]


@dataclass(frozen=True)
class Overload:
    """The answers at capacity, at three times that, and afterwards; with the answers of the probe meanwhile."""

    usual: Answers
    during: Answers
    probe: Answers
    after: Answers
    grown_bytes: int

    @property
    def usual_p99_s(self) -> float:
        return percentile(self.usual.of(*ADMITTED), 0.99)

    @property
    def admitted_p99_s(self) -> float:
        return percentile(self.during.of(*ADMITTED), 0.99)

    @property
    def refused_p99_s(self) -> float:
        return percentile(self.during.of(503), 0.99) if self.during.of(503) else 0.0

    @property
    def probe_p99_s(self) -> float:
        return percentile(self.probe.of(200), 0.99)

    @property
    def after_p99_s(self) -> float:
        return percentile(self.after.of(*ADMITTED), 0.99)


async def overload(
    port: int, requests: Sequence[bytes], *, clients: int, seconds: float, pid: int
) -> Overload:
    """Measure what so many clients get, then ask three times as often, then as the clients did before."""
    async with Clients(port) as asking, Clients(port) as probing:
        usual = await asking.as_fast_as(clients, requests, seconds=seconds / 4)
        per_s = TIMES * len(usual.of(*ADMITTED)) / (seconds / 4)
        before = psutil.Process(pid).memory_info().rss
        during, probe = await asyncio.gather(
            asking.at_rate(requests, per_s=per_s, seconds=seconds),
            probing.at_rate([LIVENESS], per_s=20, seconds=seconds),
        )
        grown = psutil.Process(pid).memory_info().rss - before
        after = await asking.as_fast_as(clients, requests, seconds=seconds / 4)
    return Overload(usual, during, probe, after, grown)


def _main() -> None:
    port = free_port()
    command = [sys.executable, "-m", "fanfold", "dev", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        next(line for line in server.stdout if "Ctrl-C" in line)
        try:
            seen = asyncio.run(overload(port, REQUESTS, clients=16, seconds=60.0, pid=server.pid))
        finally:
            server.terminate()
    for what, answers in (("usual", seen.usual), ("overload", seen.during), ("after", seen.after)):
        print(what, dict(answers.counts))
    print(
        f"p99: usual {seen.usual_p99_s:.3f} s, admitted {seen.admitted_p99_s:.3f} s, refused {seen.refused_p99_s:.3f} s, "
        f"probe {seen.probe_p99_s:.3f} s, after {seen.after_p99_s:.3f} s; grown by {seen.grown_bytes / 1e6:.0f} MB"
    )


if __name__ == "__main__":
    _main()
