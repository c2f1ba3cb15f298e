"""Every panel of the dashboard that asks for our metrics has numbers after a run, as Prometheus' own engine evaluates its queries."""

from __future__ import annotations

import json
import re
import time
from collections import defaultdict
from pathlib import Path

import httpx2
import pytest

from tests.apiserver.test_prometheus import mistakes
from tests.support.browser import served_by_dev
from tests.support.k8s import SERVICES, named, rendered

SCRAPES = 4
OTHERS = re.compile(r"\b(kafka|kube|redis)_")
LOOKS = "fanfold_event_loop_lag_seconds_count"
SAMPLE = re.compile(r"^([a-z_]+)(\{.*\})? (\S+)$", re.MULTILINE)


def panels() -> dict[str, str]:
    """The queries of our own metrics, with the titles of their panels. Those of others are not served here."""
    board = named(rendered("prod"), "ConfigMap", "fanfold-dashboard")
    return {
        # Grafana fills it in.
        target["expr"].replace("$__rate_interval", "3m"): panel["title"]
        for panel in json.loads(board["data"]["fanfold.json"])["panels"]
        for target in panel["targets"]
        if not OTHERS.search(target["expr"])
    }


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a whole system says of itself, four times, with posts, feeds and a live feed in between. One process has the metrics of all services."""
    values: dict[str, list[str]] = defaultdict(list)
    directory: Path = tmp_path_factory.mktemp("served")
    with (
        served_by_dev(directory, FANFOLD_LIVE_FEEDS_PER_USER="1") as server,
        httpx2.Client(base_url=server.url, timeout=30) as client,
    ):
        alice = {"X-User-Id": "alice"}
        for scrape in range(SCRAPES):
            for author in ("alice", "bob", "nova"):
                sent = client.post(
                    "/posts", headers={"X-User-Id": author}, json={"content": f"{scrape}"}
                )
                sent.raise_for_status()
            with client.stream("GET", "/users/alice/feed/stream", headers=alice) as live:
                # A read that waits for the posts, so that they are delivered at the scrape.
                position = {"Fanfold-After": sent.headers["fanfold-position"]}
                feed = client.get("/users/alice/feed", headers={**alice, **position})
                feed.raise_for_status()
                assert client.get("/users/alice/feed/stream", headers=alice).status_code == 429
                next(live.iter_lines())
                for name, labels, value in _samples_when_the_loop_was_looked_at(client, scrape):
                    for service in SERVICES:
                        job = f'job="{service}"'
                        within = f"{job},{labels[1:-1]}" if labels else job
                        values[f"{name}{{{within}}}"].append(value)
    return {
        # A series that appears later has no value before.
        series: " ".join(["_"] * (SCRAPES - len(found)) + found)
        for series, found in values.items()
    }


def _samples_when_the_loop_was_looked_at(
    client: httpx2.Client, scrape: int
) -> list[tuple[str, str, str]]:
    """The metrics, once the lag of the event loop has been measured as often as they were scraped: it is, ten times a second."""
    while True:
        samples = SAMPLE.findall(client.get("/metrics").text)
        looked = {name: float(value) for name, _, value in samples if name == LOOKS}[LOOKS]
        if looked > scrape:
            return samples
        time.sleep(0.02)


def test_every_panel_of_ours_has_numbers(scraped: dict[str, str]) -> None:
    asked = panels()
    assert len(asked) > 20
    given = {"series": scraped, "minutes": SCRAPES - 1}
    assert mistakes({"groups": []}, list(asked), scraped=given) == []


def test_a_panel_that_asks_for_another_label_is_seen(scraped: dict[str, str]) -> None:
    given = {"series": scraped, "minutes": SCRAPES - 1}
    wrong = 'rate(fanfold_http_requests_total{route="/users/{user}/feed"}[3m])'
    assert mistakes({"groups": []}, [wrong], scraped=given) == [f"no number: {wrong}"]
