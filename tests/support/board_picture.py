"""A page that shows panels of the board with what Prometheus answered: their titles, places, units and legends, and lines as SVG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

from tests.support.board import Panel

WIDTH, HEIGHT = 500, 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 10, 8, 22
_MOST_NAMED = 8
_STEPS = (1, 2, 2.5, 5, 10)
_STYLE = """
  :root { --page: #f6f8fa; --card: #fff; --edge: #d1d9e0; --text: #1f2328; --note: #59636e;
    --c0: #0969da; --c1: #bc4c00; --c2: #1a7f37; --c3: #8250df; --c4: #bf3989; --c5: #9a6700; --c6: #1b7c83; --c7: #cf222e }
  @media (prefers-color-scheme: dark) { :root { --page: #010409; --card: #0d1117; --edge: #3d444d; --text: #f0f6fc; --note: #9198a1;
    --c0: #4493f8; --c1: #f0883e; --c2: #3fb950; --c3: #ab7df8; --c4: #f778ba; --c5: #d29922; --c6: #39c5cf; --c7: #ff7b72 } }
  body { margin: 0; padding: 16px; width: 1064px; background: var(--page); color: var(--text);
    font: 13px/1.4 -apple-system, 'Segoe UI', 'Noto Sans', Helvetica, Arial, 'DejaVu Sans', sans-serif }
  header { margin: 0 2px 12px } h1 { font-size: 17px; margin: 0 } header p { margin: 2px 0 0; color: var(--note) }
  main { display: grid; grid-template-columns: 1fr 1fr; gap: 12px }
  section { background: var(--card); border: 1px solid var(--edge); border-radius: 6px; padding: 8px 12px 10px }
  h2 { font-size: 13px; margin: 0 0 4px } svg { display: block; width: 100% } svg text { fill: var(--note); font-size: 11px }
  .grid { stroke: var(--edge); stroke-opacity: .6 } .line { fill: none; stroke-width: 1.6; stroke-linejoin: round }
  ul { display: flex; flex-wrap: wrap; gap: 0 14px; margin: 4px 0 0; padding: 0; list-style: none; color: var(--note); font-size: 12px }
  i { display: inline-block; width: 14px; height: 3px; border-radius: 2px; margin-right: 6px; vertical-align: middle }
"""


@dataclass(frozen=True, slots=True)
class Line:
    """Points are seconds since the run began, and a value in the panel's unit."""

    name: str
    points: Sequence[tuple[float, float]]

    @property
    def most(self) -> float:
        return max((value for _, value in self.points), default=0.0)


def page(subtitle: str, drawn: Sequence[tuple[Panel, Sequence[Line]]]) -> str:
    """In the order of their rows, then of their columns."""
    placed = sorted(drawn, key=lambda pair: (pair[0].row, pair[0].column))
    return (
        f'<!doctype html><meta charset="utf-8"><title>The board</title><style>{_STYLE}</style>'
        f"<header><h1>Fanfold</h1><p>{escape(subtitle)}</p></header>"
        f"<main>{''.join(_panel(panel, lines) for panel, lines in placed)}</main>"
    )


def _panel(panel: Panel, lines: Sequence[Line]) -> str:
    """As the board has them; of more than can be told apart the highest."""
    many = len(lines) > _MOST_NAMED
    ordered = sorted(lines, key=lambda line: line.most, reverse=True) if many else lines
    named = ordered[:_MOST_NAMED]
    return (
        f"<section><h2>{escape(panel.title)}</h2>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}">{"".join(_plot(panel.unit, ordered))}</svg>'
        f"<ul>{''.join(_legend(named, ordered[_MOST_NAMED:]))}</ul></section>"
    )


def _plot(unit: str, lines: Sequence[Line]) -> Iterator[str]:
    last_s = max((at_s for line in lines for at_s, _ in line.points), default=1.0)
    most = max((line.most for line in lines), default=0.0)
    ticks = [0.0, 0.25, 0.5, 0.75, 1.0] if unit == "percentunit" else _ticks(most)
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM

    def across(at_s: float) -> float:
        return _LEFT + at_s / last_s * (right - _LEFT)

    def down(value: float) -> float:
        return bottom - value / ticks[-1] * (bottom - _TOP)

    for tick in ticks:
        y = down(tick)
        yield f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{_LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{shown(tick, unit)}</text>'
    for at_s in range(0, int(last_s) + 1, 15):
        place = f'x="{across(at_s):.1f}" y="{HEIGHT - 6}" text-anchor="middle"'
        yield f"<text {place}>{at_s // 60}:{at_s % 60:02}</text>"
    # Those that are first are on top.
    for number, line in reversed(list(enumerate(lines))):
        path = " ".join(
            f"{'L' if after else 'M'}{across(at_s):.1f} {down(value):.1f}"
            for after, (at_s, value) in enumerate(line.points)
        )
        yield f'<path class="line" style="stroke: {_colour(number)}" d="{path}"/>'


def _colour(number: int) -> str:
    return f"var(--c{number})" if number < _MOST_NAMED else "var(--edge)"


def _ticks(most: float) -> list[float]:
    """From 0, at most five of them, the last not below `most`."""
    if not most:
        return [0.0, 1.0]
    size = 10.0 ** floor(log10(most / 4))
    step = next(size * part for part in _STEPS if most / (size * part) <= 4)
    return [step * n for n in range(max(1, ceil(most / step)) + 1)]


def _legend(named: Sequence[Line], others: Sequence[Line]) -> Iterator[str]:
    for number, line in enumerate(named):
        yield f'<li><i style="background: {_colour(number)}"></i>{escape(line.name)}</li>'
    if others:
        what = "more at 0" if not any(line.most for line in others) else "more"
        yield f"<li>and {len(others)} {what}</li>"


def shown(value: float, unit: str) -> str:
    """A value in one of Grafana's units, as short as Grafana has it."""
    if unit == "s":
        return "0 s" if not value else f"{value:.4g} s" if value >= 1 else f"{value * 1e3:.4g} ms"
    if unit == "percentunit":
        return f"{value:.0%}"
    return f"{value:.4g}{ {'reqps': ' req/s', 'ops': ' ops/s'}.get(unit, '') }"
