"""Skipped tests: with a reason they are allowed, except in CI."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.support.tiers import Report


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
