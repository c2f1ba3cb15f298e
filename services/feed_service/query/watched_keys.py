"""The keys of the shared cache that decide what a live feed shows."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from fanfold.core.cache_keys import (
    authored_key,
    feed_key,
    graph_key,
    like_count_key,
    name_key,
    post_key,
    pulled_key,
    recent_likes_key,
)
from fanfold.http.post_resource import PostResource


class Watched(NamedTuple):
    """The sources of posts and what hides them; the shown posts' content and names; and their counts."""

    sources: frozenset[str]
    shown: frozenset[str]
    counts: frozenset[str]


NOTHING = Watched(frozenset(), frozenset(), frozenset())


def watched_keys(
    viewer: str,
    items: Collection[PostResource],
    *,
    authored: Collection[str],
    celebrities: Collection[str],
) -> Watched:
    """What a feed was read from: the posts of the authors `authored` beside the viewer's own, and of `celebrities`."""
    sources = [feed_key(viewer), graph_key(viewer), authored_key(viewer), recent_likes_key(viewer)]
    sources += map(authored_key, authored)
    sources += map(pulled_key, celebrities)
    shown = [post_key(item.post_id) for item in items]
    shown += {name_key(item.author_id) for item in items}
    counts = [like_count_key(item.post_id.int) for item in items]
    return Watched(frozenset(sources), frozenset(shown), frozenset(counts))
