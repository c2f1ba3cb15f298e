"""Tests run on every core at once, so the wall clock shows what the others do as well."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
WALL_CLOCKS = {"monotonic", "perf_counter", "time", "monotonic_ns", "perf_counter_ns", "time_ns"}
IN_OTHER_PROCESSES = {
    "deploy/test_compose.py",
    "e2e/test_live_feed.py",
    "faults/test_faust_acknowledgement.py",
}
"""They wait seconds for another process whose time they can't measure, and the bounds are several times what it takes."""


def bounds_from_above(tree: ast.AST) -> Iterator[ast.Compare]:
    """What is asserted to be less than something."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            for compared in ast.walk(node.test):
                if isinstance(compared, ast.Compare) and any(
                    isinstance(op, ast.Lt | ast.LtE) for op in compared.ops
                ):
                    yield compared


def by_the_wall_clock(bound: ast.Compare) -> bool:
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in WALL_CLOCKS
        for node in ast.walk(bound)
    )


def wall_clock_bounds(source: str) -> list[int]:
    """The lines that bound wall-clock time."""
    return [
        bound.lineno for bound in bounds_from_above(ast.parse(source)) if by_the_wall_clock(bound)
    ]


def test_no_test_bounds_wall_clock_time() -> None:
    found = {
        f"{path.relative_to(TESTS)}:{line}"
        for path in TESTS.rglob("test_*.py")
        if str(path.relative_to(TESTS)) not in IN_OTHER_PROCESSES
        for line in wall_clock_bounds(path.read_text())
    }
    assert found == set(), "own_s() of tests/support/own_time.py, CPU time, or the mark `alone`"


def test_a_bound_of_wall_clock_time_is_found() -> None:
    assert wall_clock_bounds("assert time.monotonic() - began < 0.5") == [1]
    assert wall_clock_bounds("assert 1 <= loop.time() - began < 2") == [1]
    assert wall_clock_bounds("assert time.monotonic() - began >= 0.5") == []
    assert wall_clock_bounds("assert own_s() - began < 0.5") == []


def test_tests_with_the_mark_alone_run_in_one_process_when_no_others_do() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert '$(ONE_MORE) -m "not alone"' in recipe(makefile, "test")
    assert "-m pytest -m alone $(ALONE)" in recipe(makefile, "test-alone")
    assert ".NOTPARALLEL:" in makefile


def test_ci_runs_every_command_that_runs_tests() -> None:
    commands = set(re.findall(r"^(test[a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    steps = re.findall(
        r"^make ([a-z-]+) \|\| failed=\$\?$", (ROOT / ".ci/run").read_text(), re.MULTILINE
    )
    assert set(steps) == commands | {"seeded-bugs"}
    assert len(commands) >= 4


def recipe(makefile: str, target: str) -> str:
    return makefile.partition(f"\n{target}: ")[2].partition("\n\n")[0]
