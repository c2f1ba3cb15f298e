"""Three times what a server can do, and how it takes that.

`python -m tests.support.overload` does it for a minute to `fanfold dev` in a process of its own, and exits with 1 if a
promise is not kept.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx2
import psutil

from fanfold.core.settings import Settings
from tests.support.eventually import eventually
from tests.support.open_loop import Answers, Clients, a_request, percentile
from tests.support.probes import free_port

ADMITTED = (200, 201)
TIMES = 3
CLIENTS = 32
"""As many, each of which waits for its answer, use all that a process can do, and are no overload."""
CONNECTIONS = 1000
"""Without an answer within 0.1 s the clients need as many: some thousand requests are sent a second."""

SHARE_OF_A_CORE = 0.5
"""To read and refuse two requests for each that is answered takes the rest: a feed of the embedded stack costs some five times as much as a refusal."""

WAIT_S: float = Settings.model_fields["max_cpu_wait_s"].default
"""What admitted requests may wait for one another, beside the time that they usually take. On a fast machine it is more than that time, in which they wait for 31 others."""

LIVENESS = a_request("GET", "/livez", actor="probe")
READS = [a_request("GET", "/users/alice/feed", actor="alice")]


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

    def broken_promises(self, *, share: float) -> list[str]:
        """What does not hold; with the figures, if anything does not. `share` of the usual answers come from an overloaded server too."""
        promises = {
            "refused or answered": set(self.during.counts) == {200, 503},
            # The usual answers were counted for a quarter of the time.
            "does what it can": self.during.counts[200] >= share * 4 * self.usual.counts[200],
            # How late the process itself was, other processes having the cores, shows in the probe.
            "admitted keep their p99": self.admitted_p99_s
            <= self.usual_p99_s + max(self.usual_p99_s, WAIT_S) + self.probe_p99_s,
            "refused within 100 ms": self.refused_p99_s <= 0.1,
            "alive within 100 ms": self.probe_p99_s <= 0.1,
            "bounded memory": self.grown_bytes < 32e6,
            "all answered afterwards": set(self.after.counts) == {200},
            "as before afterwards": self.after_p99_s <= 2 * self.usual_p99_s,
        }
        broken = [promise for promise, holds in promises.items() if not holds]
        return [*broken, self.figures()] if broken else []

    def figures(self) -> str:
        """What was counted and measured."""
        return (
            f"answers: usual {dict(self.usual.counts)}, overload {dict(self.during.counts)}, after {dict(self.after.counts)}; "
            f"p99: usual {self.usual_p99_s:.3f} s, admitted {self.admitted_p99_s:.3f} s, refused {self.refused_p99_s:.3f} s, "
            f"probe {self.probe_p99_s:.3f} s, after {self.after_p99_s:.3f} s; grown by {self.grown_bytes / 1e6:.0f} MB"
        )


async def overload(
    port: int, requests: Sequence[bytes], *, clients: int, seconds: float, pid: int
) -> Overload:
    """Measure what so many clients get, then ask three times as often, then as the clients did before."""
    async with Clients(port, CONNECTIONS) as asking, Clients(port, 8) as probing:
        # The first requests load what later ones share.
        await asking.as_fast_as(clients, requests, seconds=min(2, seconds / 4))
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


@asynccontextmanager
async def the_whole_api() -> AsyncIterator[tuple[int, int]]:
    """Every service on the embedded stack, in a process of its own: its port and its id."""
    port = free_port()
    command = [sys.executable, "-m", "fanfold", "dev", "--port", str(port)]
    server = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
    try:
        await eventually(lambda: _ready(port), within_s=60, what="the server is ready")
        yield port, server.pid
    finally:
        server.terminate()
        await server.wait()


async def _ready(port: int) -> bool:
    try:
        async with httpx2.AsyncClient() as http:
            return (await http.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200
    except httpx2.TransportError:
        return False


async def overload_of_the_whole_api(seconds: float) -> Overload:
    """Feed reads, which cost its core and wait for no engine."""
    async with the_whole_api() as (port, pid):
        return await overload(port, READS, clients=CLIENTS, seconds=seconds, pid=pid)


def _main() -> int:
    seen = asyncio.run(overload_of_the_whole_api(60.0))
    print(seen.figures())
    broken = seen.broken_promises(share=SHARE_OF_A_CORE)
    print("\n".join(broken) or "every promise is kept")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(_main())
