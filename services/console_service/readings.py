"""What the console reads from the metrics of a process, and how much of it is new since an earlier reading. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

STREAMS = "fanfold_feed_streams"
DELIVERIES = "fanfold_fanout_deliveries_total"
INCOMPLETE = "fanfold_feed_incomplete_total"
LOOKUPS = "fanfold_feed_cache_lookups_total"
AGES = "fanfold_delivery_age_seconds_bucket"
_READ = (STREAMS, DELIVERIES, INCOMPLETE, LOOKUPS, AGES)


@dataclass(frozen=True, slots=True)
class Reading:
    """Sums over all labels. None: the process, or each of several, has no such metric.

    `ages` counts the deliveries by the upper bound of their age in seconds, each with all younger ones.
    """

    streams: float | None = None
    deliveries: float | None = None
    incomplete: float | None = None
    lookups: float | None = None
    hits: float | None = None
    ages: Mapping[float, float] = field(default_factory=dict)


def read_metrics(text: str) -> Reading:
    """The reading of one process's exposition. Raises `ValueError` for a text that is none, or that another version wrote."""
    try:
        return _reading(_samples(text))
    except KeyError as error:
        raise ValueError(f"no label {error} in an exposition") from error


def _reading(samples: Sequence[Sample]) -> Reading:
    sums: defaultdict[str, float] = defaultdict(float)
    hits = 0.0
    ages: defaultdict[float, float] = defaultdict(float)
    for sample in samples:
        sums[sample.name] += sample.value
        if sample.name == LOOKUPS and sample.labels["result"] == "hit":
            hits += sample.value
        if sample.name == AGES:
            ages[float(sample.labels["le"])] += sample.value
    return Reading(
        streams=sums.get(STREAMS),
        deliveries=sums.get(DELIVERIES),
        incomplete=sums.get(INCOMPLETE),
        lookups=sums.get(LOOKUPS),
        hits=hits if LOOKUPS in sums else None,
        ages=ages,
    )


def total(readings: Sequence[Reading]) -> Reading:
    """Of all of these together."""
    bounds = {bound for reading in readings for bound in reading.ages}
    return Reading(
        streams=_sum([reading.streams for reading in readings]),
        deliveries=_sum([reading.deliveries for reading in readings]),
        incomplete=_sum([reading.incomplete for reading in readings]),
        lookups=_sum([reading.lookups for reading in readings]),
        hits=_sum([reading.hits for reading in readings]),
        ages={bound: sum(reading.ages.get(bound, 0.0) for reading in readings) for bound in bounds},
    )


def increase(before: Reading, after: Reading) -> Reading:
    """What was counted between two readings of one process. A process that was restarted meanwhile counts from 0.

    `streams` is not counted: it is that of `after`.
    """
    return Reading(
        streams=after.streams,
        deliveries=_grown(before.deliveries, after.deliveries),
        incomplete=_grown(before.incomplete, after.incomplete),
        lookups=_grown(before.lookups, after.lookups),
        hits=_grown(before.hits, after.hits),
        ages=_grown_ages(before.ages, after.ages),
    )


def quantile(ages: Mapping[float, float], share: float) -> float | None:
    """The age in seconds below which this share of the deliveries lies, as Prometheus' `histogram_quantile` interpolates it; None of none.

    Where it lies above the last bound, that bound.
    """
    bounds = sorted(ages)
    if not bounds or not (count := ages[bounds[-1]]):
        return None
    rank, lower, below = share * count, 0.0, 0.0
    for bound in bounds:
        if ages[bound] >= rank and ages[bound] > below:
            if math.isinf(bound):
                return lower
            return lower + (bound - lower) * (rank - below) / (ages[bound] - below)
        lower, below = bound, ages[bound]
    return None


def _samples(text: str) -> list[Sample]:
    # Most of an exposition is about something else, and parsing is slow.
    lines = [line for line in text.splitlines() if line.startswith(_READ)]
    families = text_string_to_metric_families("\n".join(lines) + "\n")
    return [s for family in families for s in family.samples if s.name in _READ]


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _grown(before: float | None, after: float | None) -> float | None:
    if after is None:
        return None
    return after - before if before is not None and before <= after else after


def _grown_ages(
    before: Mapping[float, float], after: Mapping[float, float]
) -> Mapping[float, float]:
    """All buckets of a restarted process count from 0, also those that have caught up."""
    if max(before.values(), default=0.0) > max(after.values(), default=0.0):
        return after
    return {bound: count - before.get(bound, 0.0) for bound, count in after.items()}
