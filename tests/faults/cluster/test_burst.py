"""A minute in which other users post ten times as often as one system can take. On one broker and one node.

The requests come from many users and addresses, so that the gateway's limits let most of them through to the services.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from statistics import median

import psutil
import pytest

from tests.support.cluster_verdict import nothing_goes_wrong
from tests.support.eventually import eventually
from tests.support.local_follower import Follower
from tests.support.local_system import LocalSystem
from tests.support.local_system_fixtures import a_system_for_a_load, client_of
from tests.support.open_loop import Answers, Clients, a_request

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

TIMES = 10
SECONDS = 60
USERS = 400
ADDRESSES = [f"127.0.1.{number}" for number in range(1, 41)]
CLIENTS = 32
"""As many, each of which waits for its answer, use all that a process can do, and are no overload."""
CONNECTIONS = 600
SMALL_AUTHORS = 6
PAUSE_S = 0.5
"""Between two requests for one post. With shorter pauses a small author would meet the gateway's limit of posts."""
MOST_GROWTH_MB = 150


@pytest.fixture(scope="module")
def system() -> Iterator[LocalSystem]:
    with a_system_for_a_load("burst", workers=1) as running:
        yield running


def memory_mb(system: LocalSystem) -> dict[str, float]:
    return {
        name: psutil.Process(state.pid).memory_info().rss / 1e6
        for name, state in system.processes().items()
        if state.pid is not None
    }


def a_post(system: LocalSystem, number: int) -> bytes:
    body = b'{"content": "one of many"}'
    return a_request("POST", "/posts", token=system.token(f"crowd-{number}"), body=body)


def asked(port: int, requests: Sequence[bytes], per_s: float, seconds: float) -> Counter[int]:
    """How the requests were answered: as fast as the clients can, each of which waits, or at a rate. Runs in a process of its own."""

    async def ask() -> Answers:
        async with Clients(port, CONNECTIONS, ADDRESSES) as crowd:
            if not per_s:
                return await crowd.as_fast_as(CLIENTS, requests, seconds=seconds)
            return await crowd.at_rate(requests, per_s=per_s, seconds=seconds)

    return asyncio.run(ask()).counts


async def waits_s(small: Sequence[Follower], crowd: asyncio.Future[Counter[int]]) -> list[float]:
    """How long each post of the small authors takes from its acknowledgement until it is in the follower's feed, while the crowd asks."""
    waits: list[float] = []

    async def post_on(follower: Follower) -> None:
        while not crowd.done():
            await follower.post(len(follower.acknowledged))
            began_s = time.monotonic()
            await eventually(
                follower.has_everything_once, within_s=120, every_s=0.1, what="a small post"
            )
            waits.append(time.monotonic() - began_s)
            await asyncio.sleep(PAUSE_S)

    await asyncio.gather(*map(post_on, small))
    return waits


async def test_ten_times_the_capacity_for_a_minute_is_refused_and_everything_goes_on(
    system: LocalSystem,
) -> None:
    port, requests = system.plan.gateway_port, [a_post(system, number) for number in range(USERS)]
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as crowd:

        def crowd_asks(per_s: float, seconds: float) -> asyncio.Future[Counter[int]]:
            return loop.run_in_executor(crowd, asked, port, requests, per_s, seconds)

        # The first requests register the users, and load what later ones share.
        await crowd_asks(0, 5)
        async with (
            client_of(system, address="127.0.0.8") as other,
            client_of(system, address="127.0.0.9") as gateway,
        ):
            small = [Follower(other, f"small-{n}", pause_s=PAUSE_S) for n in range(SMALL_AUTHORS)]
            await asyncio.gather(*(follower.follow() for follower in small))

            usual = crowd_asks(0, 15)
            usual_s, before_mb = await waits_s(small, usual), memory_mb(system)
            capacity = (await usual)[201] / 15
            async with nothing_goes_wrong(system, gateway, "ten times the capacity") as load:
                burst = crowd_asks(TIMES * capacity, SECONDS)
                burst_s, after_mb = await waits_s(small, burst), memory_mb(system)
                answers = await burst
                print(f"capacity {capacity:.0f}/s; in the burst {answers}; {load.asked.refused}")
    grown = {name: round(after_mb[name] - mb) for name, mb in before_mb.items()}
    print(f"grown by MB: {grown}")
    for when, waits in (("at capacity", usual_s), ("in the burst", burst_s)):
        print(f"a small author {when}: median {median(waits):.2f} s of {len(waits)}")
    assert set(answers) <= {201, 429, 503}
    assert answers[503] + answers[429] > answers[201]
    assert {name: mb for name, mb in grown.items() if mb > MOST_GROWTH_MB} == {}
    assert median(burst_s) <= 2 * median(usual_s)
