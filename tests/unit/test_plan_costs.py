"""Where `fanfold plan` has its costs from."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from fanfold.core import events
from fanfold.core.errors import Rejected
from fanfold.core.ids import new_post_id
from fanfold.ops.plan.costs import SHIPPED, STATED, costs_of, shipped_costs
from tests.support.capacity_plan import shipped

RECORD_BYTES = 70
"""A record's own, with its part of a small batch: lengths, offsets, the batch's head of 61 bytes."""


def results(*sections: dict[str, Any], **facts: Any) -> dict[str, Any]:
    about = {"at": "2026-11-30", "commit": "abc", "cores": 8, "cpu": "a CPU", "quick": False}
    return {**about, **facts, "sections": list(sections)}


def section(letter: str, *rows: dict[str, Any]) -> dict[str, Any]:
    return {"section": letter, "rows": list(rows)}


def figure(median: float) -> dict[str, Any]:
    return {"median": median, "least": median, "most": median, "rounds": [median]}


def written(folder: Path, document: Any) -> Path:
    path = folder / "results.json"
    path.write_text(json.dumps(document))
    return path


def test_the_shipped_costs_are_those_of_the_committed_sample() -> None:
    assert SHIPPED.read_text() == shipped(), (
        "write them with: python -m tests.support.capacity_plan"
    )


def test_every_cost_has_a_unit_and_a_source() -> None:
    costs = shipped_costs()
    stated = yaml.safe_load(STATED.read_text())
    assert set(costs.sources) == set(stated)
    assert all(entry["unit"] and entry["source"] for entry in stated.values())
    assert costs.sources["deliveries_per_s"][:2] == (True, "make bench, section a")
    assert not costs.sources["compaction_room"].measured


def test_a_measured_cost_replaces_the_stated_one(tmp_path: Path) -> None:
    audiences = {"2 posts to 20 followers": 40.0, "9 posts to 1,000 followers": figure(6.0)}
    growth = {
        "what": "pulled, 100,000",
        "CPU a post, worker: ms": figure(0.8),
        "peak memory of the worker, MB": figure(99.0),
    }
    costs = costs_of(
        written(
            tmp_path,
            results(
                section("a", {"what": "CPU a delivery, worker: µs", **audiences}),
                section(
                    "c", {"what": "1 followers, 120 posts", "first p50": 20.0, "first p99": 60}
                ),
                section("f", {"what": "until the last of 10 has it, p50: ms", "usual": figure(25)}),
                section("d", growth),
                section("e", {"what": "100 pointers in 9 timelines", "bytes a delivery": 31.0}),
            ),
        )
    )
    assert list(costs.post_worker_us.points) == [(20, 800), (1000, 6000)]
    assert (costs.small_post_ms, costs.first_visible_ms) == (25, 60)
    assert costs.pulled_worker_us == pytest.approx(800)
    assert costs.worker_mb == 99
    assert costs.pointer_bytes == 31
    assert costs.sources["pulled_worker_us"].text == "make bench, section d"
    # What the file lacks is stated.
    assert costs.pulled_cassandra_us == 4000
    assert not costs.sources["pulled_cassandra_us"].measured
    assert costs.measured_by == "8 cores (a CPU), commit abc, 2026-11-30"


def test_sizes_below_the_smallest_measured_one_keep_their_stated_costs(tmp_path: Path) -> None:
    row = {"what": "CPU a delivery, worker: µs", "9 posts to 100 followers": 20.0}
    costs = costs_of(written(tmp_path, results(section("a", row))))
    assert list(costs.post_worker_us.points) == [(20, 1430), (100, 2000)]
    assert list(costs.sources["post_worker_us"].stated_sizes) == [20]
    assert "at 20: issue 12" in costs.sources["post_worker_us"].text


def test_a_feed_costs_what_the_open_world_measured_and_celebrities_what_the_closed_one(
    tmp_path: Path,
) -> None:
    closed = section(
        "b",
        {"what": "p99 at 100/s", "0 celebrities": 10.0, "100 celebrities": 9.0},
        {"what": "p99 at 400/s", "0 celebrities": 50.0, "100 celebrities": 90.0},
        {
            "what": "feeds/s, 32 connections (closed loop)",
            "0 celebrities": 1000.0,
            "100 celebrities": 500.0,
        },
        {
            "what": "CPU of feed_service a feed at saturation, µs",
            "0 celebrities": 900.0,
            "100 celebrities": 1400.0,
        },
        {
            "what": "CPU of Cassandra a feed at saturation, µs",
            "0 celebrities": 700.0,
            "100 celebrities": 600.0,
        },
    )
    opened = section(
        "g",
        {
            "what": "CPU of feed_service a first read at saturation, µs",
            "relevance, none": 9000.0,
            "relevance, filled": 1200.0,
        },
        {"what": "CPU of Cassandra a first read, µs", "relevance, filled": 800.0},
        {"what": "CPU of the cache a first read, µs", "relevance, filled": 150.0},
    )
    costs = costs_of(written(tmp_path, results(opened, closed)))
    assert (costs.feed_us, costs.feed_cassandra_us, costs.cache_read_us) == (1200, 800, 150)
    assert costs.celebrity_us == pytest.approx(5)
    # The share of the highest rate, and the p99 there, which never falls.
    assert list(costs.feed_p99_ms.points) == [(0.1, 10), (0.2, 10), (0.4, 50), (0.8, 90)]


def test_others_writes_are_what_a_process_spends_beyond_its_usual(tmp_path: Path) -> None:
    tail = section(
        "h",
        {"what": "idle, 0 pulled authors, % of a core", "one process": 1.0},
        {"what": "idle, 1,000 pulled authors, % of a core", "one process": 3.0},
        {"what": "2,000 posts a second, % of a core", "one process": figure(13.0)},
        {"what": "2,000 likes a second, % of a core", "one process": 2.0},
    )
    costs = costs_of(written(tmp_path, results(tail)))
    assert costs.others_post_us == pytest.approx(50)
    assert costs.others_like_us == 0
    assert costs.pulled_author_us == pytest.approx(20)
    assert not costs.sources["others_follow_us"].measured


def test_the_costs_of_common_events_join_those_of_large_audiences(tmp_path: Path) -> None:
    def row(what: str, worker: float, cassandra: float) -> dict[str, Any]:
        return {
            "what": what,
            "a second": figure(1.0),
            "CPU, worker: ms": figure(worker),
            "CPU, kafka: ms": figure(0.01),
            "CPU, cassandra: ms": figure(cassandra),
        }

    common = section(
        "i",
        row("a like", 0.15, 0.2),
        row("a follow", 0.3, 0.4),
        row("a post to 20 followers", 0.5, 0.6),
        row("a post to 200 followers", 1.2, 1.5),
        row("a pulled post", 0.8, 0.9),
        row("a sleeper with 200 followees", 10, 11),
        row("woken, with 200 followees", 20, 21),
    )
    large = section("a", {"what": "CPU a delivery, worker: µs", "9 posts to 1,000 followers": 6.0})
    growth = section("d", {"what": "pulled, 100,000", "CPU a post, worker: ms": figure(3.0)})
    costs = costs_of(written(tmp_path, results(growth, common, large)))
    points = [(20, 500), (200, 1200), (1000, 6000)]
    assert list(costs.post_worker_us.points) == points
    assert costs.sources["post_worker_us"].text == "make bench, section a and i"
    assert (costs.like_worker_us, costs.like_cassandra_us) == (150, 200)
    assert (costs.follow_worker_us, costs.follow_cassandra_us) == (300, 400)
    assert (costs.pulled_worker_us, costs.pulled_cassandra_us) == (800, 900)
    assert (costs.sleep_worker_us, costs.sleep_cassandra_us) == (10_000, 11_000)
    assert (costs.wake_worker_us, costs.wake_cassandra_us) == (20_000, 21_000)


@pytest.mark.parametrize(
    ("document", "error"),
    [
        ([], "is no results file of `make bench`"),
        ({"sections": 3}, "is no results file of `make bench`"),
        (results(quick=True), "run `make bench` without QUICK=1"),
        (results(), "run `make bench ONLY=abcde`"),
    ],
)
def test_a_file_without_costs_is_refused_with_what_to_do(
    tmp_path: Path, document: Any, error: str
) -> None:
    with pytest.raises(Rejected, match=error):
        costs_of(written(tmp_path, document))


def test_a_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="name a file in bench/results"):
        costs_of(tmp_path / "missing.json")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(Rejected, match="can't be read as JSON"):
        costs_of(tmp_path / "broken.json")


AT = datetime.fromtimestamp(1_700_000_000.123, UTC)
POST_ID = new_post_id(1_700_000_000_123)
WRITTEN: dict[str, events.Event] = {
    "post_record_bytes": events.PostCreated(
        post_id=POST_ID, author_id="user-0000001", content="x" * 140, created_at=AT
    ),
    "like_record_bytes": events.PostLiked(
        post_id=POST_ID, author_id="user-0000001", user_id="user-0000002", liked_at=AT
    ),
    "follow_record_bytes": events.UserFollowed(
        follower_id="user-0000001", followee_id="user-0000002", followed_at=AT
    ),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_the_stated_bytes_of_a_record_are_those_that_are_sent(name: str) -> None:
    wire = events.encode(WRITTEN[name], source="fanfold/post_service", now_ms=1_700_000_000_123)
    assert wire.key is not None
    sent = len(wire.value) + len(wire.key)
    sent += sum(len(header) + len(value) for header, value in wire.headers)
    stated = yaml.safe_load(STATED.read_text())[name]["value"]
    assert stated == pytest.approx(sent + RECORD_BYTES, abs=4)
