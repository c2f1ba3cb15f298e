"""The simulated day of `fanfold plan`: queues whose ages can be calculated by hand, and a day that follows its rates."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from random import Random

import pytest

from fanfold.ops.plan.curve import Curve
from fanfold.ops.plan.fan_out import cores
from fanfold.ops.plan.queues import TURN_S, Arrival, Queues, Service, percentile
from fanfold.ops.plan.simulate import BUSIEST_HOUR, Hour, Surge, day, simulate_day
from tests.support.planning import a_workload, some_costs

SERVICE = Service(
    post_s=lambda followers: 0.001 + followers * 1e-5,
    pulled_s=0.002,
    slice_s=lambda followers: followers * 1e-5,
    bucket=1000,
)


def ages(
    *arrivals: Arrival, workers: int = 1, until_s: float = 100.0, service: Service = SERVICE
) -> list[float]:
    queues = Queues(workers, service, random=Random(1))
    queues.run(arrivals, until_s=until_s)
    return queues.ages(until_s=until_s)


def test_a_post_alone_takes_its_work_and_the_latency() -> None:
    assert ages(Arrival(5.0, 100)) == [pytest.approx(0.002)]
    assert ages(Arrival(5.0, 100), service=replace(SERVICE, latency_s=0.01)) == [
        pytest.approx(0.012)
    ]


def test_a_post_waits_for_the_next_look_half_a_pause_on_average() -> None:
    service = replace(SERVICE, pause_s=0.02)
    found = ages(*[Arrival(float(at_s), 100) for at_s in range(90)], service=service)
    assert all(0.002 <= age <= 0.0221 for age in found)
    assert sum(found) / 90 == pytest.approx(0.012, abs=0.002)


def test_posts_of_one_batch_end_together_and_a_larger_batch_one_after_the_other() -> None:
    together = [Arrival(1.0, 100), *[Arrival(1.0005, 100)] * 3]
    # The first is a batch of its own, and the others are taken when it is done.
    assert ages(*together) == pytest.approx([0.002, *[0.0075] * 3])
    assert ages(*together, service=replace(SERVICE, together=2)) == pytest.approx(
        [0.002, 0.0055, 0.0075, 0.0075]
    )


def test_a_whole_batch_is_taken_at_once_and_a_smaller_one_after_the_pause() -> None:
    service = replace(SERVICE, batch=2, pause_s=0.5)
    found = ages(*[Arrival(1.0, 100)] * 5, service=service)
    first = found[0]
    assert found == pytest.approx([first, first, first + 0.004, first + 0.004, first + 0.506])


def test_a_post_with_slices_ends_with_the_last_of_them() -> None:
    assert ages(Arrival(0.0, 3000)) == [pytest.approx(0.001 + 3 * 0.01)]
    # Two workers share the 17 slices; chance gives one of them at least nine.
    shared = ages(Arrival(0.0, 3000), workers=2)
    assert 0.001 + 0.03 * 9 / 17 - 1e-9 <= shared[0] < 0.001 + 0.03


def test_a_small_post_takes_turns_with_slices() -> None:
    large, small = ages(Arrival(0.0, 50_000), Arrival(0.1, 100))
    assert large > 0.5
    assert small <= 0.002 + TURN_S + 1e-9


def test_a_pulled_post_takes_time_and_has_no_age() -> None:
    assert ages(Arrival(0.0, pulled=True), Arrival(0.0001, 100)) == [pytest.approx(0.0039)]


def test_other_work_delays_posts_of_the_same_worker_only() -> None:
    other = Arrival(0.0, topic="graph.v1", other_work_s=1.0, worker=0)
    queues = Queues(2, SERVICE, random=Random(1))
    queues.run([other, Arrival(0.0, 100, worker=1), Arrival(0.0, 400, worker=0)], until_s=10)
    free, delayed = queues.ages(until_s=10)
    assert free == pytest.approx(0.002)
    assert delayed == pytest.approx(TURN_S + 0.005)
    assert queues.busy(10) == pytest.approx((1.0 + 0.002 + 0.005) / 2 / 10)


def test_a_post_that_is_not_done_in_time_is_late_for_ever() -> None:
    alone = replace(SERVICE, together=1)
    assert ages(*[Arrival(0.0, 1000)] * 3, until_s=0.025, service=alone) == [
        pytest.approx(0.011),
        pytest.approx(0.022),
        inf,
    ]


def test_a_percentile_is_one_of_the_ages() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([float(number) for number in range(1, 101)], 0.99) == 99.0
    assert percentile([], 0.5) == 0.0


@pytest.mark.parametrize("peak", [1, 1.5, 4, 10])
def test_a_day_has_the_mean_and_the_peak_that_were_asked_for(peak: float) -> None:
    rates = day(peak)
    assert len(rates) == 24
    assert sum(rates) / 24 == pytest.approx(1)
    assert max(rates) == rates[BUSIEST_HOUR] == pytest.approx(peak)
    assert min(rates) > 0


@pytest.mark.slow
def test_the_busiest_hour_has_the_planned_load() -> None:
    workload = a_workload(users=20_000_000)
    hours = simulate_day(workload, some_costs(), workers=6, window_s=10)
    busiest = hours[BUSIEST_HOUR]
    assert busiest.posts == pytest.approx(workload.posts_per_s * workload.peak * 10, rel=0.2)
    load = cores(workload, some_costs(), threshold=workload.threshold)
    assert busiest.busy == pytest.approx(sum(load.worker.values()) / 6, rel=0.2)
    assert max(hour.busy for hour in hours) == busiest.busy
    assert 0 < busiest.p50_s < busiest.p99_s < 1
    again = simulate_day(workload, some_costs(), workers=6, window_s=10)
    assert again == hours


@pytest.mark.slow
def test_a_storm_of_follows_delays_its_worker_and_a_burst_all() -> None:
    workload = a_workload(users=5_000_000)

    def hours(surge: Surge) -> list[Hour]:
        return simulate_day(workload, some_costs(), workers=2, surge=surge, window_s=20)

    usual, storm, burst = hours(Surge()), hours(Surge(20_000)), hours(Surge(posts=1000))
    # More follows than one worker can fold: its posts take turns with them.
    assert storm[BUSIEST_HOUR].p99_s > usual[BUSIEST_HOUR].p99_s
    assert storm[BUSIEST_HOUR].busy > usual[BUSIEST_HOUR].busy + 0.1
    assert burst[BUSIEST_HOUR].p99_s > usual[BUSIEST_HOUR].p99_s * 4
    assert storm[:BUSIEST_HOUR] == burst[:BUSIEST_HOUR] == usual[:BUSIEST_HOUR]


@pytest.mark.slow
def test_workers_with_more_work_than_time_fall_behind() -> None:
    costs = some_costs()
    slow = replace(costs, post_worker_us=Curve.of([(1, 100_000)]), like_worker_us=0.0)
    hours = simulate_day(a_workload(users=2_000_000), slow, workers=1, window_s=10)
    # A hundred posts of a tenth of a second arrive in ten seconds; the last of them wait for most of the others.
    assert hours[BUSIEST_HOUR].p99_s > 2
    assert hours[BUSIEST_HOUR].busy == pytest.approx(1, abs=0.01)
