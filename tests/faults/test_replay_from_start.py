"""Everything is replayed into an empty keyspace, by `fanfold topics replay --from-start` and a worker, on the real engines."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fanfold.adapters.cassandra.migrate import migrate
from fanfold.adapters.kafka.log import KafkaLog
from fanfold.core.clock import SystemClock
from fanfold.core.events import GRAPH
from fanfold.core.settings import Settings
from tests.real.test_replay import followers
from tests.support.engines import RealEngines, prepared, settings_for
from tests.support.eventually import eventually
from tests.support.logs import a_follow, everything
from tests.support.real_stack import fanfold, lag, ready, service

pytestmark = pytest.mark.real


async def worked_off(settings: Settings, path: Path) -> None:
    """A worker handles all there is, and stops; while it runs, the log is not replayed."""

    async def all_acknowledged() -> bool:
        return await lag(settings) == 0

    with service("fanout_service", settings, path) as worker:
        await ready(worker)
        await eventually(
            all_acknowledged, within_s=60, what="everything is acknowledged", every_s=0.5
        )
        refused = await fanfold(settings, "topics", "replay", "--from-start")
        assert refused.returncode != 0
        assert "stop all of them first" in refused.stderr
        assert len(refused.stderr.splitlines()) == 1, "nothing of the client's own log"


async def test_the_tables_are_rebuilt_in_an_empty_keyspace_and_a_dead_letter_is_handled(
    engines: RealEngines, tmp_path: Path
) -> None:
    settings = await prepared(settings_for(engines))
    async with KafkaLog(settings, clock=SystemClock(), source="test") as log:
        await log.append_many([a_follow(of="bob", by=f"u{n}") for n in range(5)])
        await log.append(a_follow(of="bob", by="late"))
        records = await everything(log, 6, [GRAPH])
        # As an older worker would have set it aside; its event is handled all the same.
        await log.dead_letter(records[-1], "Undecodable: unknown event type")
    await worked_off(settings, tmp_path)
    assert await followers(settings) == 6

    listed = await fanfold(settings, "dead-letters", "list", "--json")
    assert [letter["state"] for letter in json.loads(listed.stdout)] == ["waiting"], listed.stderr
    ran = await fanfold(settings, "dead-letters", "replay", "--json")
    assert json.loads(ran.stdout)["replayed"] == 1, ran.stderr
    ran = await fanfold(settings, "dead-letters", "replay", "--json")
    assert json.loads(ran.stdout)["left"] == {"replayed": 1}, ran.stderr

    empty = settings.model_copy(update={"cassandra_keyspace": f"{settings.cassandra_keyspace}b"})
    await migrate(empty)
    await prepared(empty)

    # The group is empty a moment after its worker has left. (One with a fixed id would be a member until its session ends.)
    async def rewound() -> bool:
        ran = await fanfold(empty, "topics", "replay", "--from-start")
        assert ran.returncode == 0 or "stop all of them first" in ran.stderr, ran.stderr
        return ran.returncode == 0

    await eventually(rewound, within_s=90, what="the group is empty", every_s=2)
    await worked_off(empty, tmp_path)
    assert await followers(empty) == 6

    later = datetime.now(UTC).isoformat()
    ran = await fanfold(empty, "topics", "replay", "--since", later, "--dry-run")
    assert "0 records would be" in ran.stderr
