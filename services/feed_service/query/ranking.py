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
    """How relevant a post is, and why; of the same arguments as `relevance`."""
    age_ms = max(0, age_ms)
    recency: float = (age_ms / _MS_PER_HOUR + rule.head_start_h) ** -rule.gravity
    engagement = 1 + log1p(like_count)
    affinity = 1 + rule.affinity_weight * affinity_share
    return Explanation(recency * engagement * affinity, recency, engagement, affinity, age_ms)


def relevance(
    rule: Relevance, *, age_ms: int, like_count: int = 0, affinity_share: float = 0.0
) -> float:
    """The score alone; higher is better, and it falls strictly with age.

    `age_ms` below zero (a clock ahead) counts as zero. `affinity_share` is the author's share, 0 to 1, of what the
    viewer has lately liked.
    """
    # Not by way of `explain`: a hundred posts are scored for every page, and the object would double the time.
    hours = age_ms / _MS_PER_HOUR if age_ms > 0 else 0.0
    recency: float = (hours + rule.head_start_h) ** -rule.gravity
    return recency * (1 + log1p(like_count)) * (1 + rule.affinity_weight * affinity_share)
