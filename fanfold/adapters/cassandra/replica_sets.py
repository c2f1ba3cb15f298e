"""Which nodes hold a partition: rows and reads of several partitions travel together when they have the same replicas.

On a ring wider than the replication factor a statement for several replica sets makes its coordinator a bottleneck; on
one that isn't, every node is a replica of everything and there is a single set.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Hashable
from typing import Any

from cassandra.metadata import murmur3

from fanfold.adapters.cassandra.session import CassandraSession
from fanfold.core.settings import Settings

GroupOf = Callable[[bytes], Hashable]
"""A routing key's replica set."""


class ReplicaSets:
    """The replica sets of the ring as the driver knows it now."""

    def __init__(self, session: CassandraSession, settings: Settings) -> None:
        self._session = session
        self._settings = settings
        self._known: tuple[Any, GroupOf | None] = (None, None)

    def group_of(self) -> GroupOf | None:
        """A function from a routing key to its set, or None where there is only one. Raises `Unavailable`."""
        token_map = self._session.metadata.token_map
        # The driver makes a new map whenever the ring changes.
        if token_map is not self._known[0]:
            self._known = (token_map, group_by_replicas(token_map, self._settings))
        return self._known[1]


def group_by_replicas(token_map: Any, settings: Settings) -> GroupOf | None:
    """A function from a routing key to its local replicas, or None where all nodes hold everything."""
    if token_map is None:
        return None
    replica_sets = [
        frozenset(
            host
            for host in token_map.get_replicas(settings.cassandra_keyspace, token)
            if host.datacenter == settings.cassandra_datacenter
        )
        for token in token_map.ring
    ]
    if len(set(replica_sets)) <= 1:
        return None
    # The driver compares token objects in Python; plain numbers are several times as fast.
    tokens = [token.value for token in token_map.ring]

    def replicas(routing_key: bytes) -> Hashable:
        return replica_sets[bisect_left(tokens, murmur3(routing_key)) % len(tokens)]

    return replicas
