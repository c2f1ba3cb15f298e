"""A day of an installation, hour by hour, through the queues of its workers. Pure: the same seed gives the same day."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from math import cos, exp, pi, sqrt
from random import Random

from fanfold.core.events import ACTIVITY, ENGAGEMENT, GRAPH
from fanfold.ops.plan.costs import Costs
from fanfold.ops.plan.fan_out import US
from fanfold.ops.plan.queues import Arrival, Queues, Service, percentile
from fanfold.ops.plan.workload import Workload

HOURS = 24
BUSIEST_HOUR = 20
_TICK_S = 0.1
"""Likes, follows and other small work arrive in portions, one for each tick and worker, where they are many."""
_WARM_UP_S = 5.0
_QUIETEST = 0.2
_WINDOW_S, _LONGEST_WINDOW_S, _WINDOW_POSTS = 20.0, 1800.0, 2000
_PATIENCE_S = 60.0
_SMALL = 10
"""Followers of the author whose posts were timed without other load."""
_PAUSE_S = 0.02
"""The shipped costs are of a worker that looked every 20 ms. A worker that doesn't is a little faster than simulated."""


@dataclass(frozen=True, slots=True)
class Surge:
    """What is added to the busiest hour."""

    follows_per_s: float = 0.0
    """A storm of follows of one followee, throughout the window: all of it is one worker's work."""
    posts: int = 0
    """A burst of posts at one moment, in the middle of the window."""


NO_SURGE = Surge()


@dataclass(frozen=True, slots=True)
class Hour:
    """Ages are seconds from the append of a pushed post to its last follower; infinite if later than a minute after the window."""

    hour: int
    posts: int
    busy: float
    """The workers' busy share."""
    p50_s: float
    p99_s: float


def simulate_day(
    workload: Workload,
    costs: Costs,
    *,
    workers: int,
    surge: Surge = NO_SURGE,
    window_s: float | None = None,
    hours: Collection[int] = range(HOURS),
    seed: int = 1,
) -> list[Hour]:
    """A window of each hour at that hour's rates. Each window begins without a backlog and after a few seconds of warming up."""
    return [
        _hour(
            workload,
            costs,
            hour=hour,
            rate=rate,
            workers=workers,
            window_s=window_s or _window_s(workload),
            surge=surge if hour == BUSIEST_HOUR else Surge(),
            # Not for secrets: the same seed must give the same day.
            random=Random(seed * HOURS + hour),  # noqa: S311
        )
        for hour, rate in enumerate(day(workload.peak))
        if hour in hours
    ]


def _window_s(workload: Workload) -> float:
    """Long enough for two thousand posts in a mean hour, within limits."""
    return min(_LONGEST_WINDOW_S, max(_WINDOW_S, _WINDOW_POSTS / max(workload.posts_per_s, 1e-9)))


def day(peak: float) -> list[float]:
    """The rate of each hour in means of the day: one hump, whose highest hour is `peak` and whose mean is 1.

    A fifth of the mean all day, and a raised cosine to the power that gives the mean; with a peak of 1, a day without a hump.
    """

    def shape(power: float) -> list[float]:
        turns = (2 * pi * (hour - BUSIEST_HOUR) / HOURS for hour in range(HOURS))
        return [_QUIETEST + (peak - _QUIETEST) * ((1 + cos(turn)) / 2) ** power for turn in turns]

    low, high = 0.0, 1000.0
    for _ in range(60):
        middle = (low + high) / 2
        if sum(shape(middle)) / HOURS > 1:
            low = middle
        else:
            high = middle
    return shape(low)


def service_of(workload: Workload, costs: Costs) -> Service:
    """A post takes the longer of a worker's CPU and its measured rate of deliveries, because Cassandra may need longer than the worker.

    A batch's latency is what a small post takes without other load (measured, `small_post_ms`), without its own work and without
    half a pause, which a post waits for the agent on average.
    """

    def slice_s(followers: float) -> float:
        return followers / costs.deliveries_per_s

    def post_s(followers: float) -> float:
        return max(costs.post_worker_us.at(followers) * US, slice_s(followers))

    return Service(
        post_s=post_s,
        pulled_s=costs.pulled_worker_us * US,
        slice_s=slice_s,
        bucket=workload.bucket_followers,
        latency_s=max(0.0, costs.small_post_ms / 1000 - post_s(_SMALL) - _PAUSE_S / 2),
        pause_s=_PAUSE_S,
    )


def _hour(
    workload: Workload,
    costs: Costs,
    *,
    hour: int,
    rate: float,
    workers: int,
    window_s: float,
    surge: Surge,
    random: Random,
) -> Hour:
    queues = Queues(workers, service_of(workload, costs), random=random)
    whole_s = _WARM_UP_S + window_s
    arrivals = [
        *_posts(workload, rate, whole_s, random),
        *_other_work(workload, costs, rate, whole_s, workers=workers, random=random),
    ]
    arrivals += _surge(surge, workload, costs, whole_s, random)
    arrivals.sort(key=lambda arrival: arrival.at_s)
    warm = sum(
        1
        for arrival in arrivals
        if arrival.at_s < _WARM_UP_S and not arrival.other_work_s and not arrival.pulled
    )
    queues.run(arrivals, until_s=whole_s)
    busy = queues.busy(whole_s)
    ages = queues.ages(until_s=whole_s + _PATIENCE_S)[warm:]
    return Hour(hour, len(ages), busy, percentile(ages, 0.5), percentile(ages, 0.99))


def _posts(workload: Workload, rate: float, seconds: float, random: Random) -> Iterator[Arrival]:
    for at_s in _times(workload.posts_per_s * rate, seconds, random):
        yield _post(at_s, workload, random)


def _post(at_s: float, workload: Workload, random: Random) -> Arrival:
    """By an author of any class: each author posts as often."""
    (group,) = random.choices(workload.audience.classes, cum_weights=workload.audience.cumulated)
    pulled = group.followers >= workload.threshold
    return Arrival(at_s, group.followers * workload.awake, pulled=pulled)


def _other_work(
    workload: Workload, costs: Costs, rate: float, seconds: float, *, workers: int, random: Random
) -> Iterator[Arrival]:
    kinds = (
        (ENGAGEMENT, workload.likes_per_s, costs.like_worker_us),
        (GRAPH, workload.follows_per_s, costs.follow_worker_us),
        (ACTIVITY, workload.turnover_per_s, costs.sleep_worker_us + costs.wake_worker_us),
    )
    for topic, per_s, cost_us in kinds:
        for worker in range(workers):
            for at_s, events in _portions(per_s * rate / workers, seconds, random):
                work_s = events * cost_us * US
                yield Arrival(at_s, topic=topic, other_work_s=work_s, worker=worker)


def _portions(per_s: float, seconds: float, random: Random) -> Iterator[tuple[float, int]]:
    """Times and numbers of the events of a Poisson process; of a fast one, those of each tick together."""
    if per_s * _TICK_S >= 1:
        for tick in range(round(seconds / _TICK_S)):
            if events := _poisson(per_s * _TICK_S, random):
                yield (tick + random.random()) * _TICK_S, events
        return
    for at_s in _times(per_s, seconds, random):
        yield at_s, 1


def _times(per_s: float, seconds: float, random: Random) -> Iterator[float]:
    """A Poisson process."""
    at_s = random.expovariate(per_s) if per_s else seconds
    while at_s < seconds:
        yield at_s
        at_s += random.expovariate(per_s)


def _surge(
    surge: Surge, workload: Workload, costs: Costs, seconds: float, random: Random
) -> Iterator[Arrival]:
    if surge.follows_per_s:
        work_s = surge.follows_per_s * _TICK_S * costs.storm_follow_us * US
        for tick in range(round(seconds / _TICK_S)):
            yield Arrival(tick * _TICK_S, topic=GRAPH, other_work_s=work_s, worker=0)
    middle_s = (_WARM_UP_S + seconds) / 2
    for _ in range(surge.posts):
        yield _post(middle_s, workload, random)


def _poisson(mean: float, random: Random) -> int:
    """By counting arrivals; of a large mean by the normal distribution, which is close."""
    if mean > 30:
        return max(0, round(random.gauss(mean, sqrt(mean))))
    count, left = 0, exp(-mean)
    product = random.random()
    while product > left:
        count += 1
        product *= random.random()
    return count
