"""Tiers: `make test` runs them in this order, cheapest first, each under a heading with its size."""

from __future__ import annotations

import signal
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engines import RealEngines, running_engines

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
HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def engines() -> Iterator[RealEngines]:
    """The real Kafka and Cassandra; the first test that asks for them waits until they answer."""
    with running_engines() as pair:
        yield pair


@pytest.fixture(autouse=True)
def _engines_left_running(request: pytest.FixtureRequest) -> Iterator[None]:
    asked = "engines" in request.fixturenames
    pair: RealEngines | None = request.getfixturevalue("engines") if asked else None
    yield
    if pair is not None:
        pair.revive()


def pytest_configure(config: pytest.Config) -> None:
    # A CI that gives up sends SIGTERM: leave as on Ctrl-C, through the finalizers that stop the engines.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    config.pluginmanager.register(TierProgress(config), "tiers")


def tier_of(path: Path) -> str:
    """The directory below tests/ that holds the test."""
    return path.relative_to(HERE).parts[0]


class TierProgress:
    """Orders the tests by tier, heads each tier, and ends with what each took; an unreasoned skip fails."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.sizes: Counter[str] = Counter()
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.tiers: dict[str, str] = {}
        self.current = ""
        self.silent_skips: list[str] = []

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        self.tiers = {item.nodeid: tier_of(item.path) for item in items}
        self.sizes = Counter(self.tiers.values())
        unknown = self.sizes.keys() - set(TIERS)
        if unknown:
            raise pytest.UsageError(
                f"tests outside the tiers {', '.join(TIERS)}: {sorted(unknown)}"
            )
        items.sort(key=lambda item: TIERS.index(self.tiers[item.nodeid]))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        tier = self.tiers[nodeid]
        if tier != self.current:
            self.current = tier
            terminal = self.config.pluginmanager.get_plugin("terminalreporter")
            if terminal is not None:
                terminal.ensure_newline()
                terminal.write_sep("-", f"{tier}: {self.sizes[tier]} tests", bold=True)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[self.tiers[report.nodeid]] += report.duration
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
