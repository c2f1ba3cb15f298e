"""The worker's consumer while the broker dies and comes back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fanfold.kafka.admin import apply_topics
from fanout_service.stream import EX_TEMPFAIL
from tests.support.engines import RealEngines, settings_for
from tests.support.eventually import eventually
from tests.support.faust_worker import a_worker, append_follows

pytestmark = pytest.mark.real

EVENTS = 3000


async def test_nothing_is_lost_when_the_broker_dies_under_the_worker(
    engines: RealEngines, tmp_path: Path
) -> None:
    settings = settings_for(engines, worker_id="worker-1", log_level="error")
    await apply_topics(settings)
    await append_follows(settings, EVENTS)
    with a_worker(settings, tmp_path / "handled") as worker:
        await worker.progresses()
        await asyncio.to_thread(engines.kill_kafka)
        await asyncio.sleep(1)
        await asyncio.to_thread(engines.start_kafka)

        async def all_handled() -> bool:
            # A worker that gave up is started again, as an orchestrator would.
            if worker.process is not None and worker.process.poll() is not None:
                assert worker.process.returncode in (EX_TEMPFAIL, 1)
                worker.start()
            return len(set(worker.handled())) == EVENTS

        await eventually(all_handled, within_s=60, what="every event handled", every_s=0.5)
