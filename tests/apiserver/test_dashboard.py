"""The board with real data: a real Prometheus scrapes the system of `make up` during a load, and every query of our own metrics has numbers.

`make pictures` keeps the picture of it, in docs/pictures. It is drawn by `tests/support/board_picture.py`, not by Grafana.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import httpx2
import pytest

from deploy.local.plan import Plan, kind_of
from tests.support.board import Panel, panels
from tests.support.board_picture import Line, page
from tests.support.browser import CHROMIUM, ROOT, chromium
from tests.support.cluster_load import ClusterLoad
from tests.support.cluster_verdict import quiet
from tests.support.k8s import SERVICES
from tests.support.local_system import LocalSystem
from tests.support.local_system_fixtures import a_system_for_a_load, client_of
from tests.support.prometheus import MISSING, PROGRAM, Prometheus, Series, a_prometheus

PICTURES = ROOT / "docs" / "pictures"
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
MOST_BYTES = 250_000
LOAD_S = 75
PER_S = 20
ROWS = 5
"""Of those that are drawn: more would be too small to read."""
BOARD = panels(rate_interval="10s")
OURS = [query for panel in BOARD for query in panel.queries if query.is_ours]


@dataclass(frozen=True)
class Run:
    """What Prometheus knows of a load."""

    prometheus: Prometheus
    began_s: float
    ended_s: float

    def answer(self, expression: str) -> list[Series]:
        return self.prometheus.over(expression, began_s=self.began_s, ended_s=self.ended_s)

    def without_numbers(self, expressions: Sequence[str]) -> list[str]:
        return [
            expression
            for expression in expressions
            if not any(series.points for series in self.answer(expression))
        ]

    def lines(self, panel: Panel) -> list[Line]:
        return [
            Line(
                query.name_of(series.labels),
                [(at_s - self.began_s, value) for at_s, value in series.points],
            )
            for query in panel.queries
            for series in self.answer(query.expression)
        ]


def jobs(plan: Plan) -> dict[str, list[str]]:
    """The addresses of each service's processes, by the `job` that the monitors of deploy/k8s give them."""
    return {
        service: [
            f"{plan.host(name)}:{plan.port(name)}"
            for name in (*plan.apis, *plan.worker_names)
            if f"{kind_of(name)}-service" == service
        ]
        for service in SERVICES
    }


async def a_load(system: LocalSystem) -> ClusterLoad:
    async with client_of(system) as gateway:
        load = ClusterLoad(gateway, "board", per_s=PER_S)
        await load.prepare()
        await quiet(system)
        async with load.running():
            await live_feeds_too_many(gateway, load.readers[-1])
        for watcher in load.watchers:
            await watcher.cut()
        return load


async def live_feeds_too_many(gateway: httpx2.AsyncClient, reader: str) -> None:
    """For as long as the load lasts: a status that no route has from the start, 429."""
    until_s = time.monotonic() + LOAD_S
    request = ("GET", f"/users/{reader}/feed/stream")
    headers = {"X-User-Id": reader}
    async with gateway.stream(*request, headers=headers) as live:
        live.raise_for_status()
        while time.monotonic() < until_s:
            async with gateway.stream(*request, headers=headers) as another:
                assert another.status_code == httpx2.codes.TOO_MANY_REQUESTS
            await asyncio.sleep(2)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    if PROGRAM is None:
        pytest.skip(MISSING)
    directory = tmp_path_factory.mktemp("prometheus")
    with (
        a_system_for_a_load("board", workers=2, FANFOLD_LIVE_FEEDS_PER_USER="1") as system,
        a_prometheus(directory, jobs(system.plan)) as prometheus,
    ):
        began_s = time.time()
        load = asyncio.run(a_load(system))
        assert load.acknowledged
        assert (load.wrong_pages, load.asked.silent) == ([], [])
        yield Run(prometheus, began_s, time.time())


def test_every_process_is_scraped(run: Run) -> None:
    scraped = {(up.labels["job"], up.points[-1][1]) for up in run.answer("sum by (job) (up)")}
    assert scraped == {(job, 2 if job == "fanout-service" else 1) for job in SERVICES}


def test_every_query_of_ours_has_numbers(run: Run) -> None:
    assert len(OURS) > 20
    assert run.without_numbers([query.expression for query in OURS]) == []


def test_a_query_that_asks_for_another_label_is_seen(run: Run) -> None:
    wrong = 'rate(fanfold_http_requests_total{route="/users/{user}/feed"}[10s])'
    assert run.without_numbers([wrong]) == [wrong]


def test_the_first_panels_can_be_drawn(run: Run) -> None:
    if CHROMIUM is None:
        pytest.skip("Chromium is missing: scripts/install_browser")
    drawn = [(panel, run.lines(panel)) for panel in _first_of_ours()]
    assert all(lines for _, lines in drawn)
    subtitle = (
        f"The board's queries over {LOAD_S} seconds of a load on the system of make up, answered by Prometheus"
        f" and drawn by a test, not by Grafana. {len(drawn)} of {len(BOARD)} panels."
    )
    with chromium() as browser, browser.new_page(viewport={"width": 1096, "height": 400}) as shown:
        shown.set_content(page(subtitle, drawn))
        for scheme in SCHEMES:
            shown.emulate_media(color_scheme=scheme)
            picture = shown.screenshot(full_page=True)
            size = len(picture)
            assert size < MOST_BYTES
            if os.getenv("PICTURES"):
                (PICTURES / f"board-{scheme}.png").write_bytes(picture)


def _first_of_ours() -> list[Panel]:
    """The first rows of which every panel can be answered here."""
    rows: dict[int, list[Panel]] = {}
    for panel in BOARD:
        rows.setdefault(panel.row, []).append(panel)
    whole = [row for row in rows.values() if all(map(_is_ours, row))]
    return [panel for row in whole[:ROWS] for panel in row]


def _is_ours(panel: Panel) -> bool:
    return all(query.is_ours for query in panel.queries)
