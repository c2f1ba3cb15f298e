"""`fanfold top`: what a person sees of an overview."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from fanfold.core.errors import Fault
from fanfold.ops.top import NO_DATA, formatted, shown, sparkline


def an_overview(**changed: Any) -> dict[str, Any]:
    figure = {"name": "lag", "title": "records that wait", "unit": "", "values": [0, None, 4]}
    return {
        "log": "the embedded log",
        "at": "2026-11-30T06:00:00.000Z",
        "healthy": True,
        "log_unknown": None,
        "processes": [{"name": "feed", "readiness": "ready", "healthy": True}],
        "figures": [figure],
        **changed,
    }


def printed(overview: dict[str, Any]) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=120).print(shown(overview, "http://127.0.0.1:8080"))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_a_person_sees_each_figure_each_process_and_the_verdict() -> None:
    lines = printed(an_overview())
    assert lines[0] == "the embedded log at http://127.0.0.1:8080, 2026-11-30T06:00:00.000Z"
    assert "records that wait  4    4        ▁ █" in lines
    assert "feed     ready" in lines
    assert lines[-1] == "healthy"


def test_a_part_that_is_not_healthy_says_why() -> None:
    away = {"name": "feed", "readiness": "No answer from [the tables].", "healthy": False}
    lines = printed(an_overview(healthy=False, processes=[away], log_unknown="Kafka is away"))
    assert "feed     No answer from [the tables]." in lines
    assert lines[-2:] == ["Kafka is away", "not healthy"]


def test_a_console_of_another_version_is_said_to_be_one() -> None:
    with pytest.raises(Fault, match="no version of Fanfold"):
        shown({"healthy": True}, "http://127.0.0.1:8080")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "s", NO_DATA),
        (0, "", "0"),
        (12_345, "", "12,345"),
        (0.25, "/s", "0.25/s"),
        (1234.5, "/s", "1,234/s"),
        (0.0254, "s", "25 ms"),
        (61.5, "s", "61.5 s"),
        (0.639, "%", "63.9%"),
    ],
)
def test_a_value_has_its_unit(value: float | None, unit: str, text: str) -> None:
    assert formatted(value, unit) == text


def test_a_sparkline_has_a_bar_for_each_point_and_gaps_without_data() -> None:
    assert sparkline([]) == ""
    assert sparkline([0, 0]) == "▁▁"
    assert sparkline([None, 0, 4, 8]) == " ▁▅█"
    assert sparkline([0.0] * 119 + [1.0]) == "▁" * 59 + "█"
