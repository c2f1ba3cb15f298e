"""The partitions of a group when the broker that the leader asks has just started."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

from fanout_service.share_partitions import RoundRobin

TOPICS = {"fanfold.posts.v1": 4, "fanfold.graph.v1": 3}


def a_cluster(**known: int) -> Any:
    found = {f"fanfold.{name}.v1": set(range(count)) for name, count in known.items()}
    return SimpleNamespace(partitions_for_topic=found.get)


def members(*names: str) -> Any:
    return {name: RoundRobinPartitionAssignor.metadata(TOPICS) for name in names}


def shared_out(assigned: Any) -> list[tuple[str, int]]:
    return sorted(
        (partition.topic, partition.partition)
        for member in assigned.values()
        for partition in member.partitions()
    )


ALL = sorted((topic, number) for topic, count in TOPICS.items() for number in range(count))


def test_every_partition_has_a_worker_though_the_broker_does_not_know_its_topics_yet() -> None:
    assigned = RoundRobin(TOPICS).assign(a_cluster(), members("one", "two"))
    assert shared_out(assigned) == ALL
    assert min(len(member.partitions()) for member in assigned.values()) == len(ALL) // 2


def test_a_broker_that_knows_some_of_its_topics_changes_nothing() -> None:
    assigned = RoundRobin(TOPICS).assign(a_cluster(posts=4), members("one"))
    assert shared_out(assigned) == ALL


def test_what_the_broker_knows_is_shared_out_as_aiokafka_does() -> None:
    cluster = a_cluster(posts=4, graph=3)
    own = RoundRobin(TOPICS).assign(cluster, members("one", "two"))
    assert own == RoundRobinPartitionAssignor.assign(cluster, members("one", "two"))
