"""The tiers of tests: their order, which tests share a process, and a report of what each tier took."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

import pytest

TIERS = (
    "unit",
    "property",
    "contract",
    "api",
    "fuzz",
    "architecture",
    "real",
    "e2e",
    "deploy",
    "apiserver",
)
SLOW_TO_START = ("image", "system", "engines_of_its_own")
"""Fixtures of one module or two, beside the engines of all."""


def tier_of(nodeid: str) -> str:
    """The directory below tests/ that holds the test."""
    _, tier, *_ = nodeid.split("/")
    return tier


def group_of(item: pytest.Item) -> str | None:
    """The tests of one group run in one process, one after the other, so that what is slow to start starts once.

    The whole system has a pair of engines to itself: its tests take as long as all others on engines.
    """
    if item.get_closest_marker("real") is None:
        return None
    for fixture in SLOW_TO_START:
        if fixture in getattr(item, "fixturenames", ()):
            return fixture
    return "engines-of-e2e" if tier_of(item.nodeid) == "e2e" else "engines"


class Order:
    """Cheap tiers first; with several processes, xdist begins with the largest groups."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        unknown = {tier_of(item.nodeid) for item in items} - set(TIERS)
        if unknown:
            raise pytest.UsageError(
                f"tests outside the tiers {', '.join(TIERS)}: {sorted(unknown)}"
            )
        for item in items:
            if group := group_of(item):
                item.add_marker(pytest.mark.xdist_group(group))
        items.sort(key=lambda item: TIERS.index(tier_of(item.nodeid)))


class Report:
    """Heads each tier, and ends with what each took, summed over the processes; a skip without a reason fails."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.sizes: Counter[str] = Counter()
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.current = ""
        self.silent_skips: list[str] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._count(item.nodeid for item in session.items)

    # Several processes: this one collects nothing, and every other one collects the same.
    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        self._count(ids)

    def _count(self, nodeids: Iterable[str]) -> None:
        self.sizes = Counter(map(tier_of, nodeids))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        tier = tier_of(nodeid)
        if tier != self.current and not self._in_several_processes():
            self.current = tier
            terminal = self.config.pluginmanager.get_plugin("terminalreporter")
            if terminal is not None:
                terminal.ensure_newline()
                terminal.write_sep("-", f"{tier}: {self.sizes[tier]} tests", bold=True)

    def _in_several_processes(self) -> bool:
        return bool(self.config.getoption("numprocesses", None))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[tier_of(report.nodeid)] += report.duration
        if report.skipped and not hasattr(report, "wasxfail") and not _reason(report):
            self.silent_skips.append(report.nodeid)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.silent_skips and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for nodeid in self.silent_skips:
            terminalreporter.write_line(f"SKIPPED WITHOUT A REASON: {nodeid}", red=True)
        terminalreporter.write_sep("-", "tiers")
        for tier in TIERS:
            if self.sizes[tier]:
                terminalreporter.write_line(
                    f"{tier:<13}{self.sizes[tier]:>5} tests{self.seconds[tier]:>8.1f} s"
                )


def _reason(report: pytest.TestReport) -> str:
    _, _, text = report.longrepr if isinstance(report.longrepr, tuple) else ("", 0, "")
    reason = text.removeprefix("Skipped: ").strip()
    return "" if reason == "unconditional skip" else reason
