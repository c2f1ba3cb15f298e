"""The tiers of tests: their order, which tests share a process, and a report of what each tier took."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

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
    "browser",
    "deploy",
    "image",
    "faults",
    "apiserver",
    "cluster",
)
LONG = ("e2e", "property", "architecture")
"""Single tests of these take ten seconds and more: with several processes they begin before the short ones, so that at the end no process
has a long test left while the others have none."""
SHORT = ("unit", "contract", "api", "fuzz")
AT_ONCE = 16
"""Of the tests of these tiers that are not in a group, a process is given up to so many of a file at once. To hand out 5,700 tests one by one
took 2.5 s of CPU time, and takes 0.9 s so."""
GROUPS = (
    (r"tests/real/secured/", "secured-engines"),
    (r"tests/image/", "image"),
    # These need the cache alone.
    (r"tests/contract/.*\[(.*-)?(redis|cluster)(-.*)?\]", "cache"),
    (r"tests/(real|faults)/test_shared_cache_\w+\.py", "cache"),
    # One process generates clients, and tries them on the local system too.
    (r"tests/(real|faults)/test_up\w*\.py", "local-system"),
    (r"tests/e2e/test_generated_clients\.py", "local-system"),
    # These share a browser and a server.
    (r"tests/browser/", "browser"),
    # These take as long as all others on engines, so they have a pair of their own.
    (r"tests/(e2e|faults)/.*\[(.*-)?real(-.*)?\]", "engines-of-e2e"),
    (r"tests/contract/.*\[(.*-)?(kafka|cassandra)(-.*)?\]", "engines"),
    (r"tests/(real|faults)/", "engines"),
)
"""Which tests share what is slow to start: in several processes, those of one group run in one, one after the other."""


def tier_of(nodeid: str) -> str:
    """The directory below tests/ that holds the test."""
    _, tier, *_ = nodeid.split("/")
    return tier


def group_of(nodeid: str) -> str | None:
    """The group of a test; None if it may run in any process."""
    return next((group for pattern, group in GROUPS if re.match(pattern, nodeid)), None)


class Scopes:
    """What one process is given as a whole, by the id of a test: its group, some short tests of its file, or that test alone.

    The same for an id whenever it is asked; the tests of a file are counted in the order of the first time.
    """

    def __init__(self) -> None:
        self._scopes: dict[str, str] = {}
        self._seen: Counter[str] = Counter()

    def __call__(self, nodeid: str) -> str:
        if nodeid not in self._scopes:
            self._scopes[nodeid] = group_of(nodeid) or self._some_of_a_file(nodeid)
        return self._scopes[nodeid]

    def _some_of_a_file(self, nodeid: str) -> str:
        if tier_of(nodeid) not in SHORT:
            return nodeid
        file = nodeid.split("::", maxsplit=1)[0]
        self._seen[file] += 1
        return f"{file} {(self._seen[file] - 1) // AT_ONCE}"


def _kills(nodeid: str) -> bool:
    """Whether the test kills an engine: earlier than the others, while there are few partitions and rows to recover."""
    return "_outage.py" in nodeid


class Order:
    """Cheap tiers first. With several processes xdist begins with the largest groups, and goes on with the long tiers."""

    def __init__(self, *, in_several_processes: bool) -> None:
        self.first = LONG if in_several_processes else ()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        unknown = {tier_of(item.nodeid) for item in items} - set(TIERS)
        if unknown:
            raise pytest.UsageError(
                f"tests outside the tiers {', '.join(TIERS)}: {sorted(unknown)}"
            )
        for item in items:
            if item.get_closest_marker("real") and not group_of(item.nodeid):
                raise pytest.UsageError(f"{item.nodeid} is on engines: add it to GROUPS")
        items.sort(
            key=lambda item: (*self._place_of(tier_of(item.nodeid)), not _kills(item.nodeid))
        )

    def _place_of(self, tier: str) -> tuple[int, int]:
        first = self.first.index(tier) if tier in self.first else len(self.first)
        return first, TIERS.index(tier)


class Report:
    """Heads each tier, and ends with what each took, summed over the processes.

    A skip without a reason fails; in CI every skip does, because it would hide an engine or a tool that is missing.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.sizes: Counter[str] = Counter()
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.current = ""
        self.refused_skips: list[str] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._count(item.nodeid for item in session.items)

    # Several processes: this one collects nothing, and every other one collects the same.
    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        self._count(ids)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        from xdist.scheduler import LoadScopeScheduling

        scheduler = LoadScopeScheduling(config, log)
        # Its own loadgroup expects node ids that pytest 9.2 no longer has.
        vars(scheduler)["_split_scope"] = Scopes()
        return scheduler

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
        if report.skipped and not hasattr(report, "wasxfail"):
            reason = _reason(report)
            if not reason:
                self.refused_skips.append(f"SKIPPED WITHOUT A REASON: {report.nodeid}")
            elif os.getenv("CI"):
                self.refused_skips.append(f"SKIPPED IN CI: {report.nodeid}: {reason}")

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.refused_skips and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for refused in self.refused_skips:
            terminalreporter.write_line(refused, red=True)
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
