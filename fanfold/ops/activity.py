"""`fanfold activity sweep`: puts inactive users to sleep, on the real engines."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Annotated

import typer

from fanfold.core.clock import Clock, SystemClock
from fanfold.core.errors import Fault
from fanfold.core.events import ACTIVITY
from fanfold.core.lag import PartitionLag
from fanfold.core.settings import Settings
from fanfold.ops.installation import settings_of
from fanfold.ops.options import DEFAULT_DATA, AsJson, Data, DryRun, complain, console, print_json
from fanfold.ops.progress import showing
from fanfold.ops.run import run
from fanout_service.sweep_activity import SweepActivity, Swept

app = typer.Typer(no_args_is_help=True, help="Active and sleeping users.")

SOURCE = "fanfold/activity-sweep"
WAITING_EACH = 2
"""Events of the activity topic that may wait in a partition, on average, when more are appended."""
LOOK_EVERY_S = 0.5


@app.command()
def sweep(
    *,
    dry_run: DryRun = False,
    rate: Annotated[
        float, typer.Option(min=0.1, help="The most users a second that fall asleep.")
    ] = 100.0,
    every: Annotated[
        float | None,
        typer.Option(min=0.01, help="Keep running; sweep again after this many hours."),
    ] = None,
    over: Annotated[
        float,
        typer.Option(
            min=0,
            help="Spread a sweep over about this many hours; 0: as fast as --rate and the workers allow.",
        ),
    ] = 0.0,
    as_json: AsJson = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Put users to sleep who have read no feed for FANFOLD_ACTIVE_DAYS: they receive no deliveries until they read again.

    Once a day is enough; more often does no harm. It pauses while users who fall asleep wait for the workers, so that users who wake don't
    have to. It continues after the users that an interrupted sweep has looked at. Uses the Kafka that the environment names, else the
    system in --data.
    Exits with 0 when all users were looked at, 75 when an engine stayed away, 130 on Ctrl-C.
    """
    if dry_run and every is not None:
        raise Fault("--dry-run looks once; leave out --every")
    settings, clock, swept = settings_of(data), SystemClock(), Swept()
    every_s = None if every is None else every * 3600
    started_s = clock.monotonic_s()
    ended = run(
        _sweep(
            settings,
            swept,
            clock,
            dry_run=dry_run,
            rate=rate,
            every_s=every_s,
            over_s=over * 3600,
        )
    )
    if as_json:
        print_json(
            {
                **asdict(swept),
                "active_days": settings.active_days,
                "dry_run": dry_run,
                "finished": ended.finished,
                "seconds": round(clock.monotonic_s() - started_s, 3),
            }
        )
    elif every_s is None:
        console.print(
            f"Inactive for {settings.active_days} days: {swept.describe()}", soft_wrap=True
        )
    if ended.cut_short and every_s is None:
        complain(f"{ended.cut_short}; the same command goes on from there")
    raise typer.Exit(ended.status)


async def _sweep(
    settings: Settings,
    swept: Swept,
    clock: Clock,
    *,
    dry_run: bool,
    rate: float,
    every_s: float | None,
    over_s: float,
) -> None:
    from fanfold.adapters.kafka.group import WorkerGroup
    from fanfold.adapters.stacks import real

    async with (
        real(settings, clock=clock, source=SOURCE) as engines,
        WorkerGroup(settings, [ACTIVITY]) as group,
    ):
        with showing(console, clock, swept) as show:
            sweep = SweepActivity(
                stores=engines.stores,
                log=engines.log,
                clock=clock,
                active_ms=settings.active_ms,
                rate=rate,
                over_s=over_s,
                room=partial(room_for_sleepers, group.lags, clock),
                show=show,
            )
            if every_s is None:
                await sweep.run(swept, dry_run=dry_run)
            else:
                await sweep.sweep_forever(every_s)


async def room_for_sleepers(
    lags: Callable[[], Awaitable[Sequence[PartitionLag]]], clock: Clock
) -> None:
    """Return once so few events wait for the workers that an awakening has at most a few sleepers before it. Raises `Unavailable`."""
    while True:
        found = await lags()
        if sum(lag.records for lag in found) <= WAITING_EACH * len(found):
            return
        await clock.sleep(LOOK_EVERY_S)
