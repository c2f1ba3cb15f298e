"""The overview: nine figures as they are now and as they were in the last fifteen minutes. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from console_service.readings import Reading, increase, quantile, total
from console_service.samples import Sample

WINDOW_S = 60.0
"""The delivery ages and the share of hits cover this much time: in a few seconds there may be one delivery or none."""

Points = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Moment:
    """A sample, and what was counted until then: since the sample before it, `seconds` ago, and within the last `WINDOW_S`."""

    sample: Sample
    seconds: float
    step: Reading
    window: Reading

    def rate(self, counted: float | None) -> float | None:
        """A value of what was counted since the sample before."""
        return None if counted is None or self.seconds <= 0 else counted / self.seconds


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the overview. `unit` is empty, `/s`, `s` or `%`; a `%` is a share from 0 to 1."""

    name: str
    title: str
    unit: str
    value: Callable[[Moment], float | None]


def figures_of(samples: Sequence[Sample]) -> dict[str, Points]:
    """A value of each figure for each sample; None where there is no data."""
    moments = list(_moments(samples))
    return {figure.name: [figure.value(moment) for moment in moments] for figure in FIGURES}


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


def _moments(samples: Sequence[Sample]) -> Iterator[Moment]:
    first = 0
    for before, after in zip([*samples[:1], *samples], samples, strict=False):
        while after.at_s - samples[first].at_s > WINDOW_S:
            first += 1
        yield Moment(
            sample=after,
            seconds=after.at_s - before.at_s,
            step=_increase(before, after),
            window=_increase(samples[first], after),
        )


def _increase(before: Sample, after: Sample) -> Reading:
    """Of the processes that answered both times."""
    return total(
        [
            increase(before.readings[name], reading)
            for name, reading in after.readings.items()
            if name in before.readings
        ]
    )


def _streams(sample: Sample) -> float | None:
    return total(list(sample.readings.values())).streams


def _share_of_hits(reading: Reading) -> float | None:
    return reading.hits / reading.lookups if reading.lookups and reading.hits is not None else None


FIGURES = (
    Figure("lag", "records that wait", "", lambda now: now.sample.lag),
    Figure("deliveries", "deliveries", "/s", lambda now: now.rate(now.step.deliveries)),
    Figure("age_p50", "delivery age, p50", "s", lambda now: quantile(now.window.ages, 0.5)),
    Figure("age_p99", "delivery age, p99", "s", lambda now: quantile(now.window.ages, 0.99)),
    Figure("fanouts", "fan-outs in progress", "", lambda now: now.sample.fanouts),
    Figure("dead_letters", "dead letters", "", lambda now: now.sample.dead_letters),
    Figure("streams", "open streams", "", lambda now: _streams(now.sample)),
    Figure("incomplete", "incomplete feeds", "/s", lambda now: now.rate(now.step.incomplete)),
    Figure("hits", "cache hits", "%", lambda now: _share_of_hits(now.window)),
)
