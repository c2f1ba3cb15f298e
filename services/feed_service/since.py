"""The parameter `since`: the post of one's own feed after which posts count as new."""

from __future__ import annotations

from uuid import UUID

from fanfold.http.params import POST_ID
from fanfold.http.problems import Invalid
from feed_service.query.cursor import newest_of

SINCE = "A post id; or a cursor of the feed, to count the posts that are newer than its first page."


def newer_than(since: str, viewer: str) -> UUID:
    """The newest post that isn't new. Answers 422 to what is neither a post id nor a cursor of this viewer's feed."""
    if POST_ID.fullmatch(since):
        return UUID(since)
    try:
        return newest_of(since, viewer=viewer)
    except Invalid as error:
        detail = "Send a post id, or a `next_cursor` of your own feed."
        raise Invalid.at("query", "since", detail) from error
