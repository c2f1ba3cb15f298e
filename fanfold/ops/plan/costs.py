"""What each event and each read costs: measured where `make bench` has measured it, else as `stated.yaml` says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from fanfold.core.errors import Rejected
from fanfold.ops.plan.curve import Curve
from fanfold.ops.plan.measured import Found, measured_costs

_FOLDER = Path(__file__).parent
STATED = _FOLDER / "stated.yaml"
SHIPPED = _FOLDER / "measured.json"
"""The costs of the committed sample of `make bench`, as `python -m tests.support.capacity_plan` writes them."""


class Source(NamedTuple):
    """Where a cost comes from."""

    measured: bool
    text: str
    unit: str
    stated_sizes: tuple[float, ...] = ()
    """Of a measured curve: the sizes whose costs are stated, because smaller ones than these were not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Each field's unit and source is in `stated.yaml`, under its name; `sources` says which of the two was used."""

    post_worker_us: Curve
    post_cassandra_us: Curve
    pulled_worker_us: float
    pulled_cassandra_us: float
    like_worker_us: float
    like_cassandra_us: float
    follow_worker_us: float
    follow_cassandra_us: float
    storm_follow_us: float
    sleep_worker_us: float
    sleep_cassandra_us: float
    wake_worker_us: float
    wake_cassandra_us: float
    event_kafka_us: float
    deliveries_per_s: float
    first_visible_ms: float
    small_post_ms: float
    feed_us: float
    feed_cassandra_us: float
    celebrity_us: float
    head_us: float
    head_cache_us: float
    head_cassandra_us: float
    feed_p99_ms: Curve
    others_post_us: float
    others_like_us: float
    others_follow_us: float
    pulled_author_us: float
    cache_delivery_us: float
    cache_read_us: float
    cache_reader_bytes: float
    cache_follow_bytes: float
    cache_server_bytes: float
    post_api_per_s: float
    write_api_per_s: float
    worker_mb: float
    feed_process_mb: float
    pointer_bytes: float
    post_bytes: float
    follow_bytes: float
    like_bytes: float
    compaction_room: float
    post_record_bytes: float
    like_record_bytes: float
    follow_record_bytes: float
    sources: Mapping[str, Source]
    measured_by: str
    """The machine, the commit and the time of the measurement."""


def shipped_costs() -> Costs:
    """Those of the committed sample."""
    return _costs(json.loads(SHIPPED.read_text()))


def costs_of(path: Path) -> Costs:
    """Those of a results file of `make bench`. Raises `Rejected` if it is none, or of a smoke run."""
    try:
        results = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise Rejected(
            f"{path} can't be read as JSON ({error}): name a file in bench/results"
        ) from error
    return _costs(shipped_form(results, name=str(path)))


def shipped_form(results: Any, *, name: str) -> dict[str, Any]:
    """The costs of a results file, and where they were measured. Raises `Rejected` if it is none."""
    if not isinstance(results, dict) or not isinstance(results.get("sections"), list):
        raise Rejected(f"{name} is no results file of `make bench`: name a file in bench/results")
    if results.get("quick"):
        raise Rejected(
            f"{name} is of a smoke run, whose figures mean nothing: run `make bench` without QUICK=1"
        )
    found = measured_costs(results["sections"])
    if not found:
        raise Rejected(f"{name} has no cost that the planner knows: run `make bench ONLY=abcde`")
    about = f"commit {results.get('commit', 'unknown')}, {results.get('at', 'unknown')}"
    machine = f"{results.get('cores', '?')} cores ({results.get('cpu', 'unknown')})"
    return {
        "measured_by": f"{machine}, {about}",
        "costs": {
            cost: [found_cost.section, found_cost.value] for cost, found_cost in found.items()
        },
    }


@cache
def _stated() -> Mapping[str, Any]:
    found: Mapping[str, Any] = yaml.safe_load(STATED.read_text())
    return found


def _costs(shipped: Mapping[str, Any]) -> Costs:
    measured = {name: Found(section, value) for name, (section, value) in shipped["costs"].items()}
    stated = _stated()
    values: dict[str, Any] = {}
    sources: dict[str, Source] = {}
    for field in fields(Costs):
        if field.name not in stated:
            continue
        entry = stated[field.name]
        found = measured.get(field.name)
        stated_sizes = _stated_sizes(entry, found)
        values[field.name] = _value(entry, found, stated_sizes)
        text = f"make bench, section {found.section}" if found else entry["source"]
        if stated_sizes:
            text += f"; at {', '.join(f'{size:g}' for size in stated_sizes)}: {entry['source']}"
        sources[field.name] = Source(found is not None, text, entry["unit"], stated_sizes)
    return Costs(**values, sources=sources, measured_by=shipped["measured_by"])


def _stated_sizes(entry: Mapping[str, Any], found: Found | None) -> tuple[float, ...]:
    """The sizes below the smallest measured one: they keep their stated costs."""
    if found is None or "points" not in entry:
        return ()
    smallest = min(size for size, _ in found.value)
    return tuple(size for size, _ in entry["points"] if size < smallest)


def _value(
    entry: Mapping[str, Any], found: Found | None, stated_sizes: tuple[float, ...]
) -> float | Curve:
    if "points" not in entry:
        return float(entry["value"] if found is None else found.value)
    if found is None:
        return Curve.of((size, cost) for size, cost in entry["points"])
    kept = [point for point in entry["points"] if point[0] in stated_sizes]
    return Curve.of((size, cost) for size, cost in [*found.value, *kept])
