"""A plan in words and numbers: for people, for programs, and for a page. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from math import isfinite
from typing import Any, NamedTuple

from fanfold.core.events import ACTIVITY, COMMANDS, ENGAGEMENT, GRAPH, POSTS
from fanfold.ops.plan.capacity import Capacity
from fanfold.ops.plan.costs import Costs
from fanfold.ops.plan.simulate import Hour

_WORK = {
    POSTS: "posts",
    COMMANDS: "slices",
    ENGAGEMENT: "likes",
    GRAPH: "follows",
    ACTIVITY: "sleeping users",
}
"""What each topic's work is, in words."""


class Row(NamedTuple):
    """A line of the plan: what, how much, and why."""

    what: str
    amount: str
    why: str


def sections(plan: Capacity) -> Iterator[tuple[str, list[Row]]]:
    """The plan, part by part."""
    yield "At the peak", list(_rates(plan))
    yield "Machines", list(_machines(plan))
    yield "Disk and memory", list(_kept(plan))
    yield "The threshold", list(_threshold(plan))
    yield "What breaks first", list(_limits(plan))


def _rates(plan: Capacity) -> Iterator[Row]:
    work, peak = plan.workload, plan.workload.peak
    yield Row("posts", rate(work.posts_per_s * peak), f"{peak:g} x the mean of the day")
    mean = plan.deliveries_per_s / work.posts_per_s if work.posts_per_s else 0.0
    yield Row("deliveries", rate(plan.deliveries_per_s * peak), f"{mean:.0f} a post, on average")
    yield Row("likes", rate(work.likes_per_s * peak), "")
    yield Row("follows and unfollows", rate(work.follows_per_s * peak), "")
    yield Row(
        "feed reads",
        rate(work.reads_per_s * peak),
        f"by readers who follow {plan.feeds.celebrities:.3g} celebrities",
    )


def _machines(plan: Capacity) -> Iterator[Row]:
    by_topic = ", ".join(f"{_WORK[topic]} {busy:.2g}" for topic, busy in plan.load.worker.items())
    yield Row(
        "workers",
        f"{plan.workers:,}",
        f"{percent(plan.worker_busy)} busy; busy cores: {by_topic}",
    )
    yield Row(
        "partitions",
        f"{plan.partitions:,}",
        f"of each topic that workers share: twice the workers, fixed for life; `many` has at least {plan.declared_partitions}",
    )
    yield Row("post_service processes", f"{plan.post_processes:,}", "posts and likes")
    yield Row("graph_service processes", f"{plan.graph_processes:,}", "")
    busy = f"{percent(plan.feeds.utilisation)} busy at most, for a p99 of {plan.workload.feed_p99_ms:g} ms"
    if plan.feeds.own_work:
        busy += f"; {percent(plan.feeds.own_work)} of each is taken before its first reader"
    number = "not possible" if plan.feed_processes is None else f"{plan.feed_processes:,}"
    yield Row("feed_service processes", number, busy)
    replicas = f"RF {plan.workload.replication}, {percent(plan.workload.utilisation)} busy"
    yield Row("Cassandra cores", f"{plan.cassandra_cores:,.1f}", replicas)
    yield Row("Kafka cores", f"{plan.kafka_cores:,.1f}", replicas)


def _kept(plan: Capacity) -> Iterator[Row]:
    kept, work = plan.kept, plan.workload
    tables = ", ".join(f"{name} {size(amount)}" for name, amount in kept.tables.items())
    age = f"{work.years:g} year" + ("" if work.years == 1 else "s")
    yield Row("Cassandra's disk", size(kept.disk), f"after {age}, RF {work.replication}: {tables}")
    yield Row("of it compaction head room", size(kept.compaction_room), "")
    yield Row("the log", size(kept.log), f"after {age}, with the follows that there were at first")
    for days, amount in kept.log_by_days.items():
        yield Row(f"the log of {days} days", size(amount), "")
    readers = f"{plan.workload.readers_of_the_hour:,.0f} readers in the busiest hour"
    yield Row("shared cache", size(kept.cache), readers)


def _threshold(plan: Capacity) -> Iterator[Row]:
    work = plan.workload
    age = f"{plan.delivery_age_s:.2g} s to the last follower of the largest pushed audience"
    yield Row("planned", f"{work.threshold:,}", age)
    any_ = not isfinite(plan.allowed_threshold)
    yield Row(
        "allowed",
        "any" if any_ else f"{rounded(plan.allowed_threshold):,}",
        f"by {work.delivery_age_s:g} s and {plan.workers:,} workers",
    )
    best = plan.cheapest_threshold
    if best is None:
        yield Row("cheapest", "none", "no threshold makes this plan possible")
    else:
        costs = dict(plan.cost_by_threshold)
        why = f"{costs[best].total:,.0f} a month; the planned one: {money(plan.cost.total)}"
        yield Row("cheapest", f"{rounded(best):,}", why)


def _limits(plan: Capacity) -> Iterator[Row]:
    for limit in plan.limits:
        why = f"full with {short_users(limit.users)} users: {limit.remedy}"
        yield Row(limit.what, percent(limit.used), why)


def text(plan: Capacity, costs: Costs, hours: Sequence[Hour] = ()) -> str:
    """Aligned columns."""
    lines: list[str] = []
    for heading, rows in sections(plan):
        left = max(len(row.what) for row in rows)
        right = max(len(row.amount) for row in rows)
        lines += [heading]
        lines += [
            f"  {row.what:<{left}}  {row.amount:>{right}}  {row.why}".rstrip() for row in rows
        ]
        lines += [""]
    if hours:
        lines += ["Delivery age by hour, simulated: from the append to the last follower"]
        lines += ["  hour   posts      busy       p50       p99"]
        lines += [
            f"  {hour.hour:>4} {hour.posts:>7,} {percent(hour.busy):>9} {seconds(hour.p50_s):>9} {seconds(hour.p99_s):>9}"
            for hour in hours
        ]
        lines += [""]
    lines += [f"Measured on {costs.measured_by}.", *_stated(costs)]
    return "\n".join(lines) + "\n"


def _stated(costs: Costs) -> Iterator[str]:
    stated = {
        name: source
        for name, source in costs.sources.items()
        if not source.measured or source.stated_sizes
    }
    if stated:
        yield "Not measured there, or not at every size, so stated:"
        for name, source in stated.items():
            yield f"  {name}: {source.text}"


def as_json(plan: Capacity, costs: Costs, hours: Sequence[Hour] = ()) -> dict[str, Any]:
    """Everything, in the units of the names; bytes, cores and seconds. Numbers that are not finite are null."""
    work, audience = plan.workload, plan.workload.audience
    document = {
        "workload": {
            **asdict(work),
            "audience": {"mean": audience.mean, "largest": audience.largest},
        },
        "per_s_at_peak": {
            "posts": work.posts_per_s * work.peak,
            "deliveries": plan.deliveries_per_s * work.peak,
            "likes": work.likes_per_s * work.peak,
            "follows": work.follows_per_s * work.peak,
            "reads": work.reads_per_s * work.peak,
        },
        "workers": plan.workers,
        "worker_busy": plan.worker_busy,
        "delivery_age_s": plan.delivery_age_s,
        "partitions": plan.partitions,
        "post_processes": plan.post_processes,
        "graph_processes": plan.graph_processes,
        "feed_processes": plan.feed_processes,
        "busy_cores": {"worker": dict(plan.load.worker), "cassandra": dict(plan.load.cassandra)},
        "feed_reads": asdict(plan.feeds),
        "cores": {"cassandra": plan.cassandra_cores, "kafka": plan.kafka_cores},
        "bytes": asdict(plan.kept),
        "cost_a_month": _cost(plan.cost),
        "allowed_threshold": plan.allowed_threshold,
        "cheapest_threshold": plan.cheapest_threshold,
        "cost_by_threshold": [
            {"threshold": threshold, **_cost(cost)} for threshold, cost in plan.cost_by_threshold
        ],
        "limits": [limit._asdict() for limit in plan.limits],
        "simulated_hours": [asdict(hour) for hour in hours],
        "costs": {
            "measured_by": costs.measured_by,
            "sources": {name: source._asdict() for name, source in costs.sources.items()},
        },
    }
    finite: dict[str, Any] = _finite(document)
    return finite


def _cost(cost: Any) -> dict[str, float]:
    return {**cost._asdict(), "total": cost.total}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def rate(per_s: float) -> str:
    """So many a second."""
    return f"{per_s:,.0f}/s" if per_s >= 10 else f"{per_s:.2g}/s"


def percent(share: float) -> str:
    return "below 1 %" if 0 < share < 0.005 else f"{share * 100:,.0f} %"


def size(amount: float) -> str:
    """Bytes in decimal units, as disks are sold."""
    for unit, name in ((1e15, "PB"), (1e12, "TB"), (1e9, "GB")):
        if amount >= unit:
            return f"{amount / unit:.3g} {name}"
    return f"{amount / 1e6:.3g} MB"


def seconds(age: float) -> str:
    """Milliseconds below a second."""
    if not isfinite(age):
        return "later"
    return f"{age * 1000:.0f} ms" if age < 1 else f"{age:.3g} s"


def money(amount: float) -> str:
    return f"{amount:,.0f} a month" if isfinite(amount) else "not possible"


def rounded(number: float) -> int:
    """To two digits: more are never known."""
    return int(float(f"{number:.2g}"))


def short_users(users: float) -> str:
    return f"{rounded(users):,}" if users < 1e12 else "more than a trillion"
