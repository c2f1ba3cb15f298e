"""The worker's consumer while the broker dies and comes back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fanfold.core.exit_codes import ExitCode
from tests.support.engines import RealEngines
from tests.support.eventually import eventually
from tests.support.faust_worker import Worker, a_worker, append_follows
from tests.support.logs import own_topics

pytestmark = pytest.mark.real

EVENTS = 2000


async def test_nothing_is_lost_when_the_broker_dies_under_the_worker(
    engines: RealEngines, tmp_path: Path
) -> None:
    async with own_topics(engines, worker_id="worker-1", log_level="error") as settings:
        await append_follows(settings, EVENTS)
        with a_worker(settings, tmp_path / "handled") as worker:
            await the_broker_dies_under(worker, engines)


async def the_broker_dies_under(worker: Worker, engines: RealEngines) -> None:
    await worker.progresses()
    await asyncio.to_thread(engines.kill_kafka)
    await asyncio.sleep(1)
    await asyncio.to_thread(engines.start_kafka)

    async def all_handled() -> bool:
        # A worker that gave up is started again, as an orchestrator would.
        if worker.process is not None and worker.process.poll() is not None:
            assert worker.process.returncode in (ExitCode.TRY_AGAIN, 1)
            worker.start()
        return len(set(worker.handled())) == EVENTS

    await eventually(all_handled, within_s=60, what="every event handled", every_s=0.5)
