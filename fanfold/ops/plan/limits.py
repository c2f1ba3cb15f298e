"""What breaks first: the parts of an installation that more machines of the same kind don't help. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from fanfold.ops.plan.costs import Costs
from fanfold.ops.plan.fan_out import Cores
from fanfold.ops.plan.reading import Reading
from fanfold.ops.plan.storage import Storage
from fanfold.ops.plan.workload import Workload


class Limit(NamedTuple):
    """`used` is the share of the limit at the peak: above 1 the part has broken."""

    what: str
    used: float
    users: float
    """The number of users at which it is used up, if all rates grow with them."""
    remedy: str


def limits(
    workload: Workload,
    costs: Costs,
    *,
    load: Cores,
    feeds: Reading,
    kept: Storage,
    partitions: Mapping[str, int],
) -> list[Limit]:
    """The one that breaks first comes first. A part without load has no limit."""
    shares = [
        *(
            (
                f"the {partitions[topic]} partitions of {topic}",
                busy / (partitions[topic] * workload.utilisation),
                "more of them, before the first event",
            )
            for topic, busy in load.worker.items()
        ),
        (
            "a feed process: what it does before its first reader",
            feeds.own_work / feeds.utilisation,
            "less work for others' writes and for the set of pulled authors",
        ),
        (
            "the one server of the shared cache: its core",
            (feeds.cache_reads + feeds.cache_writes) / workload.utilisation,
            "a cluster: `redis+cluster://`",
        ),
        (
            "the one server of the shared cache: its memory",
            kept.cache / costs.cache_server_bytes,
            "more memory; else the least recent readers are dropped",
        ),
    ]
    return sorted(
        (Limit(what, used, workload.users / used, remedy) for what, used, remedy in shares if used),
        key=lambda limit: -limit.used,
    )
