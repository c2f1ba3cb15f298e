"""The formulas of `fanfold plan`, by examples that can be calculated in the head."""

from __future__ import annotations

from dataclasses import replace
from math import exp, inf
from typing import Any

import pytest

from fanfold.core.errors import Rejected
from fanfold.core.events import ACTIVITY, COMMANDS, ENGAGEMENT, GRAPH, POSTS
from fanfold.ops.plan.audience import Audience, AuthorClass
from fanfold.ops.plan.costs import Costs
from fanfold.ops.plan.curve import Curve
from fanfold.ops.plan.fan_out import age_s, cores, deliveries_per_s
from fanfold.ops.plan.reading import head_loads, reading, utilisation
from fanfold.ops.plan.storage import storage
from fanfold.ops.plan.threshold import Prices, allowed, cost, workers
from fanfold.ops.plan.workload import Workload
from tests.support.planning import a_plan, a_workload, some_costs

# Of 86,400 active users, one post a day is one a second.
USERS = 864_000
EVERYBODY = Audience(
    (AuthorClass(0.9, 100.0), AuthorClass(0.09, 10_000.0), AuthorClass(0.01, 500_000.0))
)
MEAN = 0.9 * 100 + 0.09 * 10_000 + 0.01 * 500_000


def a_day(**changes: Any) -> Workload:
    fields: dict[str, Any] = {
        "users": USERS,
        "audience": EVERYBODY,
        "active": 0.1,
        "awake": 0.5,
        "turnover": 0.0,
        "posts": 1.0,
        "likes": 10.0,
        "follows": 2.0,
        "reads": 20.0,
        "peak": 2.0,
        "replication": 3,
        "threshold": 100_000,
        "bucket_followers": 6250,
    }
    return a_workload(**{**fields, **changes})


def round_costs(**changes: Any) -> Costs:
    fields: dict[str, Any] = {
        "post_worker_us": Curve.of([(50, 1000), (5000, 21_000)]),
        "post_cassandra_us": Curve.of([(50, 2000), (5000, 90_000)]),
        "pulled_worker_us": 500.0,
        "pulled_cassandra_us": 600.0,
        "like_worker_us": 100.0,
        "like_cassandra_us": 200.0,
        "follow_worker_us": 300.0,
        "follow_cassandra_us": 400.0,
        "event_kafka_us": 10.0,
        "deliveries_per_s": 50_000.0,
        "first_visible_ms": 100.0,
        "feed_us": 1000.0,
        "feed_cassandra_us": 500.0,
        "celebrity_us": 2.0,
        "head_us": 300.0,
        "head_cache_us": 25.0,
        "head_cassandra_us": 400.0,
        "feed_p99_ms": Curve.of([(0.2, 10), (0.6, 90)]),
        "others_post_us": 10.0,
        "others_like_us": 20.0,
        "others_follow_us": 30.0,
        "pulled_author_us": 5.0,
        "cache_read_us": 150.0,
        "cache_delivery_us": 1.0,
        "cache_reader_bytes": 10_000.0,
        "cache_follow_bytes": 10.0,
        "pointer_bytes": 30.0,
        "follow_bytes": 120.0,
        "post_bytes": 200.0,
        "like_bytes": 100.0,
        "compaction_room": 0.5,
        "post_record_bytes": 500.0,
        "like_record_bytes": 400.0,
        "follow_record_bytes": 300.0,
    }
    return some_costs(**{**fields, **changes})


def test_a_mean_day_is_users_times_share_times_events() -> None:
    work = a_day()
    assert (work.posts_per_s, work.likes_per_s, work.follows_per_s, work.reads_per_s) == (
        1,
        10,
        2,
        20,
    )
    assert work.follows_a_user == pytest.approx(MEAN)
    assert work.events_per_s == 13
    assert replace(work, turnover=0.1).turnover_per_s == 1
    assert replace(work, turnover=0.1).events_per_s == 15
    assert work.readers_of_the_hour == pytest.approx(86_400 * (1 - exp(-20 / 24 * 2)))


def test_busy_cores_are_rates_at_the_peak_times_cpu() -> None:
    load = cores(a_day(), round_costs(), threshold=100_000)
    # 0.9 posts/s to 50 awake followers, 0.09 to 5,000 in slices, 0.01 pulled; twice as many at the peak.
    posts = 0.9 * 1000 + 0.09 * 1000 + 0.01 * 500
    slices = 0.09 * 20_000
    assert load.worker[POSTS] == pytest.approx(2 * posts / 1e6)
    assert load.worker[COMMANDS] == pytest.approx(2 * slices / 1e6)
    assert load.worker[ENGAGEMENT] == pytest.approx(2 * 10 * 100 / 1e6)
    assert load.worker[GRAPH] == pytest.approx(2 * 2 * 300 / 1e6)
    assert load.cassandra[POSTS] == pytest.approx(2 * 3 * (0.99 * 2000 + 0.01 * 600) / 1e6)
    assert load.cassandra[COMMANDS] == pytest.approx(2 * 3 * 0.09 * 88_000 / 1e6)
    assert load.cassandra[ENGAGEMENT] == pytest.approx(2 * 3 * 10 * 200 / 1e6)
    assert load.cassandra[GRAPH] == pytest.approx(2 * 3 * 2 * 400 / 1e6)
    assert load.kafka == pytest.approx(2 * 3 * 13 * 10 / 1e6)


def test_a_sleeper_costs_by_the_followees() -> None:
    costs = round_costs(
        sleep_worker_us=1000.0,
        wake_worker_us=3000.0,
        sleep_cassandra_us=500.0,
        wake_cassandra_us=700.0,
    )
    load = cores(a_day(turnover=0.1), costs, threshold=100_000)
    assert load.worker[ACTIVITY] == pytest.approx(2 * 1 * MEAN / 200 * 4000 / 1e6)
    assert load.cassandra[ACTIVITY] == pytest.approx(2 * 3 * 1 * MEAN / 200 * 1200 / 1e6)


def test_only_awake_followers_of_pushed_authors_are_delivered_to() -> None:
    assert deliveries_per_s(a_day(), threshold=100_000) == pytest.approx((90 + 900) * 0.5)
    assert deliveries_per_s(a_day(), threshold=1e9) == pytest.approx(MEAN * 0.5)


def test_the_age_of_a_post_is_the_first_delivery_all_rows_and_the_last_slice() -> None:
    age = age_s(a_day(), round_costs(), audience=100_000, workers=4, busy=0.5)
    assert age == pytest.approx(0.1 + 50_000 / (4 * 25_000) + 6250 / 25_000)
    assert age_s(a_day(), round_costs(), audience=10, workers=4, busy=1.0) == inf


def test_as_many_workers_are_planned_as_load_or_age_ask_for() -> None:
    costs = round_costs()
    work = a_day(utilisation=0.25)
    load = cores(work, costs, threshold=100_000)
    busy = sum(load.worker.values())
    assert workers(work, costs, load, threshold=100_000) == pytest.approx(busy / 0.25, abs=1)
    soon = replace(work, delivery_age_s=0.5)
    needed = workers(soon, costs, load, threshold=100_000)
    assert needed > busy / 0.25
    # At this number the age is the target.
    age = age_s(soon, costs, audience=100_000, workers=needed, busy=busy / needed)
    assert age == pytest.approx(0.5)
    assert allowed(soon, costs, workers=needed) == pytest.approx(100_000, rel=0.01)
    with pytest.raises(Rejected, match=r"an idle worker needs 0\.23 s"):
        workers(replace(work, delivery_age_s=0.2), costs, load, threshold=100_000)


def test_feed_processes_are_the_work_of_reads_divided_by_what_is_left_of_a_process() -> None:
    work, costs = a_day(feed_p99_ms=50.0), round_costs()
    feeds = reading(work, costs, threshold=100_000)
    assert feeds.celebrities == pytest.approx(5000)
    assert feeds.utilisation == pytest.approx(0.4)
    pulled = USERS * 0.01 * (1 - exp(-0.1 * 30))
    assert feeds.pulled_authors == pytest.approx(pulled)
    own = (2 * (1 * 10 + 10 * 20 + 2 * 30) + pulled * 5) / 1e6
    assert feeds.own_work == pytest.approx(own)
    page = 1000 + 5000 * 2
    rate = 40 / feeds.processes
    # 0.01 of the users are celebrities; a reader follows each with the chance 500,000 / 864,000.
    demand = rate * 500_000 / USERS
    loads = 0.01 * USERS * demand / (1 + demand / 2)
    assert head_loads(work, reads_per_s=rate, threshold=100_000) == pytest.approx(loads)
    assert rate * page + loads * 300 == pytest.approx((0.4 - own) * 1e6)
    # The tables are asked after each of 0.02 pulled posts a second.
    assert feeds.cassandra_cores == pytest.approx((40 * 500 + 0.02 * 400) / 1e6)
    all_loads = loads * feeds.processes
    assert feeds.cache_reads == pytest.approx((40 * 150 + all_loads * 25) / 1e6)
    assert feeds.cache_writes == pytest.approx(2 * 990 * 0.5 / 1e6)


def test_heads_are_asked_of_the_tables_at_most_as_often_as_they_are_loaded() -> None:
    work = a_day(feed_p99_ms=50.0, reads=0.001, posts=1000.0)
    feeds = reading(work, round_costs(others_post_us=0.0), threshold=100_000)
    loads = (feeds.cache_reads * 1e6 - 0.002 * 150) / 25
    assert 0 < loads < work.posts_per_s * 2 * 0.01
    assert feeds.cassandra_cores == pytest.approx((0.002 * 500 + loads * 400) / 1e6)


def test_a_process_without_time_for_readers_makes_the_plan_impossible() -> None:
    feeds = reading(a_day(), round_costs(others_like_us=50_000.0), threshold=100_000)
    assert feeds.processes == inf
    busy = round_costs(others_like_us=50_000.0)
    assert cost(a_day(), busy, Prices(), threshold=100_000).reading == inf


def test_the_busy_share_of_a_feed_process_follows_the_measured_percentiles() -> None:
    costs = round_costs()
    assert utilisation(a_day(feed_p99_ms=30.0), costs) == pytest.approx(0.3)
    # Never more than asked for, nor than measured.
    assert utilisation(a_day(feed_p99_ms=500.0, utilisation=0.5), costs) == 0.5
    assert utilisation(a_day(feed_p99_ms=500.0, utilisation=0.9), costs) == 0.6
    with pytest.raises(Rejected, match="set --feed-p99 to 10 or more"):
        utilisation(a_day(feed_p99_ms=9.0), costs)


def test_what_is_kept_is_rows_times_bytes_times_replicas() -> None:
    work = a_day(years=2.0, retention_days=30)
    kept = storage(work, round_costs(), threshold=100_000)
    seconds = 730 * 86_400
    assert kept.tables["timelines"] == pytest.approx(495 * 31 * 86_400 * 30 * 3)
    assert kept.tables["follows"] == pytest.approx((USERS * MEAN + 2 * seconds) * 120 * 3)
    assert kept.tables["posts"] == pytest.approx(seconds * 200 * 3)
    assert kept.tables["likes"] == pytest.approx(10 * seconds * 100 * 3)
    assert kept.disk == pytest.approx(sum(kept.tables.values()) * 1.5)
    per_s = (500 + 10 * 400 + 2 * 300) * 3
    assert kept.log_by_days[7] == pytest.approx(per_s * 7 * 86_400)
    assert kept.log == pytest.approx(per_s * seconds + USERS * MEAN * 300 * 3)
    assert kept.cache == pytest.approx(work.readers_of_the_hour * (10_000 + MEAN * 10))


def test_a_cost_is_cores_memory_and_disk_times_their_prices() -> None:
    work, costs = a_day(feed_p99_ms=50.0), round_costs()
    load, kept = cores(work, costs, threshold=100_000), storage(work, costs, threshold=100_000)
    only_cores = cost(
        work, costs, Prices(core=1.0, memory_gib=0.0, disk_gib=0.0), threshold=100_000
    )
    feeds = reading(work, costs, threshold=100_000)
    fan_out = workers(work, costs, load, threshold=100_000)
    written = sum(load.cassandra.values()) + load.kafka + feeds.cache_writes
    assert only_cores.writing == pytest.approx(fan_out + written / 0.5)
    read = feeds.cassandra_cores + feeds.cache_reads
    assert only_cores.reading == pytest.approx(feeds.processes + read / 0.5)
    assert only_cores.keeping == 0
    only_disk = cost(work, costs, Prices(core=0.0, memory_gib=0.0, disk_gib=1.0), threshold=100_000)
    assert only_disk.total == pytest.approx((kept.disk + kept.log) / 2**30)
    only_memory = cost(work, costs, Prices(core=0.0, memory_gib=1.0, disk_gib=0.0), threshold=1e5)
    assert only_memory.keeping == pytest.approx(kept.cache / 2**30)


def test_a_plan_has_whole_machines_and_twice_the_partitions() -> None:
    planned = a_plan(a_workload(users=100_000_000))
    assert planned.partitions % 12 == 0
    assert 2 * planned.workers <= planned.partitions < 2 * planned.workers + 12
    assert planned.worker_busy == pytest.approx(sum(planned.load.worker.values()) / planned.workers)
    costs = some_costs()
    writes = planned.workload.posts_per_s / costs.post_api_per_s
    writes += planned.workload.likes_per_s / costs.write_api_per_s
    assert planned.post_processes - 1 < writes * 4 / 0.5 <= planned.post_processes
