"""`fanfold plan` as an operator runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from fanfold.core.errors import FanfoldError
from fanfold.ops.command_line import app
from fanfold.ops.plan.show import as_json, text
from tests.support.planning import a_plan, some_costs


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["plan", *arguments], env={"COLUMNS": "300"})


def planned(*arguments: str) -> dict[str, Any]:
    done = run("--json", *arguments)
    assert done.exit_code == 0, done.output
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_the_plan_is_printed_with_its_reasons() -> None:
    shown = run("--users", "10000000").stdout
    for heading in (
        "At the peak",
        "Machines",
        "Disk and memory",
        "The threshold",
        "What breaks first",
    ):
        assert f"\n{heading}\n" in f"\n{shown}"
    assert "workers" in shown
    assert "make bench, section a" in shown
    assert "like_worker_us: issue 12" in shown


@pytest.mark.slow
def test_the_document_has_the_plan_in_the_units_of_its_names() -> None:
    document = planned("--users", "10000000", "--simulate", "--likes", "1")
    assert document["workload"]["users"] == 10_000_000
    assert document["per_s_at_peak"]["posts"] == pytest.approx(10e6 * 0.2 * 0.5 / 86_400 * 4)
    assert document["workers"] >= 1
    assert len(document["simulated_hours"]) == 24
    assert document["costs"]["sources"]["deliveries_per_s"]["measured"] is True
    shares = [limit["used"] for limit in document["limits"]]
    assert shares == sorted(shares, reverse=True)


def test_a_figure_that_is_not_possible_is_null() -> None:
    busy = some_costs(others_like_us=100_000.0)
    document = as_json(a_plan(costs=busy), busy)
    assert document["feed_processes"] is None
    assert document["cost_a_month"]["total"] is None
    assert document["cheapest_threshold"] is None
    assert json.dumps(document, allow_nan=False)


def test_a_plan_that_no_threshold_makes_possible_says_so() -> None:
    busy = some_costs(others_like_us=100_000.0)
    shown = text(a_plan(costs=busy), busy)
    assert "no threshold makes this plan possible" in shown
    assert "not possible" in shown


def test_a_file_of_followers_is_the_distribution(tmp_path: Path) -> None:
    (tmp_path / "followers.txt").write_text("10,90\n100,9\n100000,1\n")
    document = planned("--audience", str(tmp_path / "followers.txt"), "--threshold", "1000")
    assert document["workload"]["audience"] == {"mean": pytest.approx(1018), "largest": 100_000}
    assert document["feed_reads"]["celebrities"] == pytest.approx(1000)


@pytest.mark.slow
def test_pictures_are_written_where_they_are_asked_for(tmp_path: Path) -> None:
    done = run("--plots", str(tmp_path / "new"), "--simulate", "--users", "100000")
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "cost-by-celebrities.svg",
        "cost-by-threshold.svg",
        "cost-by-users.svg",
        "delivery-age-by-hour.svg",
    ]


@pytest.mark.slow
def test_pictures_that_cannot_be_written_say_so(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    error = run("--plots", str(tmp_path / "taken")).exception
    assert isinstance(error, FanfoldError)
    assert "name another directory" in str(error)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--awake", "0.1"), "raise --awake from 0.1"),
        (("--feed-p99", "1"), "set --feed-p99 to"),
        (("--delivery-age", "0.05"), "raise --delivery-age, or lower --threshold"),
        (("--audience", "zipf:2"), "use power-law:EXPONENT"),
        (("--follows", "900000"), "ask for fewer follows or more users"),
        (("--measured", "missing.json"), "name a file in bench/results"),
        (("--storm", "100"), "add --simulate"),
    ],
)
def test_silly_input_is_refused_with_what_to_change(arguments: tuple[str, ...], error: str) -> None:
    done = run(*arguments)
    assert isinstance(done.exception, FanfoldError)
    assert error in str(done.exception)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--users", "0"),
        ("--active", "2"),
        ("--peak", "0.5"),
        ("--posts", "-1"),
        ("--users", "many"),
    ],
)
def test_an_option_out_of_range_is_a_usage_error(arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2
