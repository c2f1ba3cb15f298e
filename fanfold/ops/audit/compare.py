"""What differs between a feed by pull and the feed that is served: a pure function."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from fanfold.core.delivery import Delivery
from fanfold.ops.audit.by_pull import PulledFeed

Ranking = Literal["chronological", "relevance"]
What = Literal["missing", "extra", "duplicate"]


@dataclass(frozen=True, slots=True)
class Difference:
    """A post of one ranking that the served feed lacks, has though it shouldn't, or has twice."""

    ranking: Ranking
    what: What
    post_id: UUID


@dataclass(frozen=True, slots=True)
class ServedPost:
    """A post as served by time, or as a candidate of relevance, and its source there."""

    post_id: UUID
    author_id: str
    source: Delivery


def compare(
    pulled: PulledFeed,
    by_time: Sequence[ServedPost],
    candidates: Sequence[ServedPost],
    *,
    window: int,
    most_of_pulled: int,
) -> set[Difference]:
    """The differences. A missing candidate may be one post too many of a pulled author: relevance takes a limited number of them."""
    expected = [post_id for post_id in pulled.authors if post_id >= pulled.exact_since]
    found = _compared("chronological", expected, pulled, by_time)
    of_pulled = Counter(post.author_id for post in candidates if post.source == "pull")
    wanted = [
        post_id
        for post_id in expected[:window]
        if post_id in pulled.pushed or of_pulled[pulled.authors[post_id]] < most_of_pulled
    ]
    return found | _compared("relevance", wanted, pulled, candidates)


def _compared(
    ranking: Ranking, wanted: Sequence[UUID], pulled: PulledFeed, served: Sequence[ServedPost]
) -> set[Difference]:
    times = Counter(post.post_id for post in served)
    missing = {Difference(ranking, "missing", post_id) for post_id in wanted if not times[post_id]}
    extra = {
        Difference(ranking, "extra", post_id)
        for post_id in times
        if post_id not in pulled.authors and post_id >= pulled.exact_since
    }
    twice = {Difference(ranking, "duplicate", post_id) for post_id, n in times.items() if n > 1}
    return missing | extra | twice
