"""Writes what the planner and its page take from the committed sample of `make bench`: `python -m tests.support.capacity_plan`.

These are the costs that the package ships, the tables in "Towards 100 million users" of ARCHITECTURE, and the pictures beside it. Run
it after a change of the sample, of `stated.yaml`, of the partition counts, or of the planner.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from bench.document import SAMPLE
from fanfold.ops.plan.capacity import Capacity
from fanfold.ops.plan.chart import svg
from fanfold.ops.plan.costs import SHIPPED, shipped_form
from fanfold.ops.plan.plots import USERS, by_celebrities, by_hour, by_threshold, by_users
from fanfold.ops.plan.show import rate, seconds, sections, size
from fanfold.ops.plan.simulate import BUSIEST_HOUR, Surge, simulate_day
from fanfold.ops.plan.threshold import Prices
from fanfold.ops.plan.workload import DAY_S, Workload
from tests.support.planning import a_plan, a_workload, some_costs

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "ARCHITECTURE.md"
PICTURES = ROOT / "docs" / "capacity"
HUNDRED_MILLION = 100_000_000
YEARLY = (1_000_000, 10_000_000, HUNDRED_MILLION)
SURGES = {
    "as usual": Surge(),
    "a storm: 2,000 follows/s of one celebrity": Surge(follows_per_s=2000),
    "a burst: 2,000 posts at one moment": Surge(posts=2000),
}

_MARKED = re.compile(r"(?<=<!-- plan -->\n).*?(?=<!-- /plan -->)", re.DOTALL)


def shipped() -> str:
    """The costs of the sample, as the package ships them."""
    form = shipped_form(json.loads(SAMPLE.read_text()), name=SAMPLE.name)
    lines = [f'  "{name}": {json.dumps(cost)}' for name, cost in form["costs"].items()]
    return (
        f'{{\n "measured_by": {json.dumps(form["measured_by"])},\n "costs": {{\n'
        + ",\n".join(lines)
        + "\n }\n}\n"
    )


def page(text: str) -> str:
    """ARCHITECTURE, with the plan in its place."""
    return _MARKED.sub(lambda _: "".join(_parts()), text)


def pictures() -> dict[str, str]:
    """By file name."""
    workload, costs, prices = _workload(), some_costs(), Prices()
    planned = a_plan(workload)
    audiences = {users: a_workload(users=users).audience for users in USERS}
    surge = Surge(follows_per_s=2000, posts=2000)
    # Windows short enough for a test to draw it again.
    hours = simulate_day(workload, costs, workers=planned.workers, surge=surge, window_s=6)
    charts = {
        "cost-by-threshold": by_threshold(planned),
        "cost-by-users": by_users(workload, costs, prices, audiences),
        "cost-by-celebrities": by_celebrities(workload, costs, prices),
        "delivery-age-by-hour": by_hour(hours),
    }
    return {f"{name}.svg": svg(chart) for name, chart in charts.items()}


def _workload() -> Workload:
    return a_workload(users=HUNDRED_MILLION)


def _parts() -> Iterator[str]:
    planned = a_plan(_workload())
    for heading, rows in sections(planned):
        yield _table([heading, "", ""], rows)
    yield _table(["after a year, RF 3", "1 million users", "10 million", "100 million"], _yearly())
    yield _table(["the busiest hour, simulated", "workers busy", "p50", "p99"], _simulated(planned))
    yield _table(
        [
            "published installations",
            "posts",
            "deliveries",
            "reads",
            "workers",
            "Cassandra cores",
            "feed processes",
        ],
        _published(),
    )
    pointers = planned.deliveries_per_s * DAY_S * (planned.workload.retention_days + 1)
    costs = some_costs()
    stated = [name for name, source in costs.sources.items() if not source.measured]
    yield (
        f"Measured on {costs.measured_by}; {len(stated)} of {len(costs.sources)} costs are stated, not measured in that run.\n\n"
    )
    yield f"A rebuild of all timelines writes {pointers / 1e9:.0f} billion pointers: {pointers / 1e6 / 3600:.0f} hours at a million a second.\n"


def _table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [_line(heading), "|" + "---|" * len(heading), *(_line(cells) for cells in rows)]
    return "\n".join(lines) + "\n\n"


def _line(cells: Sequence[str]) -> str:
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in cells)


def _yearly() -> Iterator[list[str]]:
    plans = [a_plan(a_workload(users=users)) for users in YEARLY]
    yield ["the log", *(size(plan.kept.log) for plan in plans)]
    yield ["of it likes", *(size(_likes_in_the_log(plan)) for plan in plans)]
    for name in plans[0].kept.tables:
        yield [f"table rows: {name}", *(size(plan.kept.tables[name]) for plan in plans)]
    yield ["Cassandra's disk, with room for compaction", *(size(plan.kept.disk) for plan in plans)]


def _likes_in_the_log(plan: Capacity) -> float:
    work = plan.workload
    a_year = work.likes_per_s * DAY_S * 365 * work.years
    return a_year * some_costs().like_record_bytes * work.replication


def _simulated(planned: Capacity) -> Iterator[list[str]]:
    for name, surge in SURGES.items():
        (hour,) = simulate_day(
            planned.workload,
            some_costs(),
            workers=planned.workers,
            surge=surge,
            hours=[BUSIEST_HOUR],
        )
        yield [name, f"{hour.busy * 100:.0f} %", seconds(hour.p50_s), seconds(hour.p99_s)]


def _published() -> Iterator[list[str]]:
    """Twitter says nothing of its audiences; ours have a mean of 200. Neither says anything of likes."""
    quiet = {
        "active": 1.0,
        "awake": 1.0,
        "turnover": 0.0,
        "likes": 0.0,
        "follows": 0.0,
        "peak": 1.0,
    }
    twitter = a_workload(users=150_000_000, **quiet)
    twitter = replace(twitter, posts=6_000 / 150e6 * DAY_S, reads=300_000 / 150e6 * DAY_S)
    mastodon = a_workload(users=HUNDRED_MILLION, follows_a_user=403, **quiet)
    mastodon = replace(
        mastodon,
        posts=3_500 / 100e6 * DAY_S,
        reads=0.0,
        threshold=HUNDRED_MILLION,
        delivery_age_s=600.0,
    )
    for name, workload in (
        ("Twitter, 2013: 150 million active users", twitter),
        ("Mastodon on Rama, 2023: 100 million bots, all pushed", mastodon),
    ):
        plan = a_plan(workload)
        yield [
            name,
            rate(workload.posts_per_s),
            rate(plan.deliveries_per_s),
            rate(workload.reads_per_s) if workload.reads else "not published",
            f"{plan.workers:,}",
            f"{plan.cassandra_cores:,.0f}",
            f"{plan.feed_processes:,}" if plan.feed_processes and workload.reads else "",
        ]


if __name__ == "__main__":
    SHIPPED.write_text(shipped())
    PAGE.write_text(page(PAGE.read_text()))
    PICTURES.mkdir(exist_ok=True)
    for name, picture in pictures().items():
        (PICTURES / name).write_text(picture)
