"""Relevance: how high a post stands in a feed that is not ordered by time. Pure arithmetic on what is known.

    score      = engagement · affinity · recency
    engagement = 1 + ln(1 + likes)
    affinity   = 1 + w · share
    recency    = 1 / (hours + 2) ^ 1.8

`likes` is the post's like count, `share` the part of the viewer's last 100 likes that went to the author, `hours` the
post's age.

Recency is the gravity of Hacker News, as its ranking was published with the Arc sources (news.arc: gravity 1.8, two
hours added to the age). Engagement is not: Hacker News multiplies by the votes - 1, which would make all posts without
likes equal. Ours starts at one, so that such posts are in order of time, and takes the logarithm of the likes, so that
a post with a million of them is worth fifteen, not a million.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import log1p
from typing import Annotated

from pydantic import Field

_MS_PER_HOUR = 3_600_000


@dataclass(frozen=True, slots=True)
class Relevance:
    """The tunable numbers of the ranking."""

    gravity: float = 1.8
    """Hacker News' own: a post of two hours ago is worth about 0.29 of a new one, one of a day ago 0.01."""

    head_start_h: float = 2.0
    """Hours added to the age, so that the first minutes don't decide everything."""

    affinity_weight: float = 1.0
    """The author that the viewer likes best counts at most double: affinity helps, but can't hide the news."""

    posts_per_pulled_author: int = 5
    """The most posts from each pulled author, so that one loud celebrity can't fill the page."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a post has its rank: its score, which is the product of the next three, as of now."""

    score: float
    recency: Annotated[
        float, Field(description="1 / (hours + 2) ^ 1.8, of the post's age in hours.")
    ]
    engagement: Annotated[float, Field(description="1 + ln(1 + like_count).")]
    affinity: Annotated[
        float, Field(description="1 + the author's share of the viewer's last 100 likes.")
    ]
    age_ms: Annotated[int, Field(description="The post's age.")]


def explain(
    rule: Relevance, *, age_ms: int, like_count: int = 0, affinity_share: float = 0.0
) -> Explanation:
    """How relevant a post is, and why; of the same three numbers as one of `relevances`."""
    age_ms = max(0, age_ms)
    recency: float = (age_ms / _MS_PER_HOUR + rule.head_start_h) ** -rule.gravity
    engagement = 1 + log1p(like_count)
    affinity = 1 + rule.affinity_weight * affinity_share
    return Explanation(recency * engagement * affinity, recency, engagement, affinity, age_ms)


def relevances(rule: Relevance, posts: Iterable[tuple[int, int, float]]) -> list[float]:
    """The scores alone, of each post's age in ms, like count and affinity share; higher is better, and they fall strictly with age.

    An age below zero (a clock ahead) counts as zero. The affinity share is the author's, 0 to 1, of what the viewer has
    lately liked.
    """
    # Not by way of `explain`: a hundred posts are scored for every page, and the objects would double the time.
    head_start_h, gravity, weight = rule.head_start_h, -rule.gravity, rule.affinity_weight
    return [
        ((age_ms / _MS_PER_HOUR if age_ms > 0 else 0.0) + head_start_h) ** gravity
        * (1 + log1p(like_count))
        * (1 + weight * affinity_share)
        for age_ms, like_count, affinity_share in posts
    ]
