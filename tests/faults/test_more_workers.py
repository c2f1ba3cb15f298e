"""One worker becomes four and one again, under load: `make up WORKERS=4` and `make up WORKERS=1` on a running system."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace

import httpx2
import pytest

from tests.support.cluster_verdict import nothing_goes_wrong
from tests.support.eventually import eventually
from tests.support.local_system import LocalSystem
from tests.support.local_system_fixtures import a_system_for_a_load, client_of

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

_PROJECTED = 'fanfold_fanout_events_total{result="projected"'


@pytest.fixture(scope="module")
def system() -> Iterator[LocalSystem]:
    with a_system_for_a_load("workers", workers=1) as running:
        yield running


async def handled(system: LocalSystem, worker: str) -> float:
    """The records that a worker has handled since it started."""
    async with httpx2.AsyncClient() as client:
        at = f"http://{system.plan.host(worker)}:{system.plan.port(worker)}/metrics"
        lines = (await client.get(at)).text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(_PROJECTED))


async def each_handles_something(system: LocalSystem) -> None:
    """Return when every worker has handled records that it had not yet."""
    before = {name: await handled(system, name) for name in system.plan.worker_names}

    async def all_do() -> bool:
        return all([await handled(system, name) > of for name, of in before.items()])

    await eventually(all_do, within_s=120, every_s=0.5, what=f"each of {list(before)} works")


async def test_one_worker_becomes_four_and_one_again_and_nothing_is_lost(
    system: LocalSystem,
) -> None:
    four = replace(system, plan=replace(system.plan, workers=4))
    async with (
        client_of(system) as gateway,
        nothing_goes_wrong(system, gateway, "workers come and go"),
    ):
        for more_or_fewer in (four, system):
            began_s = time.monotonic()
            await asyncio.to_thread(more_or_fewer.up)
            await each_handles_something(more_or_fewer)
            count = more_or_fewer.plan.workers
            print(f"{count} workers work after {time.monotonic() - began_s:.1f} s")
    assert set(system.processes()) == set(system.plan.names)
