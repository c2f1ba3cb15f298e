"""How the workers' group shares out its partitions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor


class RoundRobin(RoundRobinPartitionAssignor):  # type: ignore[misc]  # aiokafka has no types
    """aiokafka's round robin, over partition counts that are known: by full topic name.

    A broker that has just started may not know its topics yet. aiokafka's own assignor leaves those out, so no worker would have any
    of their partitions: for up to five minutes, or for ever where the worker that led the group restarts under its own id.
    """

    def __init__(self, partitions: Mapping[str, int]) -> None:
        self._partitions = partitions

    # aiokafka calls it on what it was given, which here is an object: the base class has no state.
    def assign(self, cluster: Any, members: Any) -> Any:
        """The partitions of each member, by member id."""
        return super().assign(_KnownPartitions(cluster, self._partitions), members)


class _KnownPartitions:
    """What the assignor asks of aiokafka's `ClusterMetadata`."""

    def __init__(self, cluster: Any, partitions: Mapping[str, int]) -> None:
        self._cluster = cluster
        self._partitions = partitions

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        found: set[int] | None = self._cluster.partitions_for_topic(topic)
        if found is None and topic in self._partitions:
            return set(range(self._partitions[topic]))
        return found
