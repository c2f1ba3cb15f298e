"""The overview: nine figures as they are now and as they were in the last fifteen minutes. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from console_service.readings import Reading, increase, quantile, total
from console_service.samples import Sample

WINDOW_S = 60.0
"""The delivery ages and the share of hits are those of so long a time: in a few seconds there may be one delivery or none."""

Points = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the overview. `unit` is empty, `/s`, `s` or `%`; a `%` is a share from 0 to 1."""

    name: str
    title: str
    unit: str
    points: Callable[[Sequence[Sample]], Points]


def figures_of(samples: Sequence[Sample]) -> dict[str, Points]:
    """A value of each figure for each sample; None where there is no data."""
    return {figure.name: figure.points(samples) for figure in FIGURES}


def totals(readings: Mapping[str, Reading]) -> dict[str, float | None]:
    """The sums of the processes' metrics, as `/metrics` has them now."""
    summed = total(list(readings.values()))
    return {
        "deliveries": summed.deliveries,
        "streams": summed.streams,
        "incomplete": summed.incomplete,
        "lookups": summed.lookups,
        "hits": summed.hits,
        "delivery_ages": max(summed.ages.values(), default=None),
    }


def _increase(before: Sample, after: Sample) -> Reading:
    """Of the processes that answered both times."""
    return total(
        [
            increase(before.readings[name], reading)
            for name, reading in after.readings.items()
            if name in before.readings
        ]
    )


def _rate(counted: Callable[[Reading], float | None]) -> Callable[[Sequence[Sample]], Points]:
    def points(samples: Sequence[Sample]) -> Points:
        return [
            None
            if grown is None or after.at_s <= before.at_s
            else grown / (after.at_s - before.at_s)
            for before, after in zip([*samples[:1], *samples], samples, strict=False)
            for grown in (counted(_increase(before, after)),)
        ]

    return points


def _in_window(figure: Callable[[Reading], float | None]) -> Callable[[Sequence[Sample]], Points]:
    def points(samples: Sequence[Sample]) -> Points:
        found: list[float | None] = []
        first = 0
        for after in samples:
            while after.at_s - samples[first].at_s > WINDOW_S:
                first += 1
            found.append(figure(_increase(samples[first], after)))
        return found

    return points


def _of_each(value: Callable[[Sample], float | None]) -> Callable[[Sequence[Sample]], Points]:
    return lambda samples: [value(sample) for sample in samples]


def _share_of_hits(reading: Reading) -> float | None:
    return reading.hits / reading.lookups if reading.lookups and reading.hits is not None else None


FIGURES = (
    Figure("lag", "records that wait", "", _of_each(lambda sample: sample.lag)),
    Figure("deliveries", "deliveries", "/s", _rate(lambda reading: reading.deliveries)),
    Figure("age_p50", "delivery age, p50", "s", _in_window(lambda r: quantile(r.ages, 0.5))),
    Figure("age_p99", "delivery age, p99", "s", _in_window(lambda r: quantile(r.ages, 0.99))),
    Figure("fanouts", "fan-outs in progress", "", _of_each(lambda sample: sample.fanouts)),
    Figure("dead_letters", "dead letters", "", _of_each(lambda sample: sample.dead_letters)),
    Figure(
        "streams",
        "open streams",
        "",
        _of_each(lambda sample: total(list(sample.readings.values())).streams),
    ),
    Figure("incomplete", "incomplete feeds", "/s", _rate(lambda reading: reading.incomplete)),
    Figure("hits", "cache hits", "%", _in_window(_share_of_hits)),
)
