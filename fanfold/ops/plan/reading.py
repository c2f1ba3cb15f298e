"""What the feed processes and the shared cache do for all reads of the busiest hour. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, inf

from fanfold.core.errors import Rejected
from fanfold.ops.plan.costs import Costs
from fanfold.ops.plan.fan_out import US, deliveries_per_s
from fanfold.ops.plan.workload import Workload


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
    """Pulled authors whom a reader follows, on average."""
    pulled_authors: float


def reading(workload: Workload, costs: Costs, *, threshold: float) -> Reading:
    """Processes = busy cores of the reads / (allowed utilisation - own work).

    A first page costs `feed_us` + `celebrity_us` x followed celebrities. A celebrity's head is loaded again after each of
    their posts: in each process that asks for it, so at most processes x pulled posts/s times, and at most once a read and celebrity.
    """
    celebrities = workload.audience.follows_from(threshold)
    pulled = pulled_authors(workload, threshold=threshold)
    allowed = utilisation(workload, costs)
    own = own_work(workload, costs, pulled=pulled)
    reads = workload.reads_per_s * workload.peak
    posts = workload.posts_per_s * workload.peak * workload.audience.share_from(threshold)
    page = costs.feed_us + costs.celebrity_us * celebrities
    left = allowed - own
    # The number of loads rises with the processes up to once a read, so the smaller of the two answers holds.
    each_post = left - posts * costs.head_us * US
    processes = min(
        reads * page * US / each_post if each_post > 0 else inf,
        reads * (page + celebrities * costs.head_us) * US / left if left > 0 else inf,
    )
    loads = min(reads * celebrities, processes * posts if posts else 0.0)
    cassandra = reads * costs.feed_cassandra_us + loads * costs.head_cassandra_us
    pushed = deliveries_per_s(workload, threshold=threshold) * workload.peak
    return Reading(
        processes=processes,
        utilisation=allowed,
        own_work=own,
        feed_cores=processes * allowed,
        cassandra_cores=cassandra * US,
        cache_reads=reads * costs.cache_read_us * US,
        cache_writes=pushed * costs.cache_delivery_us * US,
        celebrities=celebrities,
        pulled_authors=pulled,
    )


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
