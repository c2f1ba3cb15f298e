"""The pictures of `fanfold plan`."""

from __future__ import annotations

import re
from math import inf
from xml.etree import ElementTree as ET

import pytest

from fanfold.ops.plan.chart import Chart, Line, short, svg
from fanfold.ops.plan.plots import USERS, by_celebrities, by_hour, by_threshold, by_users
from fanfold.ops.plan.simulate import simulate_day
from fanfold.ops.plan.threshold import Prices
from tests.support.planning import a_plan, a_workload, some_costs

SVG = "{http://www.w3.org/2000/svg}"


def drawn(chart: Chart) -> ET.Element:
    return ET.fromstring(svg(chart))


def paths(chart: Chart) -> list[str]:
    """Of the lines, without those of the legend."""
    return [
        path.attrib["d"]
        for path in drawn(chart).iter(f"{SVG}path")
        if "line" in path.attrib["class"] and " 44h" not in path.attrib["d"]
    ]


def words(chart: Chart) -> list[str]:
    return [text.text or "" for text in drawn(chart).iter(f"{SVG}text")]


def test_points_are_where_their_logarithms_are() -> None:
    chart = Chart("Cost", "users", "cores", [Line("all", [(10, 1), (100, 10), (1000, 100)])])
    places = [
        tuple(map(float, place)) for place in re.findall(r"([\d.]+) ([\d.]+)", paths(chart)[0])
    ]
    (x0, y0), (x1, y1), (x2, y2) = places
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.1)
    assert y0 - y1 == pytest.approx(y1 - y2, abs=0.1)
    assert x0 < x1
    assert y0 > y1
    assert {"Cost", "users", "cores", "all", "10", "100", "1K"} <= set(words(chart))


def test_a_point_that_is_not_finite_is_a_gap() -> None:
    line = Line("all", [(1, 1), (2, 2), (3, inf), (4, 4), (5, 5)])
    assert re.findall("[ML]", paths(Chart("Cost", "x", "y", [line]))[0]) == ["M", "L", "M", "L"]


def test_a_mark_outside_the_axis_is_left_out() -> None:
    line = Line("all", [(10, 1), (100, 2)])
    chart = Chart("Cost", "x", "y", [line], marks=[(50, "here"), (5000, "nowhere"), (0, "below")])
    assert "here" in words(chart)
    assert not {"nowhere", "below"} & set(words(chart))


def test_names_are_escaped() -> None:
    chart = Chart("<Cost> & more", "x", "y", [Line("a < b", [(1, 1), (2, 2)])])
    assert "<Cost> & more" in words(chart)
    assert "a < b" in words(chart)


@pytest.mark.parametrize(
    "lines", [[], [Line("all", [(1, inf)])], [Line("all", [(1, 1)])] * 5, [Line("all", [(0, 0)])]]
)
def test_a_chart_without_anything_to_draw_is_refused(lines: list[Line]) -> None:
    with pytest.raises(ValueError, match=r"nothing to draw|a chart has one to four"):
        svg(Chart("Cost", "x", "y", lines))


def test_an_axis_is_short() -> None:
    assert [short(number) for number in (0, 0.1, 20, 1000, 1_500_000, 2e9, 3e12)] == [
        "0",
        "0.1",
        "20",
        "1K",
        "1.5M",
        "2G",
        "3T",
    ]


@pytest.mark.slow
def test_every_picture_of_a_plan_can_be_drawn() -> None:
    workload, costs, prices = a_workload(), some_costs(), Prices()
    planned = a_plan(workload)
    audiences = {users: a_workload(users=users).audience for users in USERS}
    hours = simulate_day(workload, costs, workers=planned.workers, window_s=5)
    charts = [
        by_threshold(planned),
        by_users(workload, costs, prices, audiences),
        by_celebrities(workload, costs, prices),
        by_hour(hours),
    ]
    for chart in charts:
        assert svg(chart) == svg(chart)
        assert len(paths(chart)) == len(chart.lines)
    best = planned.cheapest_threshold
    assert best is not None
    assert {"planned: 100,000", f"cheapest: {best:,.0f}"} <= set(words(charts[0]))
