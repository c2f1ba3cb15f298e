"""The threshold: how many workers a target needs, which threshold a target allows, and what each threshold costs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from fanfold.core.errors import Rejected
from fanfold.ops.plan.costs import Costs
from fanfold.ops.plan.fan_out import Cores, age_s, cores
from fanfold.ops.plan.reading import reading
from fanfold.ops.plan.storage import storage
from fanfold.ops.plan.workload import Workload

GIB = 2**30
_STEPS_PER_DECADE = 8
_SMALLEST = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """A month, in any currency. The ratios matter: they are about those of the list prices of large clouds."""

    core: float = 25.0
    memory_gib: float = 3.0
    disk_gib: float = 0.1


def workers(workload: Workload, costs: Costs, load: Cores, *, threshold: float) -> float:
    """The workers that the load and the target of the delivery age need, not rounded.

    Load: busy cores / utilisation, as a worker is one process with one interpreter lock. Target: the number at which `age_s` of the
    largest pushed audience is the target. Raises `Rejected` where no number is enough.
    """
    busy = sum(load.worker.values())
    pushed = min(threshold, workload.audience.largest) * workload.awake
    bucket = min(pushed, workload.bucket_followers)
    # Deliveries that one idle worker makes in the time that the target leaves.
    deliveries = costs.deliveries_per_s * (workload.delivery_age_s - costs.first_visible_ms / 1000)
    if deliveries <= bucket:
        least = costs.first_visible_ms / 1000 + bucket / costs.deliveries_per_s
        raise Rejected(
            f"a delivery age of {workload.delivery_age_s:g} s is not possible: an idle worker needs {least:.2g} s for one slice of {bucket:,.0f} followers;"
            " raise --delivery-age, or lower --threshold"
        )
    # age_s solved for the workers W, with the busy share busy / W.
    return max(busy / workload.utilisation, (pushed + deliveries * busy) / (deliveries - bucket))


def allowed(workload: Workload, costs: Costs, *, workers: float) -> float:
    """The largest audience that this many workers reach within the target, whatever is pushed; infinite if that is every audience.

    A larger threshold means more usual work, so that work is counted at the threshold in question.
    """

    def fits(threshold: float) -> bool:
        busy = sum(cores(workload, costs, threshold=threshold).worker.values()) / workers
        age = age_s(workload, costs, audience=threshold, workers=workers, busy=busy)
        return age <= workload.delivery_age_s

    low, high = 0.0, workload.audience.largest * 1.001
    if fits(high):
        return inf
    for _ in range(50):
        middle = (low + high) / 2
        if fits(middle):
            low = middle
        else:
            high = middle
    return low


class Cost(NamedTuple):
    """Of a month, by what it is for. Infinite where no number of machines is enough."""

    writing: float
    """Workers, brokers, and Cassandra's and the cache's part of all writes."""
    reading: float
    """Feed processes, and Cassandra's and the cache's part of all reads."""
    keeping: float
    """Disk, and the shared cache's memory."""

    @property
    def total(self) -> float:
        return self.writing + self.reading + self.keeping


def cost(workload: Workload, costs: Costs, prices: Prices, *, threshold: float) -> Cost:
    """With machines in fractions: busy cores / utilisation x price, and memory and disk x price."""
    load = cores(workload, costs, threshold=threshold)
    feeds = reading(workload, costs, threshold=threshold)
    kept = storage(workload, costs, threshold=threshold)
    try:
        fan_out = workers(workload, costs, load, threshold=threshold)
    except Rejected:
        fan_out = inf
    written = sum(load.cassandra.values()) + load.kafka + feeds.cache_writes
    read = feeds.cassandra_cores + feeds.cache_reads
    worker = prices.core + costs.worker_mb * 1e6 / GIB * prices.memory_gib
    process = prices.core + costs.feed_process_mb * 1e6 / GIB * prices.memory_gib
    return Cost(
        writing=fan_out * worker + written / workload.utilisation * prices.core,
        reading=feeds.processes * process + read / workload.utilisation * prices.core,
        keeping=(kept.disk + kept.log) / GIB * prices.disk_gib
        + kept.cache / GIB * prices.memory_gib,
    )


def thresholds(workload: Workload) -> list[float]:
    """The thresholds that are compared and plotted: eight a decade, from 10 to the first above every audience."""
    found = [float(_SMALLEST)]
    while found[-1] <= workload.audience.largest:
        found.append(_SMALLEST * 10 ** (len(found) / _STEPS_PER_DECADE))
    return found


def cost_by_threshold(workload: Workload, costs: Costs, prices: Prices) -> list[tuple[float, Cost]]:
    """Threshold and cost of a month, for each of `thresholds`."""
    return [
        (threshold, cost(workload, costs, prices, threshold=threshold))
        for threshold in thresholds(workload)
    ]


def cheapest(curve: Sequence[tuple[float, Cost]]) -> float | None:
    """The threshold of the least total cost, the lowest of several; None where none is possible."""
    threshold, least = min(curve, key=lambda point: point[1].total)
    return threshold if least.total < inf else None
