"""Which nodes of the ring answer: asked by an operator."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from cassandra import DriverException
from cassandra.cluster import NoHostAvailable

from fanfold.adapters.cassandra.connect import connect
from fanfold.core.errors import Unavailable
from fanfold.core.settings import Settings


def nodes_down(settings: Settings) -> tuple[str, ...]:
    """The addresses of the ring's nodes that take no session. Blocks for some seconds. Raises `Unavailable` if none takes one."""
    addresses = _addresses(settings)
    with ThreadPoolExecutor(len(addresses)) as asking:
        answers = asking.map(lambda address: _answers(settings, address), addresses)
        return tuple(address for address, up in zip(addresses, answers, strict=True) if not up)


def _addresses(settings: Settings) -> list[str]:
    """As the ring reports them: also of nodes that the settings don't name, and of nodes that are down."""
    try:
        session = connect(settings, keyspace=None)
    except (DriverException, NoHostAvailable, OSError) as error:
        raise Unavailable(f"Cassandra at {settings.cassandra_hosts} does not answer") from error
    try:
        return sorted(str(host.address) for host in session.cluster.metadata.all_hosts())
    finally:
        session.cluster.shutdown()


def _answers(settings: Settings, address: str) -> bool:
    alone = settings.model_copy(update={"cassandra_hosts": address})
    try:
        connect(alone, keyspace=None).cluster.shutdown()
    except (DriverException, NoHostAvailable, OSError):
        return False
    return True
