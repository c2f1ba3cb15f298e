"""A line chart as SVG: logarithmic axes, a legend, marked places, light and dark. Pure; the same input gives the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, isfinite, log10

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 76, 32, 64, 56
_LONGEST_LEGEND = 4
_STYLE = """
    .card { fill: #ffffff; stroke: #d1d9e0 } .grid { stroke: #d1d9e0 } .axis { stroke: #59636e }
    text { fill: #1f2328 } .note { fill: #59636e; font-size: 12px }
    .tag { stroke: #ffffff; stroke-width: 4px; paint-order: stroke } .mark { stroke: #59636e; stroke-dasharray: 4 3 }
    .line { fill: none; stroke-width: 2.2; stroke-linejoin: round }
    .c0 { stroke: #0969da } .c1 { stroke: #bc4c00 } .c2 { stroke: #1a7f37 } .c3 { stroke: #8250df }
    @media (prefers-color-scheme: dark) {
      .card { fill: #0d1117; stroke: #3d444d } .grid { stroke: #2a3038 } .axis { stroke: #9198a1 }
      text { fill: #f0f6fc } .note { fill: #9198a1 } .tag { stroke: #0d1117 } .mark { stroke: #9198a1 }
      .c0 { stroke: #4493f8 } .c1 { stroke: #f0883e } .c2 { stroke: #3fb950 } .c3 { stroke: #ab7df8 }
    }"""


@dataclass(frozen=True, slots=True)
class Line:
    """Points whose y is not finite are gaps."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Chart:
    """At most four lines. A logarithmic axis leaves out what is not above 0. `marks` are values of x with a word each."""

    title: str
    x: str
    y: str
    lines: Sequence[Line]
    marks: Sequence[tuple[float, str]] = ()
    x_logarithmic: bool = True
    y_logarithmic: bool = True


@dataclass(frozen=True, slots=True)
class _Axis:
    low: float
    high: float
    logarithmic: bool
    ticks: tuple[float, ...]

    def share(self, value: float) -> float:
        if self.logarithmic:
            return (log10(value) - log10(self.low)) / (log10(self.high) - log10(self.low))
        return (value - self.low) / (self.high - self.low)

    def shows(self, value: float) -> bool:
        return isfinite(value) and (value > 0 or not self.logarithmic)


def svg(chart: Chart) -> str:
    """The picture, with a title and a description for readers who can't see it. Raises `ValueError` if there is nothing to draw."""
    if not 1 <= len(chart.lines) <= _LONGEST_LEGEND:
        raise ValueError(f"{len(chart.lines)} lines: a chart has one to four")
    points = [point for line in chart.lines for point in line.points]
    xs = _axis([x for x, y in points if isfinite(y)], logarithmic=chart.x_logarithmic)
    ys = _axis([y for _, y in points if isfinite(y)], logarithmic=chart.y_logarithmic)

    def at_x(value: float) -> float:
        return LEFT + xs.share(value) * (WIDTH - LEFT - RIGHT)

    def at_y(value: float) -> float:
        return HEIGHT - BOTTOM - ys.share(value) * (HEIGHT - TOP - BOTTOM)

    parts = [
        *_frame(chart),
        *_grid(xs, ys, at_x, at_y),
        *_marks(chart, xs, at_x),
        *_lines(chart, xs, ys, at_x, at_y),
        *_legend(chart),
    ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _axis(values: Sequence[float], *, logarithmic: bool) -> _Axis:
    shown = [value for value in values if value > 0 or not logarithmic]
    if not shown:
        raise ValueError("nothing to draw: no finite point")
    low, high = min(shown), max(shown)
    if logarithmic:
        first, last = floor(log10(low)), ceil(log10(high))
        last = max(last, first + 1)
        step = ceil((last - first) / 8)
        ticks = tuple(10.0**power for power in range(first, last + 1, step))
        return _Axis(10.0**first, 10.0**last, True, ticks)
    low = min(low, 0.0)
    size = 10 ** floor(log10((high - low) or 1))
    step_of = next(size * part for part in (0.2, 0.5, 1, 2) if (high - low) / (size * part) <= 8)
    count = max(1, ceil((high - low) / step_of))
    return _Axis(
        low, low + count * step_of, False, tuple(low + step_of * k for k in range(count + 1))
    )


def _frame(chart: Chart) -> Iterator[str]:
    lines = ", ".join(line.name for line in chart.lines)
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="title desc"'
        " font-family=\"-apple-system, 'Segoe UI', 'Noto Sans', Helvetica, Arial, 'DejaVu Sans', sans-serif\" font-size=\"13\">"
    )
    yield f'  <title id="title">{escape(chart.title)}</title>'
    yield f'  <desc id="desc">{escape(chart.y)} against {escape(chart.x)}: {escape(lines)}.</desc>'
    yield f"  <style>{_STYLE}\n  </style>"
    yield f'  <rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="8"/>'
    yield f'  <text x="{LEFT}" y="24" font-weight="600">{escape(chart.title)}</text>'
    yield f'  <text class="note" x="{(LEFT + WIDTH - RIGHT) // 2}" y="{HEIGHT - 14}" text-anchor="middle">{escape(chart.x)}</text>'
    yield (
        f'  <text class="note" transform="translate(18 {(TOP + HEIGHT - BOTTOM) // 2}) rotate(-90)" text-anchor="middle">'
        f"{escape(chart.y)}</text>"
    )


_Place = Callable[[float], float]


def _grid(xs: _Axis, ys: _Axis, at_x: _Place, at_y: _Place) -> Iterator[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    for tick in xs.ticks:
        x = at_x(tick)
        yield f'  <line class="grid" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}"/>'
        yield f'  <text class="note" x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{short(tick)}</text>'
    for tick in ys.ticks:
        y = at_y(tick)
        yield f'  <line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>'
        yield f'  <text class="note" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{short(tick)}</text>'
    yield f'  <path class="axis" fill="none" d="M{LEFT} {TOP}V{bottom}H{right}"/>'


def _marks(chart: Chart, xs: _Axis, at_x: _Place) -> Iterator[str]:
    shown = [
        (value, word)
        for value, word in chart.marks
        if xs.shows(value) and 0 <= xs.share(value) <= 1
    ]
    for value, _ in shown:
        x = at_x(value)
        yield f'  <line class="mark" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{HEIGHT - BOTTOM}"/>'
    for number, (value, word) in enumerate(shown):
        anchor, shift = ("end", -5) if xs.share(value) > 0.6 else ("start", 5)
        place = f'x="{at_x(value) + shift:.1f}" y="{TOP + 14 + 15 * number}"'
        yield f'  <text class="note tag" {place} text-anchor="{anchor}">{escape(word)}</text>'


def _lines(chart: Chart, xs: _Axis, ys: _Axis, at_x: _Place, at_y: _Place) -> Iterator[str]:
    for number, line in enumerate(chart.lines):
        path, pen = [], "M"
        for x, y in line.points:
            if xs.shows(x) and ys.shows(y):
                path.append(f"{pen}{at_x(x):.1f} {at_y(y):.1f}")
                pen = "L"
            else:
                pen = "M"
        yield f'  <path class="line c{number}" d="{" ".join(path)}"/>'


def _legend(chart: Chart) -> Iterator[str]:
    x = LEFT
    for number, line in enumerate(chart.lines):
        yield f'  <path class="line c{number}" d="M{x} 44h22"/>'
        yield f'  <text class="note" x="{x + 28}" y="48">{escape(line.name)}</text>'
        x += 48 + 7 * len(line.name)


def short(value: float) -> str:
    """For an axis: 20K, 1.5M."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "K")):
        if abs(value) >= size:
            return f"{value / size:.4g}{letter}"
    return f"{value:.3g}"
