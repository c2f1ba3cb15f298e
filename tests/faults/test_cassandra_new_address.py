"""Cassandra under another address, as a pod that was rescheduled: two relays stand for the addresses of one node."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from tests.support.clock import START_MS, ManualClock
from tests.support.engines import RealEngines
from tests.support.eventually import eventually
from tests.support.stores import answers, fresh, migrated, stores_in_cassandra

pytestmark = pytest.mark.real

NAME = "cassandra.test"
OLD, NEW = "127.0.0.11", "127.0.0.12"


class Relay:
    """Passes connections at one address on to the node; stopping cuts them."""

    def __init__(self, node: tuple[str, int]) -> None:
        self._node = node
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server

    async def start(self, address: str) -> None:
        self._server = await asyncio.start_server(self._passed_on, address, self._node[1])

    async def stop(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _passed_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        node_reader, node_writer = await asyncio.open_connection(*self._node)
        self._writers += [writer, node_writer]
        with suppress(ConnectionError):
            await asyncio.gather(_pump(reader, node_writer), _pump(node_reader, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def relayed(address: str, node: tuple[str, int]) -> AsyncIterator[Relay]:
    relay = Relay(node)
    await relay.start(address)
    try:
        yield relay
    finally:
        await relay.stop()


async def test_a_node_is_found_again_under_its_name_when_its_address_changes(
    engines: RealEngines, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = await migrated(engines)
    node = (settings.cassandra_hosts, settings.cassandra_port)
    address, resolve = OLD, socket.getaddrinfo

    def resolved(host: Any, *args: Any, **kwargs: Any) -> Any:
        return resolve(address if host == NAME else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    named = settings.model_copy(update={"cassandra_hosts": NAME})
    bob = fresh("bob")
    async with (
        relayed(OLD, node) as before,
        relayed(NEW, node),
        stores_in_cassandra(named, clock=ManualClock()) as stores,
    ):
        await stores.users.register(bob, "Bob", registered_at_ms=START_MS, offset=1)
        address = NEW
        await before.stop()
        await eventually(lambda: answers(stores), within_s=30, what="the new address is found")
        # By statements that were prepared before.
        assert (await stores.users.get(bob)).display_name == "Bob"
        await stores.users.register(bob, "Robert", registered_at_ms=START_MS, offset=2)
        assert (await stores.users.get(bob)).display_name == "Robert"
