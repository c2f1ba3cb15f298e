"""A small cluster of Redis: three masters, and a replica of the first if a test asks for it."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import hiredis

from tests.support.own_time import own_s
from tests.support.probes import free_port
from tests.support.redis_node import RedisFromPath

_BUS = 10_000
"""How far the port of the cluster's own messages is from that of its clients."""

NODE_TIMEOUT_MS = 1_000
_LONG_S = 60.0


class ClusterNode(RedisFromPath):
    """One server of a cluster."""

    def __init__(self) -> None:
        super().__init__(
            *("--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf"),
            *("--cluster-node-timeout", str(NODE_TIMEOUT_MS)),
            # A replica may take over however long it was without its master.
            *("--cluster-replica-validity-factor", "0"),
        )
        while not _is_free(self.port + _BUS):
            self.port = free_port()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
        return True


class RedisCluster:
    """The running nodes. `masters` are those that were masters at first."""

    def __init__(self, masters: list[ClusterNode], replica: ClusterNode | None) -> None:
        self.masters = masters
        self.replica = replica

    @property
    def nodes(self) -> list[ClusterNode]:
        return [*self.masters, *([self.replica] if self.replica else [])]

    @property
    def url(self) -> str:
        """As `FANFOLD_CACHE` takes it."""
        addresses = ",".join(f"127.0.0.1:{node.port}" for node in self.masters)
        return f"redis+cluster://{addresses}"

    def found(self) -> None:
        """Make one cluster of the nodes."""
        first = self.masters[0]
        for number, node in enumerate(self.nodes, start=1):
            ask(node, "CLUSTER", "SET-CONFIG-EPOCH", number)
        for number, node in enumerate(self.masters):
            first_slot, end = (16_384 * n // len(self.masters) for n in (number, number + 1))
            ask(node, "CLUSTER", "ADDSLOTS", *range(first_slot, end))
        for node in self.nodes[1:]:
            ask(node, "CLUSTER", "MEET", "127.0.0.1", first.port)
        wait_for(lambda: all(self._knows_all(node) for node in self.nodes), "the nodes meet")
        if self.replica is not None:
            ask(self.replica, "CLUSTER", "REPLICATE", ask(first, "CLUSTER", "MYID"))
            wait_for(self._replicated, "the replica is in step")
        self.wait_until_whole()

    def _knows_all(self, node: ClusterNode) -> bool:
        lines = ask(node, "CLUSTER", "NODES").decode().splitlines()
        return len(lines) == len(self.nodes) and not any("handshake" in line for line in lines)

    def _replicated(self) -> bool:
        assert self.replica is not None
        return b"master_link_status:up" in ask(self.replica, "INFO", "replication")

    def restart(self) -> None:
        """End all nodes at once, and start them with what they have saved."""
        for node in self.nodes:
            node.kill()
        for node in self.nodes:
            node.launch()
        for node in self.nodes:
            node.wait()
        self.wait_until_whole()

    def wait_until_whole(self) -> None:
        """Return once every running node takes questions for every slot."""
        running = [node for node in self.nodes if not node.is_gone()]
        wait_for(
            lambda: all(b"cluster_state:ok" in ask(node, "CLUSTER", "INFO") for node in running),
            "the cluster is whole",
        )


def wait_for(holds: Callable[[], bool], what: str) -> None:
    """Return once it holds."""
    until_s = own_s() + _LONG_S
    while not holds():
        assert own_s() < until_s, f"in vain: {what}"
        time.sleep(0.02)


def ask(node: RedisFromPath, *command: str | int | bytes) -> Any:
    """What one server answers to a command, without the product's code. Raises what the server refuses."""
    reader = hiredis.Reader()
    with socket.create_connection(("127.0.0.1", node.port), timeout=10) as peer:
        peer.sendall(hiredis.pack_command(command))  # type: ignore[arg-type]
        while (answer := reader.gets()) is False:
            reader.feed(peer.recv(1 << 16))
    if isinstance(answer, Exception):
        raise answer
    return answer


@contextmanager
def running_cluster(*, with_replica: bool = False) -> Iterator[RedisCluster]:
    """A cluster of one's own."""
    with ExitStack() as stack:
        nodes = [ClusterNode() for _ in range(4 if with_replica else 3)]
        for node in nodes:
            stack.callback(node.stop)
            node.launch()
        for node in nodes:
            node.wait()
        cluster = RedisCluster(nodes[:3], nodes[3] if with_replica else None)
        cluster.found()
        yield cluster
