"""How the worker's process starts, is asked how it is, and stops."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from fanfold.adapters.cassandra.migrate import migrate, record_partitions
from fanfold.adapters.kafka.admin import apply_topics, partition_counts
from tests.support.engines import RealEngines, prepared, settings_for
from tests.support.metrics_page import names_in, names_of
from tests.support.real_stack import ready, service

pytestmark = pytest.mark.real


async def test_a_worker_answers_probes_and_stops_cleanly_when_told(
    engines: RealEngines, tmp_path: Path
) -> None:
    settings = await prepared(settings_for(engines))
    with service("fanout_service", settings, tmp_path) as worker:
        await ready(worker)
        async with httpx2.AsyncClient(base_url=worker.url) as client:
            assert (await client.get("/livez")).status_code == 200
            metrics = (await client.get("/metrics")).text
        assert names_in(metrics) == names_of("fanout_service")
        assert worker.stop() == 0


async def test_a_worker_refuses_to_start_on_topics_of_another_partition_count(
    engines: RealEngines, tmp_path: Path
) -> None:
    settings = settings_for(engines)
    await migrate(settings)
    await apply_topics(settings)
    counts = await partition_counts(settings)
    await record_partitions(settings, {**counts, "posts.v1": counts["posts.v1"] + 1})
    with service("fanout_service", settings, tmp_path) as worker:
        assert worker.process.wait(timeout=30) == 1
        assert "posts.v1 has 12 partitions and was created with 13" in worker.output.read_text()
