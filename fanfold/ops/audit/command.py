"""`fanfold audit`."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from fanfold.core.clock import Clock, SystemClock
from fanfold.core.errors import Fault
from fanfold.core.exit_codes import ExitCode
from fanfold.core.ports.engines import Engines
from fanfold.core.settings import Settings
from fanfold.ops.audit.report import Report
from fanfold.ops.installation import why_cut_short
from fanfold.ops.options import (
    DEFAULT_DATA,
    AsJson,
    DataOfEither,
    complain,
    console,
    print_json,
    refuse_no_user_ids,
)
from fanfold.ops.progress import showing_bar
from fanfold.ops.run import run

SOURCE = "fanfold/audit"
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The users to audit, and what to do about what is wrong."""

    users: Sequence[str] = ()
    count: int = 1000
    everyone: bool = False
    repair: bool = False
    reports: list[Report] = field(default_factory=list)


def audit(  # noqa: PLR0917 - typer calls it by name
    user: Annotated[
        list[str] | None, typer.Option(help="Audit this user; repeatable. Otherwise a sample.")
    ] = None,
    users: Annotated[
        int, typer.Option(min=1, help="This many users, from a random one on.")
    ] = 1000,
    everyone: Annotated[
        bool, typer.Option("--all", help="Every user who follows someone.")
    ] = False,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what is wrong.")] = False,
    every: Annotated[
        str | None,
        typer.Option(
            help="Keep running: a new sample this long after each, as 30s, 10m or 2h. Serves fanfold_audit_* at FANFOLD_METRICS_PORT."
        ),
    ] = None,
    as_json: AsJson = False,
    data: DataOfEither = DEFAULT_DATA,
) -> None:
    """Compute feeds from the tables by pull, and compare them with the feeds that are served and with what the shared cache holds.

    It uses the Kafka that the environment names, else the system in --data; of `make run DATA=…` it audits a copy. Differences are compared
    again after two seconds.
    --repair writes as a worker does, so it needs a worker's settings and rights. Exits with 0 when every feed is right, with 1 when one was
    wrong and is not mended, and with 75 when an engine stayed away.
    """
    refuse_no_user_ids(*(user or ()))
    every_s = None if every is None else seconds(every)
    chosen = Chosen(users=user or (), count=users, everyone=everyone, repair=repair)
    ended = run(_audit(data, chosen, every_s))
    report = chosen.reports[-1] if chosen.reports else Report()
    if as_json:
        print_json({**report.as_json(), "finished": ended.finished}, indent=2)
    elif every_s is None and (ended.finished or report.users):
        show(report, Console(highlight=False), finished=ended.finished)
    if ended.cut_short and every_s is None:
        complain(why_cut_short(ended, data))
    status = ended.status
    if ended.finished and report.wrong_users:
        status = ExitCode.FAILED
    raise typer.Exit(status)


def seconds(text: str) -> float:
    """The duration of a text as 30s, 10m or 2h. Raises `Fault`."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smh])", text)
    if found is None or not float(found[1]):
        raise Fault(f"--every {text}: expected a duration such as 30s, 10m or 2h")
    return float(found[1]) * _UNITS[found[2]]


async def _audit(data: Path, chosen: Chosen, every_s: float | None) -> None:
    from fanfold.http.metrics_port import metrics_port
    from fanfold.ops.audit.opened import to_mend
    from fanfold.ops.looked_at import looked_at

    clock = SystemClock()
    opened = to_mend if chosen.repair else looked_at
    async with opened(data, clock=clock, source=SOURCE) as at:
        if every_s is None:
            await audit_once(at.engines, at.settings, chosen, clock=clock)
            return
        if at.is_copy:
            raise Fault("--every would audit the same copy of `make run` again: leave it out")
        async with metrics_port(at.settings):
            while True:
                await _round(at.engines, at.settings, chosen, clock)
                await clock.sleep(every_s)


async def _round(engines: Engines, settings: Settings, chosen: Chosen, clock: Clock) -> None:
    """One round of an audit that keeps running: an engine that stays away ends the round, not the audit."""
    from fanfold.core.errors import Unavailable
    from fanfold.ops.audit.metrics import ROUNDS, export

    try:
        report = await audit_once(engines, settings, chosen, clock=clock)
    except Unavailable as error:
        ROUNDS.labels("unavailable").inc()
        complain(str(error))
        return
    export(report)
    show(report, console)


async def audit_once(
    engines: Engines, settings: Settings, chosen: Chosen, *, clock: Clock
) -> Report:
    """Audit the chosen users. With `repair` those that were wrong are audited a second time: the report is then of what is left."""
    from fanfold.ops.audit.opened import an_audit

    report = Report(total=len(chosen.users) or (None if chosen.everyone else chosen.count))
    chosen.reports[:] = [report]
    async with an_audit(engines, settings, clock=clock, repair=chosen.repair) as auditing:
        with showing_bar(console, clock, report) as shown:
            await auditing.run(_users(engines, chosen), report, shown)
    if chosen.repair and report.wrong_users:
        await _look_again(engines, settings, report, clock)
    return report


async def _look_again(engines: Engines, settings: Settings, report: Report, clock: Clock) -> None:
    """Set what is wrong to what still is, after the repairs."""
    from fanfold.ops.audit.opened import an_audit
    from fanfold.ops.audit.users import named

    left = Report()
    async with an_audit(engines, settings, clock=clock, repair=False) as auditing:
        await auditing.run(named(sorted(report.wrong_ids)), left, lambda _: None)
    report.repaired_users = report.wrong_users - left.wrong_users
    report.wrong, report.wrong_ids = left.wrong, left.wrong_ids


def _users(engines: Engines, chosen: Chosen) -> AsyncIterator[str]:
    from fanfold.ops.audit import users

    if chosen.users:
        return users.named(chosen.users)
    follows = engines.stores.follows
    return users.everyone(follows) if chosen.everyone else users.sample(follows, chosen.count)


def show(report: Report, to: Console, *, finished: bool = True) -> None:
    """Print the counts, the examples, what was mended, and the verdict: an audit that ended early finds no feed right."""
    to.print(report.describe(), soft_wrap=True)
    for finding in report.findings:
        cause = f": {finding.cause}, {finding.says}" if finding.cause else ""
        by = f" by {finding.ranking}" if finding.ranking else ""
        line = f"  {finding.user_id}: {finding.what} {finding.of}{by}{cause}"
        to.print(escape(line), soft_wrap=True)
    for repair in report.repairs:
        to.print(escape(f"  mended: {repair}"), soft_wrap=True)
    if report.mended > len(report.repairs):
        to.print(f"  mended: {report.mended - len(report.repairs):,} more")
    for what in report.unmended:
        to.print(escape(f"  not mended: {what}"), soft_wrap=True)
    right = "[green]right[/green]" if finished else "[yellow]not finished[/yellow]"
    verdict = "[red]wrong[/red]" if report.wrong_users else right
    if report.repaired_users:
        verdict = f"{verdict}, {report.repaired_users:,} feeds mended"
    to.print(verdict)
