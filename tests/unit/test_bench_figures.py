"""The pure parts of `make bench`: a wrong sum would make every measurement wrong."""

from __future__ import annotations

import os
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.crowd import edges
from bench.figures import Figure, figure, number, percentile, ratio, slope, threshold
from bench.http_load import content_length, intended_times
from bench.processes import Costs, cpu_s, cpu_s_of, memory_bytes_of
from bench.readers import QUICK, Readers
from bench.row_count import token_ranges
from fanfold.core.ids import new_post_id
from fanfold.core.settings import Settings

LOWEST_TOKEN, HIGHEST_TOKEN = -(2**63), 2**63 - 1


def test_a_figure_shows_its_median_and_its_range() -> None:
    assert str(figure([3.0, 1.0, 2.0])) == "2 (1 to 3)"
    assert str(figure([1234.5])) == "1,234"
    assert figure([3.0, 1.0, 2.0]).json() == {
        "median": 2.0,
        "least": 1.0,
        "most": 3.0,
        "rounds": [3.0, 1.0, 2.0],
    }


def test_nothing_measured_is_no_figure() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        figure([])


def test_small_numbers_keep_three_digits() -> None:
    assert [number(value) for value in (0.012345, 9.876, 99.94, 123.4)] == [
        "0.0123",
        "9.88",
        "99.9",
        "123",
    ]


def test_a_ratio_is_taken_within_each_round() -> None:
    assert ratio([10.0, 40.0], [20.0, 40.0]) == Figure((0.5, 1.0))
    with pytest.raises(ValueError, match="shorter"):
        ratio([1.0, 2.0], [1.0])


def test_percentiles_are_of_the_nearest_rank() -> None:
    values = [float(value) for value in range(1, 101)]
    assert [percentile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1, 50, 99, 100]
    assert percentile([7.0], 0.99) == 7


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.01, 1))
def test_at_least_the_share_asked_for_is_within_the_percentile(
    values: list[float], share: float
) -> None:
    within = sum(value <= percentile(values, share) for value in values)
    assert within >= share * len(values) - 1e-6


def test_the_threshold_is_what_the_rate_reaches_in_time() -> None:
    assert threshold(40_000.9, 5) == 200_004


def test_the_slope_tells_proportional_from_constant() -> None:
    assert slope([1e3, 1e6], [2.0, 2000.0]) == pytest.approx(1)
    assert slope([1e5, 1e7], [3.0, 3.0]) == pytest.approx(0)


def test_requests_are_due_evenly_whatever_the_answers_do() -> None:
    assert intended_times(4, 200) == [0.0, 0.005, 0.01, 0.015]


def test_an_answers_length_is_found_in_whatever_case() -> None:
    assert content_length(b"HTTP/1.1 200 OK\r\nContent-Length: 42\r\n\r\n") == 42
    assert content_length(b"HTTP/1.1 200 OK\r\ncontent-length:7\r\n\r\n") == 7
    assert content_length(b"HTTP/1.1 204 No Content\r\n\r\n") == 0


def test_the_cpu_of_a_process_with_an_odd_name_is_read() -> None:
    stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 900 0 0 0 250 50 0 0 20 0 9 0 7 1 2 3"
    assert cpu_s_of(stat, 100) == 3.0


def test_the_cpu_of_this_process_is_what_the_system_says() -> None:
    assert cpu_s(os.getpid()) == pytest.approx(time.process_time(), abs=0.5)


def test_memory_is_read_now_and_at_its_highest() -> None:
    assert memory_bytes_of("Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t 1024 kB\n") == (
        1024 * 1024,
        2048 * 1024,
    )


def test_costs_are_counted_from_a_moment_on() -> None:
    assert Costs({"worker": 5.0}).since(Costs({"worker": 3.5})) == Costs({"worker": 1.5})


@given(st.integers(1, 600))
def test_token_ranges_cover_the_ring_once(pieces: int) -> None:
    ranges = token_ranges(pieces)
    assert len(ranges) == pieces
    assert ranges[0][0] == LOWEST_TOKEN
    assert ranges[-1][1] == HIGHEST_TOKEN
    assert all(left[1] == right[0] for left, right in pairwise(ranges))


def test_seeded_edges_lie_where_a_growing_audience_would_have_put_them() -> None:
    settings = Settings(bucket_followers=2)
    seeded = list(edges([f"u{n}" for n in range(40)], settings, since_ms=1))
    assert [edge.generation for edge in seeded].count(0) == 2
    assert [edge.generation for edge in seeded].count(1) == 30
    assert [edge.generation for edge in seeded].count(2) == 8
    assert all(edge.active for edge in seeded)


def test_the_bench_knows_each_feed_by_itself() -> None:
    readers = Readers(QUICK)
    authors = {*readers.ordinary(3), *readers.famous(10)}
    for place, author in enumerate(sorted(authors)):
        readers.posts[author] = [new_post_id(1_000_000 + place)]
    newest = readers.newest(3, 10, limit=2)
    assert newest == [str(readers.posts[author][0]) for author in sorted(authors)[-1:-3:-1]]
