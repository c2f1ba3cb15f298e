"""The planner's pictures: cost against the threshold, the users, and the celebrities that a reader follows. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf

from fanfold.core.errors import Rejected
from fanfold.ops.plan.audience import Audience
from fanfold.ops.plan.capacity import Capacity
from fanfold.ops.plan.chart import Chart, Line
from fanfold.ops.plan.costs import Costs
from fanfold.ops.plan.simulate import Hour
from fanfold.ops.plan.threshold import Cost, Prices, cost
from fanfold.ops.plan.workload import Workload

USERS = tuple(round(10 ** (step / 4)) for step in range(16, 35))
"""10,000 to 300 million."""
CELEBRITIES = (0, 1, 2, 5, 10, 20, 35, 50, 75, 100, 125, 150)
_NOT_POSSIBLE = Cost(inf, inf, inf)


def by_threshold(planned: Capacity) -> Chart:
    """What a month costs by the threshold; gaps where no number of machines is enough."""
    workload, curve = planned.workload, planned.cost_by_threshold
    marks = [(float(workload.threshold), f"planned: {workload.threshold:,}")]
    if planned.cheapest_threshold is not None:
        marks.append((planned.cheapest_threshold, f"cheapest: {planned.cheapest_threshold:,.0f}"))
    if planned.allowed_threshold < inf:
        marks.append((planned.allowed_threshold, f"allowed by {workload.delivery_age_s:g} s"))
    return Chart(
        f"What {workload.users:,} users cost by the threshold",
        "threshold: followers at which an author is pulled",
        "cost a month",
        _parts(curve),
        marks=marks,
    )


def by_users(
    workload: Workload, costs: Costs, prices: Prices, audiences: Mapping[int, Audience]
) -> Chart:
    """What a month costs by the number of users. `audiences` has the distribution for each number."""
    curve = [
        (float(users), _cost(replace(workload, users=users, audience=audience), costs, prices))
        for users, audience in audiences.items()
    ]
    last = max((users for users, part in curve if part.total < inf), default=0.0)
    beyond = any(users > last for users, _ in curve)
    return Chart(
        f"Cost by users, threshold {workload.threshold:,}",
        "users",
        "cost a month",
        _parts(curve),
        marks=[(last, "not possible with more")] if last and beyond else (),
    )


def by_celebrities(workload: Workload, costs: Costs, prices: Prices) -> Chart:
    """What a month costs by the number of pulled authors that a reader follows, with the same number of follows in all."""
    curve = [
        (float(number), _cost(replace(workload, audience=audience), costs, prices))
        for number in CELEBRITIES
        if number < workload.follows_a_user
        for audience in [workload.audience.with_celebrities(number, threshold=workload.threshold)]
    ]
    return Chart(
        f"What {workload.users:,} users cost by the celebrities that a reader follows",
        "pulled authors that a reader follows, on average",
        "cost a month",
        _parts(curve),
        x_logarithmic=False,
    )


def by_hour(hours: Sequence[Hour]) -> Chart:
    """The simulated delivery age by hour."""
    return Chart(
        "Delivery age by hour, simulated",
        "hour",
        "ms until the last follower has a post",
        [
            Line("p99", [(hour.hour, hour.p99_s * 1000) for hour in hours if hour.posts]),
            Line("p50", [(hour.hour, hour.p50_s * 1000) for hour in hours if hour.posts]),
        ],
        x_logarithmic=False,
    )


def _cost(workload: Workload, costs: Costs, prices: Prices) -> Cost:
    try:
        return cost(workload, costs, prices, threshold=workload.threshold)
    except Rejected:
        return _NOT_POSSIBLE


def _parts(curve: Sequence[tuple[float, Cost]]) -> list[Line]:
    return [
        Line("all", [(x, part.total) for x, part in curve]),
        Line("writing", [(x, part.writing) for x, part in curve]),
        Line("reading", [(x, part.reading) for x, part in curve]),
        Line("keeping", [(x, part.keeping) for x, part in curve]),
    ]
