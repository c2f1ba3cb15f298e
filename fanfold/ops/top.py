"""`fanfold top`: the console's overview in a terminal, live."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from fanfold.core.errors import Fault, Unavailable
from fanfold.core.exit_codes import ExitCode
from fanfold.ops.installation import environment
from fanfold.ops.options import AsJson, print_json
from fanfold.ops.running import Url, ask, default_url
from fanfold.ops.status import a_table

NO_DATA = "no data"
_BARS = "▁▂▃▄▅▆▇█"
_POINTS = 60


def top(
    url: Url = None,
    once: Annotated[bool, typer.Option("--once", help="Print it once, and end.")] = False,
    every: Annotated[float, typer.Option(help="Seconds between two looks.", min=1)] = 2,
    as_json: AsJson = False,
) -> None:
    """Show health, lag, deliveries, their age, fan-outs, dead letters, streams and caches, with the last fifteen minutes.

    Of `make run`, of `make up` through its gateway, or of any console at --url. Ctrl-C ends it. With --once or --json it looks once,
    and exits with 1 if something is not healthy.
    """
    where = url or default_url(environment())
    if once or as_json:
        overview = ask(where, "/ops/overview")
        if as_json:
            print_json(overview, indent=2)
        else:
            Console(highlight=False).print(shown(overview, where))
        raise typer.Exit(ExitCode.DONE if overview["healthy"] else ExitCode.FAILED)
    _live(where, every)


def _live(where: str, every_s: float) -> None:
    first = shown(ask(where, "/ops/overview"), where)
    try:
        with Live(first, console=Console(highlight=False), auto_refresh=False, screen=True) as live:
            while True:
                time.sleep(every_s)
                live.update(_looked_at(where), refresh=True)
    except KeyboardInterrupt:
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def _looked_at(where: str) -> RenderableType:
    """The overview, or why there is none now: the process may be restarting."""
    try:
        return shown(ask(where, "/ops/overview"), where)
    except (Unavailable, Fault) as error:
        return Text(str(error), style="red")


def shown(overview: Mapping[str, Any], where: str) -> RenderableType:
    """The overview as a person reads it. Raises `Fault` for a document of another version."""
    try:
        figures = a_table("", "now", "highest", "the last fifteen minutes")
        for figure in overview["figures"]:
            values, unit = figure["values"], figure["unit"]
            known = [value for value in values if value is not None]
            figures.add_row(
                figure["title"],
                formatted(values[-1], unit),
                formatted(max(known, default=None), unit),
                sparkline(values[-_POINTS * 3 :]),
            )
        processes = a_table("process", "health")
        for process in overview["processes"]:
            style = "green" if process["healthy"] else "red"
            processes.add_row(process["name"], Text(process["readiness"], style=style))
        verdict = Text("healthy", "green") if overview["healthy"] else Text("not healthy", "red")
        head = Text(f"{overview['log']} at {where}, {overview['at']}")
        unknown = [Text(overview["log_unknown"], "red")] if overview["log_unknown"] else []
        return Group(head, "", figures, "", processes, "", *unknown, verdict)
    except (KeyError, TypeError, IndexError) as error:
        raise Fault(f"{where} answers as no version of Fanfold that this one knows") from error


def formatted(value: float | None, unit: str) -> str:
    """A value with its unit, in few characters."""
    if value is None:
        return NO_DATA
    if unit == "%":
        return f"{value:.1%}"
    if unit == "s":
        return f"{value * 1000:,.0f} ms" if value < 1 else f"{value:,.1f} s"
    return f"{value:,.0f}{unit}" if value >= 100 or value == int(value) else f"{value:.2f}{unit}"


def sparkline(values: Sequence[float | None]) -> str:
    """At most `_POINTS` bars from 0 to the highest, each the highest of its values; a gap where there is no data."""
    width = max(1, -(-len(values) // _POINTS))
    groups = [values[first : first + width] for first in range(0, len(values), width)]
    points = [max((v for v in group if v is not None), default=None) for group in groups]
    highest = max((point for point in points if point is not None), default=0.0)
    return "".join(" " if point is None else _bar(point, highest) for point in points)


def _bar(value: float, highest: float) -> str:
    if not highest:
        return _BARS[0]
    return _BARS[min(len(_BARS) - 1, int(value / highest * len(_BARS)))]
