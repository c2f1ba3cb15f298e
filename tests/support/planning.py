"""Builders for the tests of `fanfold plan`."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from fanfold.core.topics import load_topics
from fanfold.ops.plan.audience import Audience, power_law
from fanfold.ops.plan.capacity import Capacity, capacity
from fanfold.ops.plan.costs import Costs, shipped_costs
from fanfold.ops.plan.threshold import Prices
from fanfold.ops.plan.workload import Workload


def a_workload(*, follows_a_user: float = 200, **changes: Any) -> Workload:
    """Of a million users, as the command's defaults have it; `audience` follows the users and their follows unless it is given."""
    users = changes.get("users", 1_000_000)
    fields: dict[str, Any] = {
        "users": users,
        "audience": changes.get("audience") or _audience(users, follows_a_user),
        "active": 0.2,
        "awake": 0.5,
        "turnover": 0.001,
        "posts": 0.5,
        "likes": 10.0,
        "follows": 0.2,
        "reads": 10.0,
        "peak": 4.0,
        "threshold": 100_000,
        "bucket_followers": 6250,
        "retention_days": 30,
        "replication": 3,
        "years": 1.0,
        "delivery_age_s": 5.0,
        "feed_p99_ms": 25.0,
        "utilisation": 0.5,
    }
    return Workload(**{**fields, **changes})


@cache
def _audience(users: int, follows: float) -> Audience:
    return power_law(2.276, mean=follows, largest=users)


def some_costs(**changes: Any) -> Costs:
    """The shipped ones."""
    return replace(shipped_costs(), **changes)


def a_plan(workload: Workload | None = None, costs: Costs | None = None) -> Capacity:
    return capacity(
        workload or a_workload(),
        costs or some_costs(),
        Prices(),
        partitions={name: topic.partitions["many"] for name, topic in load_topics().items()},
    )
