"""Seeded bugs: each a change of one place in the code that a test of the suite must find. `make seeded-bugs` tries them all.

A bug is text that stands once in its file, the text that takes its place, and the test that must fail with it. It is put into the running code objects, so
one process tries all of them. A bug whose text is gone, or that no test finds, fails. A test of random examples is named only for a bug that it finds with
every seed, since the examples depend on more than the seed.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest

from tests.support.seeded_bug_list import BUGS, SeededBug

ROOT = Path(__file__).parents[2]
_OPTIONS = (
    *("-x", "-q", "--no-header", "--tb=no", "-m", "not real"),
    *("-p", "no:cacheprovider", "-p", "no:schemathesis"),
    *("--hypothesis-profile=seeded", "--hypothesis-seed=1"),
    # The code is imported before pytest is, to put the bug into it.
    *("-W", "ignore:Module already imported"),
)


def module_of(bug: SeededBug) -> ModuleType:
    parts = Path(bug.file).with_suffix("").parts
    return importlib.import_module(".".join(parts[1:] if parts[0] == "services" else parts))


def patched(bug: SeededBug) -> str:
    """The file's text with the bug. Raises `ValueError` unless its place is there exactly once."""
    text = (ROOT / bug.file).read_text()
    if text.count(bug.old) != 1:
        raise ValueError(f"{bug.name}: {bug.file} has its place {text.count(bug.old)} times")
    return text.replace(bug.old, bug.new)


@contextmanager
def seeded(bug: SeededBug) -> Iterator[None]:
    """The bug is in the code meanwhile, wherever that has been imported."""
    codes = {code.co_qualname: code for code in _codes(compile(patched(bug), "", "exec"))}
    module = module_of(bug)
    replaced: list[tuple[FunctionType, CodeType]] = []
    for function in _functions(vars(module), module.__name__):
        code = codes.get(function.__qualname__)
        if code is not None and not _alike(function.__code__, code):
            replaced.append((function, function.__code__))
            function.__code__ = code
    if not replaced:
        raise ValueError(f"{bug.name} changes no function")
    try:
        yield
    finally:
        for function, before in replaced:
            function.__code__ = before


def _codes(code: CodeType) -> Iterator[CodeType]:
    """The code of every function and method in a module's code, and of what is in them."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)


def _alike(one: CodeType, other: CodeType) -> bool:
    """Whether they do the same; lines may have moved."""
    return one.replace(co_filename="", co_firstlineno=1, co_linetable=b"") == other.replace(
        co_filename="", co_firstlineno=1, co_linetable=b""
    )


def _functions(names: Mapping[str, Any], module: str) -> Iterator[FunctionType]:
    """The functions and methods that a module defines, without what wraps them."""
    for value in list(names.values()):
        function: Any = value.fget if isinstance(value, property) else value
        function = getattr(function, "__func__", function)
        while hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        if isinstance(function, FunctionType) and function.__module__ == module:
            yield function
        elif isinstance(value, type) and value.__module__ == module:
            yield from _functions(vars(value), module)


class _Outcome:
    """Which tests failed, and how many ran."""

    def __init__(self) -> None:
        self.failed: list[str] = []
        self.ran = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            self.ran += 1
        if report.failed:
            self.failed.append(report.nodeid)


def found(bug: SeededBug) -> bool:
    """Whether the test of the bug fails with it. Raises `ValueError` if the bug or its test is gone."""
    outcome = _Outcome()
    with seeded(bug), redirect_stdout(StringIO()):
        pytest.main(
            [*_OPTIONS, str(ROOT / bug.killer)],
            plugins=[outcome],
        )
    if not outcome.ran and not outcome.failed:
        raise ValueError(f"{bug.name}: {bug.killer} ran no test")
    return bool(outcome.failed)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="Only these bugs.")
    parser.add_argument("--every", type=int, default=1, help="Only every EVERY-th bug.")
    asked = parser.parse_args()
    chosen = [bug for bug in BUGS[:: asked.every] if not asked.names or bug.name in asked.names]
    missed = []
    for bug in chosen:
        started_s = time.monotonic()
        is_found = found(bug)
        took_s = time.monotonic() - started_s
        verdict = "found" if is_found else "MISSED"
        print(f"{verdict} in {took_s:5.1f} s: {bug.name} by {bug.killer}", flush=True)
        if not is_found:
            missed.append(bug.name)
    print(f"==> {len(chosen)} seeded bugs, {len(missed)} missed")
    return 1 if missed or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
