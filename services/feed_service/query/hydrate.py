"""From pointers to posts: content once from its one home, without what is deleted and whose author has left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from fanfold.core.delivery import Delivery
from fanfold.core.ports import Post
from feed_service.caches.cached_reads import CachedReads
from feed_service.caches.people import Person
from feed_service.candidates import Candidate
from feed_service.query.coverage import Coverage
from feed_service.query.merge import Merge


class Hydrated(NamedTuple):
    """A post that is in the feed, how it came there, and whose it is."""

    post: Post
    source: Delivery
    author: Person


async def hydrate(
    reads: CachedReads, candidates: Sequence[Candidate], coverage: Coverage
) -> list[Hydrated]:
    """The posts of those candidates that may be shown, in the same order.

    While the posts are unavailable, only those in memory, and `posts` is noted as missing. While the graph is, authors
    who are not in memory are shown under their ids, and `graph` is noted.
    """
    numbers = [-candidate.order for candidate in candidates]
    author_ids = {candidate.author_id for candidate in candidates}
    in_candidates = (
        "" not in author_ids
    )  # or they come from a frozen ranking, which holds no authors
    author_ids.discard("")
    people: Mapping[str, Person] = reads.cached_people(author_ids)
    if len(people) < len(author_ids):
        posts, people = await asyncio.gather(
            _posts(reads, numbers, coverage), _names(reads, author_ids, coverage)
        )
    else:
        posts = await _posts(reads, numbers, coverage)
    if posts is None:
        coverage.without_content = True
        posts = reads.cached_posts(numbers)
    if not in_candidates:
        people = await _names(reads, {post.author_id for post in posts.values()}, coverage)
    return [
        Hydrated(post, candidate.source, author)
        for candidate in candidates
        if (post := posts.get(-candidate.order)) is not None and not post.deleted
        if not (author := people[post.author_id]).left
    ]


async def _posts(
    reads: CachedReads, numbers: Collection[int], coverage: Coverage
) -> dict[int, Post] | None:
    # Made where it is awaited: a request that is cancelled before its tasks begin leaves no coroutine behind.
    return await coverage.ask("posts", reads.posts(numbers))


async def _names(
    reads: CachedReads, author_ids: Collection[str], coverage: Coverage
) -> Mapping[str, Person]:
    people = await coverage.ask("graph", reads.people(author_ids))
    return people if people is not None else reads.people_unasked(author_ids)


async def take_live(
    merge: Merge,
    count: int,
    keep: Callable[[Candidate], bool],
    *,
    reads: CachedReads,
    coverage: Coverage,
) -> list[Hydrated]:
    """The next `count` posts of a merge that pass `keep` and may be shown; fewer only at the end of the feed.

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
