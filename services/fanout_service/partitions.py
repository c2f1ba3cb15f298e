"""A topic's number of partitions never changes: every table is ordered by offsets within a partition."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from fanfold.core.errors import Fault


def refuse_other_partitions(
    found: Mapping[str, int], recorded: Mapping[str, int], *, declared: Collection[str]
) -> None:
    """Compare Kafka's topics with the numbers recorded in Cassandra when they were created. Raises `Fault`.

    A recorded topic that this version doesn't declare belongs to a later version, which runs too or was rolled back.
    """
    if not recorded:
        raise Fault("no partition counts are recorded: run `fanfold topics apply`")
    other = [
        f"{topic} has {found.get(topic, 0)} partitions and was created with {count}"
        for topic, count in sorted(recorded.items())
        if topic in declared and found.get(topic) != count
    ]
    if other:
        raise Fault(
            f"{'; '.join(other)}. Offsets of other partitions can't be compared with those in the tables:"
            " restore the topic, or start with new topics and an empty keyspace and replay."
        )
