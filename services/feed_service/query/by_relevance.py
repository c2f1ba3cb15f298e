"""Pages of a feed by relevance: the best of its newest posts, ranked once, for the first page.

Later pages show the rest of that ranking: its posts are found again by the cursor, in the sources that the first page read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from itertools import repeat
from operator import attrgetter, itemgetter, neg
from typing import Any, NamedTuple
from uuid import UUID

from fanfold.core.delivery import Delivery
from fanfold.core.errors import Unavailable
from fanfold.core.ids import first_post_id_at
from fanfold.core.ports import Post
from feed_service.candidates import Candidate
from feed_service.query.cursor import RankingCursor
from feed_service.query.feed_query import FeedQuery, HydratedPost
from feed_service.query.ranking import Explanation, Relevance, explain, relevances


class Ranked(NamedTuple):
    """A post that may be shown: the integer in its id, its author, how it came into the feed, and its likes."""

    number: int
    author_id: str
    source: Delivery
    likes: int


# At a third of the cost of a call of the class; it runs for every candidate of every page.
_ranked_post: Callable[[tuple[int, str, Delivery, int]], Ranked] = partial(tuple.__new__, Ranked)

# Calls of C, because they run for every candidate too.
_number: Callable[[Ranked], int] = itemgetter(0)
_number_and_source: Callable[[Ranked], tuple[int, Delivery]] = itemgetter(0, 2)
_likes: Callable[[Any], int] = attrgetter("like_count")
_deleted: Callable[[Any], bool] = attrgetter("deleted")


async def first_page(
    query: FeedQuery, rule: Relevance, *, limit: int, window: int, now_ms: int
) -> tuple[list[HydratedPost], RankingCursor | None]:
    """The best of the newest `window` posts, and the rest of the ranking."""
    newest = await newest_ranked(query, window, rule.posts_per_pulled_author)
    ranked = _ranked(query, rule, newest, now_ms)
    shown, rest = await _shown(query, ranked, limit)
    if not rest:
        return shown, None
    return shown, RankingCursor.of(rest, window=[*map(_number, newest)])


async def next_page(
    query: FeedQuery, rule: Relevance, start: RankingCursor, *, limit: int, window: int
) -> tuple[list[HydratedPost], RankingCursor | None]:
    """The next posts of a ranking, without those that were deleted or whose author is no longer followed."""
    found = await _found_again(query, rule, start, window)
    ranked = [found[print_] for print_ in start.remaining if print_ in found]
    shown, rest = await _shown(query, ranked, limit)
    remaining = tuple(start.fingerprint(number) for number in rest)
    if query.coverage.missing:
        # A post that can't be judged now is not lost: a later page may show it.
        if not shown:
            raise Unavailable("the rest of the ranking can't be read now")
        done = {start.fingerprint(found.post.post_id.int) for found in shown}
        remaining = tuple(print_ for print_ in start.remaining if print_ not in done)
    return shown, start._replace(remaining=remaining) if remaining else None


async def _found_again(
    query: FeedQuery, rule: Relevance, start: RankingCursor, window: int
) -> dict[int, Ranked]:
    """The posts of a cursor by their fingerprints, as far as they may still be shown. Reads what the first page read.

    Of a pulled author, not all posts since the oldest of the ranking: those that were ranked are among the newest, together with
    those that were shown already, and those over the maximum of an author.
    """
    wanted, found = set(start.remaining), dict[int, Ranked]()
    others: Counter[str] = Counter()
    most_others = rule.posts_per_pulled_author + window - len(wanted)
    merge = await query.skeleton(
        wanted=window,
        before=UUID(int=start.newest.int + 1),
        until=UUID(int=first_post_id_at(start.oldest_ms).int - 1),
    )
    shows = query.filter()
    while len(found) < len(wanted):
        candidates = await merge.take(window, shows)
        if not candidates:
            break
        unknown: dict[int, str] = {}
        for order, author_id, source in candidates:
            print_ = start.fingerprint(-order)
            if print_ in wanted:
                found.setdefault(print_, Ranked(-order, author_id, source, 0))
            elif source == "pull":
                unknown[-order] = author_id
        # A deleted post was no part of any ranking, so it does not count.
        counts = await query.counted(unknown) if unknown else {}
        others.update(
            author_id
            for number, author_id in unknown.items()
            if (counted := counts.get(number)) is not None and not counted.deleted
        )
        merge.close([author_id for author_id, count in others.items() if count >= most_others])
    return found


def explanation(query: FeedQuery, rule: Relevance, post: Post, now_ms: int) -> Explanation:
    """Why a post has its rank."""
    return explain(
        rule,
        age_ms=now_ms - post.created_at_ms,
        like_count=post.like_count,
        affinity_share=query.author_shares.get(post.author_id, 0.0),
    )


async def newest_ranked(query: FeedQuery, window: int, most_of_pulled: int) -> list[Ranked]:
    """The newest posts that may be ranked: at most a fixed number of each pulled author."""
    newest: list[Ranked] = []
    pulled: Counter[str] = Counter()
    merge = await query.skeleton(wanted=window)
    shows = query.filter()

    def keep(candidate: Candidate) -> bool:
        return shows(candidate) and (
            candidate.source == "push" or pulled[candidate.author_id] < most_of_pulled
        )

    while len(newest) < window and not query.coverage.without_content:
        candidates = await merge.take(window - len(newest), keep if pulled else shows)
        if not candidates:
            break
        orders, authors, sources = zip(*candidates, strict=True)
        numbers = list(map(neg, orders))
        counts = await query.counted(numbers)
        found = [*map(counts.get, numbers)]
        if "pull" not in sources and len(counts) == len(found) and not any(map(_deleted, found)):
            # Most pages are so, and it takes a fifth of the time.
            newest += map(
                _ranked_post, zip(numbers, authors, sources, map(_likes, found), strict=True)
            )
            continue
        for number, (_, author_id, source) in zip(numbers, candidates, strict=True):
            counted = counts.get(number)
            if counted is None or counted.deleted:
                continue
            if source == "pull":
                pulled[author_id] += 1
                if pulled[author_id] > most_of_pulled:
                    continue
            newest.append(_ranked_post((number, author_id, source, counted.like_count)))
        merge.close([author_id for author_id, count in pulled.items() if count >= most_of_pulled])
    return newest


def _ranked(
    query: FeedQuery, rule: Relevance, posts: Sequence[Ranked], now_ms: int
) -> list[Ranked]:
    shares = query.author_shares
    if not posts:
        return []
    numbers, authors, _, likes = zip(*posts, strict=True)
    ages_ms = [now_ms - (number >> 80) for number in numbers]
    of_posts = [shares.get(author_id, 0.0) for author_id in authors] if shares else repeat(0.0)
    scores = relevances(rule, zip(ages_ms, likes, of_posts))  # noqa: B905 - nobody has liked anything for ever
    # Stable: of equal scores the newer post stays first.
    best = sorted(range(len(posts)), key=scores.__getitem__, reverse=True)
    return [*map(posts.__getitem__, best)]


async def _shown(
    query: FeedQuery, ranked: Sequence[Ranked], limit: int
) -> tuple[list[HydratedPost], dict[int, Delivery]]:
    """The first `limit` posts that may be shown, and the sources of what follows them. Content and names of others are not read."""
    found: list[HydratedPost] = []
    unread: list[Ranked] = []
    # One more than is shown tells whether another page follows.
    while ranked and len(found) <= limit:
        missing = limit + 1 - len(found)
        some, ranked = ranked[:missing], ranked[missing:]
        hydrated = await query.hydrate(
            {post.number: post.source for post in some}, {post.author_id for post in some}
        )
        found += hydrated
        if query.coverage.without_content:
            # A post that can't be read now is not lost: a later page may show it.
            read = _sources(hydrated)
            unread += [post for post in some if post.number not in read]
            break
    rest = dict(map(_number_and_source, (*unread, *ranked)))
    return found[:limit], _sources(found[limit:]) | rest


def _sources(posts: Sequence[HydratedPost]) -> dict[int, Delivery]:
    return {found.post.post_id.int: found.source for found in posts}
