"""Skipped tests: with a reason they are allowed, except in CI. And the order of the tiers, and what processes are given."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.support.tiers import AT_ONCE, Order, Report, Scopes


def exit_status(reason: str) -> int:
    """Of a session in which all tests passed but one, which was skipped."""
    report = Report(cast(pytest.Config, SimpleNamespace()))
    skipped: Any = pytest.TestReport(
        nodeid="tests/unit/test_one.py::test_one",
        location=("tests/unit/test_one.py", 1, "test_one"),
        keywords={},
        outcome="skipped",
        longrepr=("tests/unit/test_one.py", 1, f"Skipped: {reason}"),
        when="setup",
    )
    report.pytest_runtest_logreport(skipped)
    session = SimpleNamespace(exitstatus=pytest.ExitCode.OK)
    report.pytest_sessionfinish(cast(pytest.Session, session))
    return int(session.exitstatus)


@pytest.mark.parametrize(
    ("reason", "in_ci", "status"),
    [
        ("no Docker", "", pytest.ExitCode.OK),
        ("no Docker", "1", pytest.ExitCode.TESTS_FAILED),
        ("", "", pytest.ExitCode.TESTS_FAILED),
        ("unconditional skip", "", pytest.ExitCode.TESTS_FAILED),
    ],
)
def test_a_skip_fails_the_run_without_a_reason_and_always_in_ci(
    reason: str, in_ci: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", in_ci)
    assert exit_status(reason) == status


@pytest.mark.parametrize(
    ("in_several_processes", "tiers"),
    [
        (False, ["unit", "property", "api", "architecture", "e2e", "deploy"]),
        (True, ["e2e", "property", "architecture", "unit", "api", "deploy"]),
    ],
)
def test_cheap_tiers_are_first_and_with_several_processes_those_of_long_tests(
    in_several_processes: bool, tiers: list[str]
) -> None:
    def item(tier: str) -> Any:
        return SimpleNamespace(
            nodeid=f"tests/{tier}/test_one.py::test_one", get_closest_marker=lambda _name: None
        )

    items = [item(tier) for tier in sorted(tiers)]
    Order(in_several_processes=in_several_processes).pytest_collection_modifyitems(items)
    assert [item.nodeid.split("/")[1] for item in items] == tiers


def test_a_process_is_given_a_group_or_some_short_tests_of_a_file_or_one_long_test() -> None:
    short = [f"tests/unit/test_one.py::test_{n}" for n in range(AT_ONCE + 1)]
    ids = [
        *short,
        "tests/unit/test_two.py::test_one",
        "tests/property/test_one.py::test_one",
        "tests/property/test_one.py::test_two",
        "tests/contract/test_one.py::test_one[kafka]",
        "tests/real/test_one.py::test_one",
    ]
    scope_of = Scopes()
    given: dict[str, list[str]] = {}
    for nodeid in ids:
        given.setdefault(scope_of(nodeid), []).append(nodeid)
    assert list(given.values()) == [
        short[:AT_ONCE],
        short[AT_ONCE:],
        *([nodeid] for nodeid in ids[len(short) : -2]),
        ids[-2:],
    ]
    assert [scope_of(nodeid) for nodeid in ids] == [
        scope for scope, tests in given.items() for _ in tests
    ], "the same when asked again"
