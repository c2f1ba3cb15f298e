"""What is kept: in Cassandra, in the brokers, and in the shared cache. Pure; bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fanfold.ops.plan.costs import Costs
from fanfold.ops.plan.fan_out import deliveries_per_s
from fanfold.ops.plan.workload import DAY_S, Workload

YEAR_DAYS = 365
LOG_DAYS = (7, 31, YEAR_DAYS)
"""Retentions for which the broker's disk is shown. Fanfold keeps the projected topics for ever, because tables are rebuilt from them."""


@dataclass(frozen=True, slots=True)
class Storage:
    """All replicas together, except for the cache, which has none."""

    tables: Mapping[str, float]
    compaction_room: float
    log_by_days: Mapping[int, float]
    log: float
    """After `Workload.years`, with a record for each follow that there was at first."""
    cache: float

    @property
    def disk(self) -> float:
        """Cassandra's, with the room for compaction."""
        return sum(self.tables.values()) + self.compaction_room


def storage(workload: Workload, costs: Costs, *, threshold: float) -> Storage:
    """Rows x bytes x replicas. Pointers live for the retention window and a day; posts, likes and follows for ever."""
    days = workload.years * YEAR_DAYS
    first_follows = workload.users * workload.follows_a_user
    rows = {
        "timelines": (
            deliveries_per_s(workload, threshold=threshold)
            * DAY_S
            * min(workload.retention_days + 1, days)
            * costs.pointer_bytes
        ),
        "follows": ((first_follows + workload.follows_per_s * DAY_S * days) * costs.follow_bytes),
        "posts": workload.posts_per_s * DAY_S * days * costs.post_bytes,
        "likes": workload.likes_per_s * DAY_S * days * costs.like_bytes,
    }
    tables = {name: size * workload.replication for name, size in rows.items()}
    a_day = log_bytes_per_s(workload, costs) * DAY_S
    return Storage(
        tables=tables,
        compaction_room=sum(tables.values()) * costs.compaction_room,
        log_by_days={kept: a_day * kept for kept in LOG_DAYS},
        log=a_day * days + first_follows * costs.follow_record_bytes * workload.replication,
        cache=cache_bytes(workload, costs),
    )


def log_bytes_per_s(workload: Workload, costs: Costs) -> float:
    """Bytes that the brokers store in a second, all replicas, in the mean of the day. Commands and compression are left out."""
    return workload.replication * (
        workload.posts_per_s * costs.post_record_bytes
        + workload.likes_per_s * costs.like_record_bytes
        + (workload.follows_per_s + 2 * workload.turnover_per_s) * costs.follow_record_bytes
    )


def cache_bytes(workload: Workload, costs: Costs) -> float:
    """Readers of the busiest hour x (the graph and the rest of an entry), because entries live for an hour."""
    reader = costs.cache_reader_bytes + workload.follows_a_user * costs.cache_follow_bytes
    return workload.readers_of_the_hour * reader
