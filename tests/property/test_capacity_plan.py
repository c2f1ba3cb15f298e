"""Properties of `fanfold plan`, whatever is asked of it."""

from __future__ import annotations

from dataclasses import replace
from math import inf, isfinite

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfold.ops.plan.capacity import Capacity
from fanfold.ops.plan.curve import Curve
from fanfold.ops.plan.fan_out import age_s, cores, deliveries_per_s
from fanfold.ops.plan.reading import reading
from fanfold.ops.plan.storage import storage
from fanfold.ops.plan.threshold import Prices, allowed, cheapest, cost, cost_by_threshold, workers
from fanfold.ops.plan.workload import Workload
from tests.support.examples import examples
from tests.support.planning import a_plan, a_workload, some_costs

COSTS = some_costs()
PRICES = Prices()
USERS = (1_000, 30_000, 1_000_000, 20_000_000, 300_000_000)
LOADS = ("posts", "likes", "follows", "reads", "turnover")

workloads = st.builds(
    a_workload,
    users=st.sampled_from(USERS),
    active=st.floats(0.01, 0.5),
    turnover=st.floats(0, 0.02),
    posts=st.floats(0, 5),
    likes=st.floats(0, 50),
    follows=st.floats(0, 5),
    reads=st.floats(0, 50),
    peak=st.floats(1, 10),
    threshold=st.integers(100, 10_000_000),
    replication=st.integers(1, 5),
    years=st.floats(0.1, 10),
    delivery_age_s=st.floats(1, 60),
    feed_p99_ms=st.floats(12, 500),
    utilisation=st.floats(0.2, 0.8),
)


def amounts(workload: Workload) -> list[float]:
    """All that the plan counts, in fractions of machines."""
    threshold = float(workload.threshold)
    load = cores(workload, COSTS, threshold=threshold)
    feeds = reading(workload, COSTS, threshold=threshold)
    kept = storage(workload, COSTS, threshold=threshold)
    return [
        *load.worker.values(),
        *load.cassandra.values(),
        load.kafka,
        workers(workload, COSTS, load, threshold=threshold),
        feeds.processes,
        feeds.cassandra_cores,
        feeds.cache_reads,
        feeds.cache_writes,
        feeds.own_work,
        *kept.tables.values(),
        kept.log,
        kept.cache,
        cost(workload, COSTS, PRICES, threshold=threshold).total,
    ]


@examples(60)
@given(workload=workloads, name=st.sampled_from(LOADS), times=st.floats(1, 20))
def test_more_load_never_needs_less(workload: Workload, name: str, times: float) -> None:
    more = replace(workload, **{name: getattr(workload, name) * times})
    for before, after in zip(amounts(workload), amounts(more), strict=True):
        assert after >= before * (1 - 1e-9)


@examples(40)
@given(workload=workloads, times=st.floats(1, 3))
def test_a_higher_peak_or_more_replicas_never_need_less(workload: Workload, times: float) -> None:
    for more in (
        replace(workload, peak=workload.peak * times),
        replace(workload, replication=workload.replication + 1),
        replace(workload, years=workload.years * times),
    ):
        for before, after in zip(amounts(workload), amounts(more), strict=True):
            assert after >= before * (1 - 1e-9)


@examples(40)
@given(workload=workloads)
def test_a_stricter_target_never_needs_fewer_machines(workload: Workload) -> None:
    threshold = float(workload.threshold)
    load = cores(workload, COSTS, threshold=threshold)
    later = replace(workload, delivery_age_s=workload.delivery_age_s * 2)
    assert workers(workload, COSTS, load, threshold=threshold) >= workers(
        later, COSTS, load, threshold=threshold
    )
    slower = replace(workload, feed_p99_ms=workload.feed_p99_ms * 2)
    fast, slow = (
        reading(asked, COSTS, threshold=threshold).processes for asked in (workload, slower)
    )
    assert fast >= slow


@examples(60)
@given(workload=workloads)
def test_nothing_is_negative(workload: Workload) -> None:
    assert all(amount >= 0 for amount in amounts(workload))
    planned = a_plan(workload, COSTS)
    assert planned.workers >= 1
    assert 0 <= planned.worker_busy <= workload.utilisation + 1e-9
    assert planned.delivery_age_s <= workload.delivery_age_s
    assert all(limit.used > 0 for limit in planned.limits)


@examples(40)
@given(workload=workloads, times=st.integers(2, 1000))
def test_the_same_users_who_do_a_part_of_it_need_that_part(workload: Workload, times: int) -> None:
    """Scale-free: with the same audiences, so many times the users need so many times the machines, but for what a process does anyway."""
    scaled = replace(workload, users=workload.users * times)
    threshold = float(workload.threshold)
    for one, many in zip(
        cores(workload, COSTS, threshold=threshold).cassandra.values(),
        cores(scaled, COSTS, threshold=threshold).cassandra.values(),
        strict=True,
    ):
        assert many == pytest.approx(one * times)
    kept, more = (storage(asked, COSTS, threshold=threshold) for asked in (workload, scaled))
    assert more.disk == pytest.approx(kept.disk * times)
    assert more.log == pytest.approx(kept.log * times)
    assert more.cache == pytest.approx(kept.cache * times)
    idle = replace(
        COSTS,
        others_post_us=0.0,
        others_like_us=0.0,
        others_follow_us=0.0,
        pulled_author_us=0.0,
        head_us=0.0,
    )
    feeds, most = (reading(asked, idle, threshold=threshold) for asked in (workload, scaled))
    assert most.processes == pytest.approx(feeds.processes * times)


@examples(60)
@given(workload=workloads)
def test_the_cheapest_threshold_is_at_the_minimum_of_the_plotted_curve(workload: Workload) -> None:
    curve = cost_by_threshold(workload, COSTS, PRICES)
    best = cheapest(curve)
    if best is None:
        assert all(part.total == inf for _, part in curve)
        return
    least = dict(curve)[best].total
    assert isfinite(least)
    assert all(least <= part.total for _, part in curve)
    assert cost(workload, COSTS, PRICES, threshold=best).total == least


@examples(40)
@given(workload=workloads, number=st.integers(1, 200))
def test_the_allowed_threshold_is_the_largest_that_meets_the_target(
    workload: Workload, number: int
) -> None:
    found = allowed(workload, COSTS, workers=number)

    def age(threshold: float) -> float:
        busy = sum(cores(workload, COSTS, threshold=threshold).worker.values()) / number
        return age_s(workload, COSTS, audience=threshold, workers=number, busy=busy)

    largest = workload.audience.largest
    if found == inf:
        assert age(largest) <= workload.delivery_age_s
    else:
        assert found == 0 or age(found) <= workload.delivery_age_s
        assert age(found * 1.01 + 1) > workload.delivery_age_s


@examples(40)
@given(workload=workloads, lower=st.floats(10, 1e7), times=st.floats(1, 100))
def test_a_higher_threshold_pushes_more_and_pulls_less(
    workload: Workload, lower: float, times: float
) -> None:
    higher = lower * times
    assert deliveries_per_s(workload, threshold=lower) <= deliveries_per_s(
        workload, threshold=higher
    ) * (1 + 1e-9)
    low, high = (reading(workload, COSTS, threshold=asked) for asked in (lower, higher))
    assert low.celebrities >= high.celebrities
    assert low.processes >= high.processes * (1 - 1e-9)


@examples(60)
@given(
    points=st.lists(
        st.tuples(st.floats(1, 1e6), st.floats(0, 1e6)),
        min_size=1,
        max_size=6,
        unique_by=lambda p: p[0],
    ),
    sizes=st.tuples(st.floats(0, 2e6), st.floats(0, 2e6)),
)
def test_a_larger_size_never_costs_less(
    points: list[tuple[float, float]], sizes: tuple[float, float]
) -> None:
    curve = Curve.of(points)
    small, large = sorted(sizes)
    assert curve.at(small) <= curve.at(large) * (1 + 1e-9)
    assert curve.at(points[0][0]) >= points[0][1] * (1 - 1e-9)


def users_who_fill(planned: Capacity, what: str) -> float:
    return next(limit.users for limit in planned.limits if what in limit.what)


def test_a_limit_is_full_with_the_users_that_it_names() -> None:
    planned = a_plan()
    full = users_who_fill(planned, "engagement")
    workload = planned.workload
    again = a_plan(replace(workload, users=round(full)))
    used = next(limit.used for limit in again.limits if "engagement" in limit.what)
    assert used == pytest.approx(1, rel=1e-6)
