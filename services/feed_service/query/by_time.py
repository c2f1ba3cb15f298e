"""A page of a feed strictly by time."""

from __future__ import annotations

from feed_service.query.cursor import TimeCursor
from feed_service.query.feed_query import FeedQuery, HydratedPost


async def page_by_time(
    query: FeedQuery, start: TimeCursor | None, *, limit: int, depth: int
) -> tuple[list[HydratedPost], TimeCursor | None]:
    """The posts that follow the page which ended at `start`, and this page's end, unless it is the last.

    The feed ends after `depth` posts.
    """
    served = start.served if start else 0
    room = max(0, min(limit, depth - served))
    # One more than is shown tells whether another page follows.
    wanted = room + 1 if served + room < depth else room
    merge = await query.skeleton(wanted=wanted, before=start.last if start else None)
    found = await query.take(merge, wanted, query.filter())
    shown = found[:room]
    if not shown or (len(found) <= room and not query.coverage.without_content):
        return shown, None
    newest = start.newest if start else shown[0].post.post_id
    return shown, TimeCursor(shown[-1].post.post_id, served + len(shown), newest)
