"""The plan of an installation: all that the other modules calculate, put together. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, inf

from fanfold.ops.plan.costs import Costs
from fanfold.ops.plan.fan_out import Cores, age_s, cores, deliveries_per_s
from fanfold.ops.plan.limits import Limit, limits
from fanfold.ops.plan.reading import Reading, reading
from fanfold.ops.plan.storage import Storage, storage
from fanfold.ops.plan.threshold import (
    Cost,
    Prices,
    allowed,
    cheapest,
    cost,
    cost_by_threshold,
    workers,
)
from fanfold.ops.plan.workload import Workload

_PARTITIONS_OF = 12
"""Partitions are planned in dozens, which 2, 3, 4 and 6 workers share equally."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What the workload needs at its peak, with the threshold that it names."""

    workload: Workload
    deliveries_per_s: float
    """Mean of the day."""
    workers: int
    worker_busy: float
    """The workers' busy share at the peak."""
    delivery_age_s: float
    """Of the largest pushed audience at the peak."""
    partitions: int
    """Of each topic that workers share: twice the workers, because counts are fixed for life."""
    declared_partitions: int
    """The fewest that such a topic has with FANFOLD_PARTITIONS=many."""
    post_processes: int
    graph_processes: int
    feed_processes: int | None
    """None where no number is enough."""
    load: Cores
    feeds: Reading
    kept: Storage
    cassandra_cores: float
    """Of all nodes, with the planned idle share."""
    kafka_cores: float
    """Of all brokers, likewise."""
    cost: Cost
    """Of a month."""
    allowed_threshold: float
    """Infinite if every audience may be pushed."""
    cost_by_threshold: Sequence[tuple[float, Cost]]
    cheapest_threshold: float | None
    limits: Sequence[Limit]


def capacity(
    workload: Workload, costs: Costs, prices: Prices, *, partitions: Mapping[str, int]
) -> Capacity:
    """`partitions` are the declared counts by topic. Raises `Rejected` for a target that no number of machines reaches."""
    threshold = float(workload.threshold)
    load = cores(workload, costs, threshold=threshold)
    feeds = reading(workload, costs, threshold=threshold)
    kept = storage(workload, costs, threshold=threshold)
    number = max(1, ceil(workers(workload, costs, load, threshold=threshold)))
    busy = sum(load.worker.values()) / number
    curve = cost_by_threshold(workload, costs, prices)
    pushed = min(threshold, workload.audience.largest)
    tables = sum(load.cassandra.values()) + feeds.cassandra_cores
    return Capacity(
        workload=workload,
        deliveries_per_s=deliveries_per_s(workload, threshold=threshold),
        workers=number,
        worker_busy=busy,
        delivery_age_s=age_s(workload, costs, audience=pushed, workers=number, busy=busy),
        partitions=_PARTITIONS_OF * ceil(2 * number / _PARTITIONS_OF),
        declared_partitions=min(partitions[topic] for topic in load.worker),
        post_processes=_processes(
            workload,
            workload.posts_per_s / costs.post_api_per_s
            + workload.likes_per_s / costs.write_api_per_s,
        ),
        graph_processes=_processes(workload, workload.follows_per_s / costs.write_api_per_s),
        feed_processes=max(1, ceil(feeds.processes)) if feeds.processes < inf else None,
        load=load,
        feeds=feeds,
        kept=kept,
        cassandra_cores=tables / workload.utilisation,
        kafka_cores=load.kafka / workload.utilisation,
        cost=cost(workload, costs, prices, threshold=threshold),
        allowed_threshold=allowed(workload, costs, workers=number),
        cost_by_threshold=curve,
        cheapest_threshold=cheapest(curve),
        limits=limits(workload, costs, load=load, feeds=feeds, kept=kept, partitions=partitions),
    )


def _processes(workload: Workload, saturated: float) -> int:
    """Processes at the planned utilisation, from how many one would be saturated in the mean of the day."""
    return max(1, ceil(saturated * workload.peak / workload.utilisation))
