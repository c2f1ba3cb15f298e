"""A ring of Cassandra nodes on loopback addresses, as three racks hold three replicas."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cassandra import ConsistencyLevel
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.policies import WhiteListRoundRobinPolicy

from tests.support.jars import CassandraFromJars, nodetool
from tests.support.probes import cassandra_answers, free_port

SEED = "127.0.0.21"
_TOKENS = (-6148914691236517206, 0, 6148914691236517205)


class RingNode(CassandraFromJars):
    """Number 1 to 3 starts with a token of its own; a later one takes the place of the node at `replaces`."""

    def __init__(self, number: int, *, port: int, storage_port: int, replaces: str = "") -> None:
        super().__init__()
        self.number, self._replaces = number, replaces
        self.port, self.storage_port, self.jmx_port = port, storage_port, free_port()
        self.address = f"127.0.0.{20 + number}"

    def filled(self, template: str, **values: object) -> Path:
        path = super().filled(template, **values)
        text = path.read_text().replace(
            f'seeds: "127.0.0.1:{self.storage_port}"', f'seeds: "{SEED}:{self.storage_port}"'
        )
        text = text.replace("_address: 127.0.0.1", f"_address: {self.address}")
        # To this snitch, which makes the second octet the datacenter, a node is the nearest to itself.
        text = text.replace("SimpleSnitch", "RackInferringSnitch")
        if self._replaces:
            text = text.replace("auto_bootstrap: false", "auto_bootstrap: true")
        else:
            text += f"initial_token: {_TOKENS[self.number - 1]}\n"
        path.write_text(text)
        return path

    def command(self) -> list[str]:
        # A node that is killed must know its schema when it comes back.
        dropped = {"flush_local_schema_changes"}
        more: dict[str, object] = {"cassandra.jmx.local.port": self.jmx_port}
        if self._replaces:
            # It waits until gossip has told it of the others.
            dropped |= {"ring_delay_ms", "skip_wait_for_gossip"}
            more |= {
                "cassandra.replace_address_first_boot": self._replaces,
                "cassandra.ring_delay_ms": 3000,
            }
        command = [
            word for word in super().command() if not any(option in word for option in dropped)
        ]
        at = command.index("-cp")
        return [*command[:at], *(f"-D{key}={value}" for key, value in more.items()), *command[at:]]

    def answers(self) -> bool:
        return cassandra_answers(self.address, self.port)

    def nodetool(self, *words: str) -> str:
        """Raises `CalledProcessError` where it fails."""
        return nodetool(self.jmx_port, *words)

    @contextmanager
    def asking(self, consistency: int = ConsistencyLevel.ONE) -> Iterator[Any]:
        """A session with this node alone as coordinator."""
        profile = ExecutionProfile(
            load_balancing_policy=WhiteListRoundRobinPolicy([self.address]),
            consistency_level=consistency,
            request_timeout=30,
        )
        cluster = Cluster(
            [self.address],
            port=self.port,
            protocol_version=5,
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        )
        try:
            yield cluster.connect()
        finally:
            cluster.shutdown()


@contextmanager
def running_ring() -> Iterator[list[RingNode]]:
    """Three nodes; those that a test appends are stopped too."""
    port, storage_port = free_port(), free_port()
    nodes = [RingNode(number, port=port, storage_port=storage_port) for number in (1, 2, 3)]
    try:
        started(nodes[:1])
        started(nodes[1:])
        yield nodes
    finally:
        for node in nodes:
            node.stop()


def started(nodes: Sequence[RingNode]) -> None:
    for node in nodes:
        node.launch()
    for node in nodes:
        node.wait()
