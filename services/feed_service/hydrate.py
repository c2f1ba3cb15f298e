"""From pointers to posts: content once from its one home, deleted ones dropped, names added last."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from fanfold.stores import Mode, Post
from feed_service.cached_reads import CachedReads
from feed_service.coverage import Coverage
from feed_service.merge import Candidate, Merge


class Hydrated(NamedTuple):
    """A post that is in the feed, and how it came there."""

    post: Post
    source: Mode


async def hydrate(
    reads: CachedReads, candidates: Sequence[Candidate], coverage: Coverage
) -> list[Hydrated]:
    """The posts of those candidates that are not deleted, in the same order.

    While the posts are unavailable, only those in memory, and `posts` is noted as missing.
    """
    numbers = [-candidate.order for candidate in candidates]
    posts = await coverage.ask("posts", reads.posts(numbers))
    if posts is None:
        coverage.without_content = True
        posts = reads.posts_held(numbers)
    return [
        Hydrated(post, candidate.source)
        for candidate in candidates
        if (post := posts.get(-candidate.order)) is not None and not post.deleted
    ]


async def take_live(
    merge: Merge,
    count: int,
    keep: Callable[[Candidate], bool],
    *,
    reads: CachedReads,
    coverage: Coverage,
) -> list[Hydrated]:
    """The next `count` posts of a merge that pass `keep` and are not deleted; fewer only at the end of the feed.

    Or when content became unavailable: then what was found so far, and that is noted.
    """
    live: list[Hydrated] = []
    # Once content is away, asking again and again would only add one time budget to the other.
    while len(live) < count and not coverage.without_content:
        candidates = await merge.take(count - len(live), keep)
        if not candidates:
            break
        live += await hydrate(reads, candidates, coverage)
    return live


async def author_names(
    reads: CachedReads, posts: Collection[Post], coverage: Coverage
) -> dict[str, str]:
    """Display names by author. Without the graph the ids stand in, and it is noted as missing."""
    author_ids = {post.author_id for post in posts}
    if not author_ids:
        return {}
    names = await coverage.ask("graph", reads.names(author_ids))
    return names if names is not None else {author_id: author_id for author_id in author_ids}
