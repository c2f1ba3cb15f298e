"""Relevance: which properties move a post up, and by how much."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed_service.query.ranking import Relevance, explain, relevances
from tests.support.examples import examples

AN_HOUR_MS = 3_600_000
RULE = Relevance()
A_MONTH_MS = 31 * 24 * AN_HOUR_MS


def relevance(
    rule: Relevance, *, age_ms: int, like_count: int = 0, affinity_share: float = 0.0
) -> float:
    """The score of one post, which is none other among others."""
    this, other = (age_ms, like_count, affinity_share), (7, 1, 0.5)
    score, _, again = relevances(rule, [this, other, this])
    assert score == again
    return score


def test_a_newer_post_without_likes_ranks_higher_to_the_millisecond() -> None:
    ages = [0, 1, 2, AN_HOUR_MS, AN_HOUR_MS + 1, A_MONTH_MS, A_MONTH_MS + 1]
    scores = [relevance(RULE, age_ms=age) for age in ages]
    assert all(newer > older for newer, older in pairwise(scores))


def test_gravity_is_hacker_news_own() -> None:
    now, later = relevance(RULE, age_ms=0), relevance(RULE, age_ms=2 * AN_HOUR_MS)
    assert later / now == pytest.approx(0.5**1.8)


def test_a_clock_that_is_ahead_gains_nothing() -> None:
    assert relevance(RULE, age_ms=-5000) == relevance(RULE, age_ms=0)


@examples()
@given(st.integers(0, A_MONTH_MS), st.integers(0, 10**9), st.integers(1, 10**9), st.floats(0, 1))
def test_likes_and_affinity_never_harm(age_ms: int, likes: int, more: int, affinity: float) -> None:
    plain = relevance(RULE, age_ms=age_ms, like_count=likes, affinity_share=affinity)
    assert relevance(RULE, age_ms=age_ms, like_count=likes + more, affinity_share=affinity) >= plain
    assert relevance(RULE, age_ms=age_ms, like_count=likes, affinity_share=1) >= plain > 0


def test_a_million_likes_do_not_keep_a_post_on_top_for_ever() -> None:
    viral = relevance(RULE, age_ms=24 * AN_HOUR_MS, like_count=1_000_000)
    assert relevance(RULE, age_ms=0) > viral


def test_affinity_at_most_doubles_a_score() -> None:
    assert relevance(RULE, age_ms=7, affinity_share=1) == 2 * relevance(RULE, age_ms=7)


@given(st.integers(-5, A_MONTH_MS), st.integers(0, 10**9), st.floats(0, 1))
def test_the_parts_explain_the_score_exactly(age_ms: int, likes: int, share: float) -> None:
    why = explain(RULE, age_ms=age_ms, like_count=likes, affinity_share=share)
    assert why.score == why.recency * why.engagement * why.affinity
    assert why.score == relevance(RULE, age_ms=age_ms, like_count=likes, affinity_share=share)


def test_the_parts_are_those_of_the_documented_formula() -> None:
    why = explain(RULE, age_ms=6 * AN_HOUR_MS, like_count=19, affinity_share=0.25)
    assert why.recency == pytest.approx(1 / 8**1.8)
    assert why.engagement == pytest.approx(1 + math.log(20))
    assert why.affinity == 1.25
