"""The table of metrics in `docs/telemetry.md`, made from what the code registers.

`python -m tests.support.metrics_page` writes it; tests/unit/test_metrics_page.py compares it.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

import console_service
import fanfold
import fanout_service
import feed_service
import graph_service
import post_service
from tests.support.generated_part import GeneratedPart

IN_PAGE = GeneratedPart(Path(__file__).parents[2] / "docs" / "telemetry.md", "metrics")

_SERVICES = (console_service, post_service, graph_service, feed_service, fanout_service)
_CLIENTS_OWN = ("process_", "python_")
SERVICES = tuple(package.__name__ for package in _SERVICES)
_TYPES = {Counter: "counter", Gauge: "gauge", Histogram: "histogram"}


class Metric(NamedTuple):
    """A metric as Prometheus names it, and where it is: in a service, in every one (`fanfold`), or in a command (`fanfold audit`)."""

    name: str
    type: str
    labels: tuple[str, ...]
    meaning: str
    buckets: tuple[float, ...]
    home: str


def registered() -> dict[str, Metric]:
    """All metrics of Fanfold's code, by name."""
    found = (
        _metric(value, home)
        for home, module in _modules()
        for value in vars(module).values()
        if isinstance(value, MetricWrapperBase)
    )
    # Some are imported by other modules: the one that defines it is the first in this order.
    by_name: dict[str, Metric] = {}
    for metric in found:
        by_name.setdefault(metric.name, metric)
    return by_name


def names_of(*services: str) -> set[str]:
    """The metrics that these services have: their own, and those that every service has."""
    return {name for name, metric in registered().items() if metric.home in {"fanfold", *services}}


def names_in(exposition: str) -> set[str]:
    """The metrics of Fanfold's that a process serves at least one sample of."""
    families = text_string_to_metric_families(exposition)
    return {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in families
        if family.samples and not family.name.startswith(_CLIENTS_OWN)
    }


def table() -> str:
    """One row a metric, by name."""
    rows = ["| metric | type | labels | meaning | in |", "|---|---|---|---|---|"]
    for name, metric in sorted(registered().items()):
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        where = "every service" if metric.home == "fanfold" else f"`{metric.home}`"
        rows.append(f"| `{name}` | {metric.type} | {labels} | {metric.meaning} | {where} |")
    rows += ["", "| histogram | upper bounds of its buckets, in seconds |", "|---|---|"]
    for name, metric in sorted(registered().items()):
        if metric.buckets:
            rows.append(f"| `{name}` | {', '.join(f'{bound:g}' for bound in metric.buckets)} |")
    return "\n".join(rows)


def _modules() -> Iterator[tuple[str, object]]:
    for package in (fanfold, *_SERVICES):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
                yield _home(module.name), sys.modules[module.name]


def _home(module: str) -> str:
    parts = module.split(".")
    return f"fanfold {parts[2]}" if parts[:2] == ["fanfold", "ops"] and parts[2:] else parts[0]


def _metric(wrapper: MetricWrapperBase, home: str) -> Metric:
    (family,) = wrapper.describe()
    bounds = tuple(
        getattr(wrapper, "_upper_bounds", ()) or getattr(wrapper, "_kwargs", {}).get("buckets", ())
    )
    assert all(one < other for one, other in pairwise(bounds))
    return Metric(
        name=f"{family.name}_total" if isinstance(wrapper, Counter) else family.name,
        type=_TYPES[type(wrapper)],
        labels=tuple(wrapper._labelnames),
        meaning=family.documentation,
        buckets=tuple(bound for bound in bounds if bound != float("inf")),
        home=home,
    )


if __name__ == "__main__":
    IN_PAGE.write(table())
