"""Figures from repeated measurements: medians with their ranges, percentiles, and ratios within a round. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One number, measured once a round."""

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.rounds)

    def json(self) -> dict[str, Any]:
        """The median, the range and every round, rounded to meaningful digits."""
        return {
            "median": _short(self.median),
            "least": _short(min(self.rounds)),
            "most": _short(max(self.rounds)),
            "rounds": [_short(measured) for measured in self.rounds],
        }

    def __str__(self) -> str:
        shown = number(self.median)
        if len(self.rounds) == 1:
            return shown
        return f"{shown} ({number(min(self.rounds))} to {number(max(self.rounds))})"


def figure(rounds: Sequence[float]) -> Figure:
    """A figure of at least one round."""
    if not rounds:
        raise ValueError("nothing was measured")
    return Figure(tuple(rounds))


def ratio(of: Sequence[float], to: Sequence[float]) -> Figure:
    """Ratios within each round, so that a slow round cancels out."""
    return figure([a / b for a, b in zip(of, to, strict=True)])


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile: the smallest value that at least `share` of all values don't exceed."""
    if not values:
        raise ValueError("a percentile of nothing")
    return sorted(values)[max(0, ceil(share * len(values)) - 1)]


def threshold(deliveries_per_s: float, visible_within_s: float) -> int:
    """The largest audience that is reached within the target."""
    return int(deliveries_per_s * visible_within_s)


def slope(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """How cost grows with size, from the first to the last in log-log: 1 is proportional, 0 is constant."""
    from math import log

    return log(costs[-1] / costs[0]) / log(sizes[-1] / sizes[0])


def number(value: float) -> str:
    """For people: with thousands separators, and with three digits for small numbers."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _short(value: float) -> float:
    return float(f"{value:.6g}")
