"""Label sets of metrics that exist from the start."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

from prometheus_client import Counter, Gauge


def start_at_zero(metric: Counter | Gauge, *values: Iterable[str]) -> None:
    """Make the series of every combination of these label values.

    `increase()` of a series that begins at 1 is 0, so an alert would miss the first event.
    """
    for combination in product(*values):
        metric.labels(*combination)
