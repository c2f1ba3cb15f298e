from __future__ import annotations

from dataclasses import replace

import pytest

from fanfold.core.delivery import Delivery, delivery_after
from fanfold.core.ports import User
from fanout_service.push_or_pull import strategy

CROSSED_MS = 1_000_000


@pytest.mark.parametrize(
    ("count", "side", "then"),
    [
        (99, "push", "push"),
        (100, "push", "pull"),
        (101, "push", "pull"),
        (99, "pull", "pull"),
        (80, "pull", "pull"),
        (79, "pull", "push"),
        (80, "push", "push"),
        (0, "push", "push"),
    ],
)
def test_an_author_crosses_at_the_threshold_and_returns_below_the_hysteresis(
    count: int, side: Delivery, then: Delivery
) -> None:
    assert delivery_after(count, side, threshold=100, hysteresis=0.8) == then


def test_an_author_near_the_threshold_does_not_flap() -> None:
    side: Delivery = "push"
    crossings = 0
    for count in [99, 100, 99, 100, 95, 101, 99]:
        after = delivery_after(count, side, threshold=100, hysteresis=0.8)
        crossings += after != side
        side = after
    assert crossings == 1


@pytest.mark.parametrize(
    ("posted_at_ms", "expected"),
    [
        (CROSSED_MS - 60_000, "pull"),
        (CROSSED_MS - 59_999, "both"),
        (CROSSED_MS, "both"),
        (CROSSED_MS + 59_999, "both"),
        (CROSSED_MS + 60_000, "pull"),
    ],
)
def test_a_post_near_the_crossing_goes_both_ways(posted_at_ms: int, expected: str) -> None:
    author = User("alice", follower_count=100, delivery="pull", pull_since_ms=CROSSED_MS)
    assert strategy(author, posted_at_ms=posted_at_ms, overlap_ms=60_000) == expected


def test_without_an_overlap_a_post_goes_one_way() -> None:
    author = User("alice", follower_count=100, delivery="pull", pull_since_ms=CROSSED_MS)
    assert strategy(author, posted_at_ms=CROSSED_MS, overlap_ms=0) == "pull"


def test_an_author_who_is_back_below_is_pushed_whenever_the_last_crossing_was() -> None:
    author = User("alice", follower_count=9, delivery="push", pull_since_ms=CROSSED_MS)
    assert strategy(author, posted_at_ms=CROSSED_MS, overlap_ms=60_000) == "push"


def test_an_author_who_crosses_back_and_forth_within_the_overlap_is_never_only_pulled() -> None:
    """Up, down and up again within a minute: readers may not have heard of any of it yet."""
    up = User("alice", follower_count=100, delivery="pull", pull_since_ms=CROSSED_MS)
    down = replace(up, follower_count=79, delivery="push")
    up_again = replace(up, pull_since_ms=CROSSED_MS + 20_000)
    chosen = [
        strategy(author, posted_at_ms=CROSSED_MS + after_ms, overlap_ms=60_000)
        for author, after_ms in (
            (up, 5_000),
            (down, 15_000),
            (up_again, 25_000),
            (up_again, 79_999),
        )
    ]
    assert chosen == ["both", "push", "both", "both"]
    assert strategy(up_again, posted_at_ms=CROSSED_MS + 80_000, overlap_ms=60_000) == "pull"
