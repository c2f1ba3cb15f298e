"""The network between each two kinds of processes misbehaves, one way after the other, under load.

Between the gateway, the services, one of two workers and the engines on a system of one broker and one node; between brokers, and between
nodes, on the cluster.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.support.bad_network import (
    AROUND_SERVICES,
    BETWEEN_ENGINES,
    FAULTS,
    Network,
    around_services,
    between_engines,
)
from tests.support.cluster_verdict import nothing_goes_wrong
from tests.support.local_system import LocalSystem
from tests.support.local_system_fixtures import a_system_for_a_load, client_of
from tests.support.toxiproxy import PROGRAM, Toxiproxy, running_toxiproxy

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

FAULT_S = 5
RECOVERS_S = 1


@pytest.fixture(scope="module")
def proxy() -> Iterator[Toxiproxy]:
    if not PROGRAM.exists():
        pytest.skip("scripts/fetch_toxiproxy builds it")
    with running_toxiproxy() as running:
        yield running


@pytest.fixture(scope="module")
def services(proxy: Toxiproxy) -> Iterator[Network]:
    with a_system_for_a_load("network", workers=2) as system:
        yield around_services(system, proxy)


@pytest.fixture(scope="module")
def engines(proxy: Toxiproxy, cluster: LocalSystem) -> Iterator[Network]:
    with between_engines(cluster, proxy) as network:
        yield network


@pytest.mark.parametrize("pair", [*AROUND_SERVICES, *BETWEEN_ENGINES])
async def test_nothing_is_lost_whatever_the_network_between_two_kinds_of_processes_does(
    request: pytest.FixtureRequest, pair: str
) -> None:
    which = "engines" if pair in BETWEEN_ENGINES else "services"
    network: Network = request.getfixturevalue(which)
    async with (
        client_of(network.system) as gateway,
        nothing_goes_wrong(network.system, gateway, f"network of {pair}") as load,
    ):
        assert network.is_in_use(pair)
        for fault, toxics in FAULTS.items():
            before = load.asked.refused
            network.spoil(pair, toxics)
            try:
                await asyncio.sleep(FAULT_S)
            finally:
                network.heal()
            await asyncio.sleep(RECOVERS_S)
            print(f"{pair}, {fault}: refused {dict(load.asked.refused - before)}")
