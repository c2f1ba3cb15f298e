"""What the console makes of metrics: sums, increases, quantiles, and the figures of the overview."""

from __future__ import annotations

import math

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from console_service.overview import FIGURES, figures_of, totals
from console_service.readings import Reading, increase, quantile, read_metrics, total
from console_service.samples import Sample


def exposed(
    *, deliveries: int = 0, hits: int = 0, misses: int = 0, ages: tuple[float, ...] = ()
) -> str:
    """What a process exposes, with metrics that the console does not read."""
    registry = CollectorRegistry()
    causes = Counter("fanfold_fanout_deliveries", "", ["cause"], registry=registry)
    causes.labels("fanout").inc(deliveries)
    causes.labels("backfill").inc(1)
    Counter("fanfold_fanout_saved_deliveries", "", registry=registry).inc(99)
    lookups = Counter("fanfold_feed_cache_lookups", "", ["cache", "result"], registry=registry)
    for cache in ("heads", "counts"):
        lookups.labels(cache, "hit").inc(hits)
        lookups.labels(cache, "miss").inc(misses)
    Gauge("fanfold_feed_streams", "", registry=registry).set(3)
    age = Histogram("fanfold_delivery_age_seconds", "", buckets=(0.1, 1, 10), registry=registry)
    for seconds in ages:
        age.observe(seconds)
    return generate_latest(registry).decode()


def a_sample(at_s: float, **readings: Reading) -> Sample:
    return Sample(at_s, int(at_s * 1000), lag=7, fanouts=None, dead_letters=2, readings=readings)


def test_a_metric_is_summed_over_its_labels() -> None:
    reading = read_metrics(exposed(deliveries=9, hits=3, misses=1, ages=(0.05, 0.5, 20)))
    assert (reading.deliveries, reading.streams, reading.incomplete) == (10, 3, None)
    assert (reading.hits, reading.lookups) == (6, 8)
    assert reading.ages == {0.1: 1, 1: 2, 10: 2, math.inf: 3}
    assert read_metrics("") == Reading()
    assert totals({"a": reading, "b": Reading()}) == {
        "deliveries": 10,
        "streams": 3,
        "incomplete": None,
        "lookups": 8,
        "hits": 6,
        "delivery_ages": 3,
    }


def test_processes_are_summed_and_one_that_lacks_a_metric_changes_nothing() -> None:
    worker = read_metrics(exposed(deliveries=1, ages=(0.05,)))
    summed = total([worker, worker, Reading()])
    assert (summed.deliveries, summed.ages[0.1]) == (4, 2)
    assert total([]) == Reading()


def test_a_process_that_was_restarted_counts_from_0() -> None:
    before = read_metrics(exposed(deliveries=10, ages=(0.5, 0.5)))
    after = read_metrics(exposed(deliveries=14, ages=(0.5, 0.5, 5)))
    assert increase(before, after).deliveries == 4
    assert increase(before, after).ages == {0.1: 0, 1: 0, 10: 1, math.inf: 1}
    restarted = read_metrics(exposed(deliveries=2, ages=(5,)))
    assert increase(before, restarted).deliveries == 3
    assert increase(before, restarted).ages == restarted.ages


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 0.0), (0.25, 0.05), (0.5, 0.1), (0.75, 1.0), (0.99, 1.0)]
)
def test_a_quantile_lies_on_the_line_within_its_bucket(share: float, expected: float) -> None:
    # 2 up to 0.1 s, 1 up to 1 s, and 1 above the last bound.
    assert quantile({0.1: 2, 1: 3, math.inf: 4}, share) == pytest.approx(expected)


def test_nothing_delivered_has_no_age() -> None:
    assert quantile({}, 0.5) is None
    assert quantile({0.1: 0, math.inf: 0}, 0.99) is None


def test_figures_are_of_the_time_between_samples_and_no_data_is_no_zero() -> None:
    first = read_metrics(exposed(deliveries=0, hits=1, misses=1))
    second = read_metrics(exposed(deliveries=50, hits=4, misses=2, ages=(0.5,) * 50))
    found = figures_of([a_sample(0, w=first), a_sample(5, w=second), a_sample(70, w=second)])
    assert list(found) == [figure.name for figure in FIGURES]
    assert found["lag"] == [7, 7, 7]
    assert found["fanouts"] == [None] * 3
    assert found["deliveries"] == [None, 10, 0]
    assert found["streams"] == [3, 3, 3]
    assert found["incomplete"] == [None] * 3
    assert found["hits"] == [None, 0.75, None]
    assert found["age_p50"] == [None, pytest.approx(0.55), None]


def test_a_process_that_was_away_is_not_counted_twice() -> None:
    counted = read_metrics(exposed(deliveries=50))
    samples = [a_sample(0, w=counted), a_sample(5), a_sample(10, w=counted)]
    assert figures_of(samples)["deliveries"] == [None, None, None]


@pytest.mark.parametrize(
    "text",
    [
        "fanfold_feed_streams",
        "fanfold_feed_streams 1\nfanfold_fanout_deliveries_total{cau",
        "fanfold_feed_streams many",
        'fanfold_feed_cache_lookups_total{cache="heads"} 3',
    ],
)
def test_a_text_that_is_no_exposition_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"label|convert|Invalid"):
        read_metrics(text)
