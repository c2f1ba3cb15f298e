"""A fourth Cassandra node joins under load and copies its share; then it leaves, and gives its share back."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import pytest

from deploy.local.engine_commands import engine_command
from deploy.local.supervisord import dies_with_its_parent
from tests.support.cluster_verdict import nothing_goes_wrong
from tests.support.eventually import eventually
from tests.support.jars import nodetool
from tests.support.local_system import LocalSystem
from tests.support.probes import cassandra_answers, free_port

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

ADDRESS = "127.0.0.4"


@contextmanager
def a_fourth_node(cluster: LocalSystem) -> Iterator[int]:
    """In the rack of the third, with its configuration and its own address, data and log. Yields nodetool's port."""
    plan, port = cluster.plan, free_port()
    third = plan.cassandras[2]

    def moved(text: str) -> str:
        text = text.replace(third, "cassandra-4").replace(plan.host(third), ADDRESS)
        return text.replace(str(plan.nodetool_port(third)), str(port))

    command = [*dies_with_its_parent(), *map(moved, engine_command(plan, third))]
    # It has no token yet, and no seed is its own.
    joining = moved((plan.configuration / f"{third}-replacing.yaml").read_text())
    (plan.configuration / "cassandra-4.yaml").write_text(joining)
    rack = plan.configuration / "cassandra-4" / "cassandra-rackdc.properties"
    rack.parent.mkdir(exist_ok=True)
    rack.write_text((plan.configuration / third / rack.name).read_text())
    # Java's options begin after the paths that the script takes.
    options = next(n for n in range(command.index(ADDRESS), len(command)) if command[n][0] == "-")
    command.insert(options, "-Dcassandra.ring_delay_ms=3000")
    with (
        plan.log("cassandra-4").open("wb") as log,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log) as process,
    ):
        try:
            yield port
        finally:
            process.kill()
    shutil.rmtree(plan.data_of("cassandra-4"), ignore_errors=True)
    (plan.data / "cassandra-4-joined").unlink(missing_ok=True)


async def test_a_fourth_node_joins_and_leaves_and_nothing_is_lost(
    cluster: LocalSystem, gateway: httpx2.AsyncClient
) -> None:
    began_s = time.monotonic()

    async def answers() -> bool:
        return await asyncio.to_thread(
            cassandra_answers, ADDRESS, cluster.plan.port(cluster.plan.cassandras[0])
        )

    async with nothing_goes_wrong(cluster, gateway, "a fourth node") as load:
        with a_fourth_node(cluster) as port:
            await eventually(answers, within_s=180, every_s=0.5, what="the fourth node answers")
            print(f"it joined after {time.monotonic() - began_s:.1f} s; {load.asked.refused}")
            status = await asyncio.to_thread(nodetool, port, "status", "fanfold")
            assert status.count("UN  ") == 4
            await asyncio.sleep(10)
            await asyncio.to_thread(nodetool, port, "decommission")
            print(f"it left after {time.monotonic() - began_s:.1f} s; {load.asked.refused}")
    first = cluster.plan.cassandras[0]
    assert (await asyncio.to_thread(cluster.nodetool, first, "status")).count("UN  ") == 3
    said = await asyncio.to_thread(
        cluster.nodetool, first, "repair", "--preview", "--full", "fanfold"
    )
    assert "in sync" in said, said
