"""`fanfold plan`: its options, and what it prints and writes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from fanfold.core.errors import Fault, Rejected
from fanfold.core.topics import load_topics
from fanfold.ops.installation import environment
from fanfold.ops.options import AsJson, console, print_json
from fanfold.ops.plan.audience import Audience, audience_of, from_counts
from fanfold.ops.plan.capacity import capacity
from fanfold.ops.plan.chart import Chart, svg
from fanfold.ops.plan.costs import Costs, costs_of, shipped_costs
from fanfold.ops.plan.plots import USERS, by_celebrities, by_hour, by_threshold, by_users
from fanfold.ops.plan.show import as_json as json_of
from fanfold.ops.plan.show import text
from fanfold.ops.plan.simulate import Surge, simulate_day
from fanfold.ops.plan.threshold import Prices
from fanfold.ops.plan.workload import Workload

DEFAULT_AUDIENCE = "power-law:2.276"
_DAY = "A day, for each active user."
_LARGEST = 10_000_000_000


def plan(  # noqa: PLR0917 - typer calls it by name
    users: Annotated[int, typer.Option(min=10, max=_LARGEST)] = 1_000_000,
    audience: Annotated[
        str,
        typer.Option(
            help="How many followers users have: power-law:EXPONENT, lognormal:SIGMA, or a file with followers[,users] on each line."
        ),
    ] = DEFAULT_AUDIENCE,
    follows: Annotated[
        float,
        typer.Option(min=1, help="Accounts that a user follows, on average; a file has its own."),
    ] = 200,
    active: Annotated[
        float, typer.Option(min=0.0001, max=1, help="The share of users who are active on a day.")
    ] = 0.2,
    awake: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="The share of users who have read within FANFOLD_ACTIVE_DAYS."
        ),
    ] = 0.5,
    turnover: Annotated[
        float,
        typer.Option(min=0, max=1, help="The share of users who fall asleep a day; as many wake."),
    ] = 0.001,
    posts: Annotated[float, typer.Option(min=0, help=_DAY)] = 0.5,
    likes: Annotated[float, typer.Option(min=0, help=_DAY)] = 10,
    new_follows: Annotated[float, typer.Option(min=0, help=f"New and ended follows. {_DAY}")] = 0.2,
    reads: Annotated[float, typer.Option(min=0, help=f"First pages of feeds. {_DAY}")] = 10,
    peak: Annotated[
        float, typer.Option(min=1, max=24, help="The busiest hour's rate, in means of the day.")
    ] = 4,
    threshold: Annotated[
        int | None, typer.Option(min=1, help="Default: FANFOLD_PULL_THRESHOLD.")
    ] = None,
    replication: Annotated[
        int, typer.Option(min=1, max=9, help="Replicas of each row and record.")
    ] = 3,
    years: Annotated[
        float, typer.Option(min=0.01, max=100, help="The age for which disk is counted.")
    ] = 1,
    delivery_age: Annotated[
        float, typer.Option(min=0.001, help="Target: seconds until the last follower has a post.")
    ] = 5,
    feed_p99: Annotated[
        float, typer.Option(min=0.001, help="Target: milliseconds of a feed's first page, p99.")
    ] = 25,
    utilisation: Annotated[
        float, typer.Option(min=0.01, max=0.95, help="The share of its cores a tier may use.")
    ] = 0.5,
    price_core: Annotated[float, typer.Option(min=0, help="A month, in any currency.")] = 25,
    price_memory: Annotated[float, typer.Option(min=0, help="A GiB and month.")] = 3,
    price_disk: Annotated[float, typer.Option(min=0, help="A GiB and month.")] = 0.1,
    measured: Annotated[
        Path | None,
        typer.Option(help="A results file of your `make bench`, instead of the shipped sample."),
    ] = None,
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Run a day through the workers' queues.")
    ] = False,
    storm: Annotated[
        float, typer.Option(min=0, help="With --simulate: follows/s of one author at the peak.")
    ] = 0,
    burst: Annotated[
        int, typer.Option(min=0, max=1_000_000, help="With --simulate: posts at once at the peak.")
    ] = 0,
    plots: Annotated[
        Path | None, typer.Option(help="Write pictures (SVG) into this directory.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what an installation of a given size needs, from measured costs, and what breaks first.

    Nothing is read but the costs and the settings of the environment, and nothing is asked of a running system.
    """
    settings = environment()
    distribution = _audiences(audience, follows)
    workload = Workload(
        users=users,
        audience=distribution(users),
        active=active,
        awake=awake,
        turnover=turnover,
        posts=posts,
        likes=likes,
        follows=new_follows,
        reads=reads,
        peak=peak,
        threshold=threshold or settings.pull_threshold,
        bucket_followers=settings.bucket_followers,
        retention_days=settings.retention_days,
        replication=replication,
        years=years,
        delivery_age_s=delivery_age,
        feed_p99_ms=feed_p99,
        utilisation=utilisation,
    )
    costs = costs_of(measured) if measured else shipped_costs()
    prices = Prices(core=price_core, memory_gib=price_memory, disk_gib=price_disk)
    if (storm or burst) and not simulate:
        raise Rejected("--storm and --burst are of the simulated day: add --simulate")
    surge = Surge(storm, burst) if simulate else None
    _run(workload, costs, prices, surge, distribution, plots=plots, as_json=as_json)


Distribution = Callable[[int], Audience]
"""The audiences among this many users."""


def _run(
    workload: Workload,
    costs: Costs,
    prices: Prices,
    surge: Surge | None,
    distribution: Distribution,
    *,
    plots: Path | None,
    as_json: bool,
) -> None:
    partitions = {name: topic.partitions["many"] for name, topic in load_topics().items()}
    planned = capacity(workload, costs, prices, partitions=partitions)
    hours = simulate_day(workload, costs, workers=planned.workers, surge=surge) if surge else []
    if plots:
        charts = {
            "cost-by-threshold": by_threshold(planned),
            "cost-by-users": by_users(
                workload, costs, prices, {users: distribution(users) for users in USERS}
            ),
            "cost-by-celebrities": by_celebrities(workload, costs, prices),
            **({"delivery-age-by-hour": by_hour(hours)} if hours else {}),
        }
        _write(plots, charts)
    if as_json:
        print_json(json_of(planned, costs, hours), indent=2)
    else:
        sys.stdout.write(text(planned, costs, hours))


def _audiences(spec: str, follows: float) -> Distribution:
    """Raises `Rejected` if it is neither a distribution nor a file."""
    path = Path(spec)
    if not path.is_file():
        return lambda users: audience_of(spec, follows=follows, users=users)
    with path.open(encoding="utf-8", errors="replace") as lines:
        audience = from_counts(lines)

    def of_the_file(users: int) -> Audience:
        return audience

    return of_the_file


def _write(folder: Path, charts: Mapping[str, Chart]) -> None:
    """Raises `Fault` if the directory can't be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, chart in charts.items():
            (folder / f"{name}.svg").write_text(svg(chart), encoding="utf-8")
    except OSError as error:
        raise Fault(f"the pictures can't be written ({error}): name another directory") from error
    console.print(f"Pictures in {folder}: {', '.join(charts)}.", soft_wrap=True, markup=False)
