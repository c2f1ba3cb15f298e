"""A cost that grows with a size, as measured at a few sizes. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True, slots=True)
class Curve:
    """Straight lines between measured points, which rise or stay level. At least one point; sizes are above 0."""

    points: tuple[tuple[float, float], ...]

    @classmethod
    def of(cls, points: Iterable[tuple[float, float]]) -> Curve:
        """Sorted by size. A larger size never costs less: a dip between two measurements is noise."""
        ordered = sorted(points)
        costs = accumulate((cost for _, cost in ordered), max)
        return cls(tuple(zip((size for size, _ in ordered), costs, strict=True)))

    def at(self, size: float) -> float:
        """The cost of this size: below the smallest measured size that one's, above the largest in proportion to it."""
        sizes = [measured for measured, _ in self.points]
        first, last = self.points[0], self.points[-1]
        if size <= first[0]:
            return first[1]
        if size >= last[0]:
            return last[1] * size / last[0]
        right = bisect_left(sizes, size)
        (x0, y0), (x1, y1) = self.points[right - 1], self.points[right]
        return y0 + (y1 - y0) * (size - x0) / (x1 - x0)

    def largest_within(self, cost: float) -> float:
        """The largest size between the measured ones that costs at most this; 0 if the smallest costs more."""
        if cost < self.points[0][1]:
            return 0.0
        for (x0, y0), (x1, y1) in zip(self.points, self.points[1:], strict=False):
            if y0 <= cost < y1:
                return x0 + (x1 - x0) * (cost - y0) / (y1 - y0)
        return self.points[-1][0]
