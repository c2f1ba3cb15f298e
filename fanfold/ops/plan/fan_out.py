"""What the workers, Cassandra and Kafka do for all writes of the busiest hour. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf

from fanfold.core.events import ACTIVITY, COMMANDS, ENGAGEMENT, GRAPH, POSTS
from fanfold.ops.plan.costs import Costs
from fanfold.ops.plan.workload import Workload

US = 1e-6
_FOLLOWS_OF_A_SLEEPER = 200
"""Follows of the user whose sleep was measured; the cost grows with them."""


@dataclass(frozen=True, slots=True)
class Cores:
    """Busy cores at the peak, by the topic that causes the work. Cassandra's are of all replicas together."""

    worker: Mapping[str, float]
    cassandra: Mapping[str, float]
    kafka: float


def cores(workload: Workload, costs: Costs, *, threshold: float) -> Cores:
    """Rate at the peak x CPU an event. Units: 1/s x µs / 1,000,000 = cores. Every replica of a row is written at the full cost."""
    likes, follows = workload.likes_per_s, workload.follows_per_s
    turnover = workload.turnover_per_s * workload.follows_a_user / _FOLLOWS_OF_A_SLEEPER
    posts, slices = _posts(workload, costs, threshold)
    worker = {
        POSTS: posts.worker,
        COMMANDS: slices.worker,
        ENGAGEMENT: likes * costs.like_worker_us,
        GRAPH: follows * costs.follow_worker_us,
        ACTIVITY: turnover * (costs.sleep_worker_us + costs.wake_worker_us),
    }
    cassandra = {
        POSTS: posts.cassandra,
        COMMANDS: slices.cassandra,
        ENGAGEMENT: likes * costs.like_cassandra_us,
        GRAPH: follows * costs.follow_cassandra_us,
        ACTIVITY: turnover * (costs.sleep_cassandra_us + costs.wake_cassandra_us),
    }
    peak, replicas = workload.peak * US, workload.replication
    return Cores(
        {topic: cost * peak for topic, cost in worker.items()},
        {topic: cost * peak * replicas for topic, cost in cassandra.items()},
        workload.events_per_s * costs.event_kafka_us * peak * replicas,
    )


@dataclass(slots=True)
class _Us:
    """µs of CPU a second, in the mean of the day."""

    worker: float = 0.0
    cassandra: float = 0.0


def _posts(workload: Workload, costs: Costs, threshold: float) -> tuple[_Us, _Us]:
    """Posts, and the slices of those whose audience has several.

    Every class of authors posts alike. A pushed post costs what its awake followers cost, a pulled one the same whatever its
    audience. Of a post with slices, `posts.v1` causes only what a post to nobody costs.
    """
    here, slices = _Us(), _Us()
    for group in workload.audience.classes:
        rate = workload.posts_per_s * group.share
        if group.followers >= threshold:
            here.worker += rate * costs.pulled_worker_us
            here.cassandra += rate * costs.pulled_cassandra_us
            continue
        audience = group.followers * workload.awake
        worker, cassandra = costs.post_worker_us.at(audience), costs.post_cassandra_us.at(audience)
        if group.followers <= workload.bucket_followers:
            here.worker += rate * worker
            here.cassandra += rate * cassandra
        else:
            planning, rows = costs.post_worker_us.at(0), costs.post_cassandra_us.at(0)
            here.worker += rate * planning
            here.cassandra += rate * rows
            slices.worker += rate * (worker - planning)
            slices.cassandra += rate * (cassandra - rows)
    return here, slices


def deliveries_per_s(workload: Workload, *, threshold: float) -> float:
    """Pointers written in a second, in the mean of the day: posts/s x mean awake audience of the authors below the threshold."""
    pushed = workload.follows_a_user - workload.audience.follows_from(threshold)
    return workload.posts_per_s * pushed * workload.awake


def age_s(
    workload: Workload, costs: Costs, *, audience: float, workers: float, busy: float
) -> float:
    """Seconds until the last follower of a post has it, while the workers do their usual work.

    What the only follower waits (measured, `first_visible_ms`), then audience / (workers x deliveries/s x idle share), then the
    last slice, which one worker delivers: at most a bucket / deliveries/s. `busy` is the workers' busy share; at 1 the age is infinite.
    """
    rate = costs.deliveries_per_s * (1 - busy)
    if rate <= 0 or workers <= 0:
        return inf
    awake = audience * workload.awake
    last_slice = min(awake, workload.bucket_followers)
    return costs.first_visible_ms / 1000 + awake / (rate * workers) + last_slice / rate
