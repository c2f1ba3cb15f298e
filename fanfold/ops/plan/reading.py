"""What the feed processes and the shared cache do for all reads of the busiest hour. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, inf

from fanfold.core.errors import Rejected
from fanfold.ops.plan.costs import Costs
from fanfold.ops.plan.fan_out import US, deliveries_per_s
from fanfold.ops.plan.workload import Workload

_REMEMBERED_S = 0.5
"""How long a feed process remembers a celebrity's newest posts."""


@dataclass(frozen=True, slots=True)
class Reading:
    """At the peak. `processes` is infinite where no number is enough."""

    processes: float
    utilisation: float
    """The share of a process's core that the target for the 99th percentile allows."""
    own_work: float
    """The share of a process's core that others' writes and the pulled authors take, whatever it serves."""
    feed_cores: float
    """Busy cores of all feed processes."""
    cassandra_cores: float
    """Of one replica: a read asks one."""
    cache_reads: float
    """Busy cores of the shared cache for reads."""
    cache_writes: float
    """Busy cores of the shared cache for deliveries."""
    celebrities: float
    """Pulled authors that a reader follows, on average."""
    pulled_authors: float


def reading(workload: Workload, costs: Costs, *, threshold: float) -> Reading:
    """Processes = reads / the rate at which one process is as busy as it may be.

    A first page costs `feed_us` + `celebrity_us` x followed celebrities, and the loads of their newest posts (`head_loads`) cost
    `head_us`. The tables are asked for those once after each pulled post, because then the shared cache has them.
    """
    celebrities = workload.audience.follows_from(threshold)
    pulled = pulled_authors(workload, threshold=threshold)
    allowed = utilisation(workload, costs)
    own = own_work(workload, costs, pulled=pulled)
    reads = workload.reads_per_s * workload.peak
    page = costs.feed_us + costs.celebrity_us * celebrities
    rate, loads = _of_one_process(
        workload, allowed - own, page_us=page, head_us=costs.head_us, threshold=threshold
    )
    processes = reads / rate if rate else inf if reads else 0.0
    all_loads = processes * loads if loads else 0.0
    posts = workload.posts_per_s * workload.peak * workload.audience.share_from(threshold)
    pushed = deliveries_per_s(workload, threshold=threshold) * workload.peak
    from_tables = reads * costs.feed_cassandra_us + min(all_loads, posts) * costs.head_cassandra_us
    return Reading(
        processes=processes,
        utilisation=allowed,
        own_work=own,
        feed_cores=processes * allowed,
        cassandra_cores=from_tables * US,
        cache_reads=(reads * costs.cache_read_us + all_loads * costs.head_cache_us) * US,
        cache_writes=pushed * costs.cache_delivery_us * US,
        celebrities=celebrities,
        pulled_authors=pulled,
    )


def head_loads(workload: Workload, *, reads_per_s: float, threshold: float) -> float:
    """Loads of celebrities' newest posts in a second, by one process with this many reads.

    A reader follows an author with the chance followers / users. Readers of an author come at random, `d` a second, and a load serves
    all of them for half a second (docs/decisions/0036): so an author is loaded d / (1 + d/2) times a second.
    """
    loads = 0.0
    for group in workload.audience.classes:
        if group.followers >= threshold:
            demand = reads_per_s * group.followers / workload.users
            loads += workload.users * group.share * demand / (1 + demand * _REMEMBERED_S)
    return loads


def _of_one_process(
    workload: Workload, left: float, *, page_us: float, head_us: float, threshold: float
) -> tuple[float, float]:
    """The reads a second that fill this share of a core, and their loads of heads; both 0 if nothing is left."""
    if left <= 0:
        return 0.0, 0.0
    low, high = 0.0, left / (page_us * US)
    for _ in range(50):
        middle = (low + high) / 2
        loads = head_loads(workload, reads_per_s=middle, threshold=threshold)
        if (middle * page_us + loads * head_us) * US < left:
            low = middle
        else:
            high = middle
    return high, head_loads(workload, reads_per_s=high, threshold=threshold)


def utilisation(workload: Workload, costs: Costs) -> float:
    """The share of its highest rate at which a feed process was measured to answer within the target; at most --utilisation.

    Raises `Rejected` for a target below the 99th percentile at the lowest measured rate.
    """
    allowed = costs.feed_p99_ms.largest_within(workload.feed_p99_ms)
    if not allowed:
        least = costs.feed_p99_ms.points[0][1]
        raise Rejected(
            f"a feed p99 of {workload.feed_p99_ms:g} ms was never measured, not even with few reads: set --feed-p99 to {least:.3g} or more"
        )
    return min(allowed, workload.utilisation)


def own_work(workload: Workload, costs: Costs, *, pulled: float) -> float:
    """The busy share of one feed process's core at the peak, before its first reader: events/s x µs, and pulled authors x µs/s."""
    others = (
        workload.posts_per_s * costs.others_post_us
        + workload.likes_per_s * costs.others_like_us
        + (workload.follows_per_s + 2 * workload.turnover_per_s) * costs.others_follow_us
    )
    return (others * workload.peak + pulled * costs.pulled_author_us) * US


def pulled_authors(workload: Workload, *, threshold: float) -> float:
    """Authors at or above the threshold with a post within the retention window: Poisson authors with the mean rate of a user."""
    posts = workload.active * workload.posts * workload.retention_days
    return workload.users * workload.audience.share_from(threshold) * (1 - exp(-posts))
