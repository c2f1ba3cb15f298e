"""`fanfold activity sweep`: the sweep on the real engines, once or for ever."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from rich.console import Console

from fanfold.core.clock import Clock, SystemClock
from fanfold.core.errors import Fault
from fanfold.core.settings import Settings
from fanfold.ops.walk import attempt, showing
from fanout_service.sweep_activity import SweepActivity, Swept

SOURCE = "fanfold/activity-sweep"


def sweep_activity(
    settings: Settings,
    *,
    dry_run: bool,
    rate: float,
    every_s: float | None,
    as_json: bool,
    console: Console,
) -> int:
    """Run it on the real engines, once or for ever; returns the exit status. Raises `Fault` for options that don't go together."""
    if dry_run and every_s is not None:
        raise Fault("--dry-run looks once; leave out --every")
    clock, swept = SystemClock(), Swept()
    started_s = clock.monotonic_s()
    status, why = attempt(
        _sweep(settings, swept, clock, console, dry_run=dry_run, rate=rate, every_s=every_s)
    )
    if as_json:
        summary = {
            **asdict(swept),
            "active_days": settings.active_days,
            "dry_run": dry_run,
            "finished": why is None,
            "seconds": round(clock.monotonic_s() - started_s, 3),
        }
        sys.stdout.write(json.dumps(summary) + "\n")
    elif every_s is None:
        console.print(
            f"Who read nothing for {settings.active_days} days: {swept.describe()}", soft_wrap=True
        )
    if why is not None and every_s is None:
        console.print(f"[red]fanfold:[/red] {why}; the same command begins anew", soft_wrap=True)
    return status


async def _sweep(
    settings: Settings,
    swept: Swept,
    clock: Clock,
    console: Console,
    *,
    dry_run: bool,
    rate: float,
    every_s: float | None,
) -> None:
    from fanfold.adapters.stacks import real

    async with real(settings, clock=clock, source=SOURCE) as engines:
        with showing(console, clock, swept) as show:
            sweep = SweepActivity(
                stores=engines.stores,
                log=engines.log,
                clock=clock,
                active_ms=settings.active_ms,
                rate=rate,
                show=show,
            )
            if every_s is None:
                await sweep.run(swept, dry_run=dry_run)
            else:
                await sweep.sweep_forever(every_s)
