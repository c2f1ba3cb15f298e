"""Whose feed it is, and whether there is one."""

from __future__ import annotations

from fanfold.http.problems import Forbidden, NotFound
from feed_service.caches.viewer_graph import ViewerGraph


class NotYourFeed(Forbidden):
    kind = "not-your-feed"
    title = "Someone else's feed"


class NoSuchUser(NotFound):
    kind = "user-not-found"
    title = "No such user"


def refuse_others(user_id: str, actor: str) -> None:
    """Answer 403 unless readers ask for their own feed."""
    if user_id != actor:
        raise NotYourFeed("A feed is its reader's own.")


def refuse_left(reader: ViewerGraph) -> None:
    """Answer 404 to a reader who has left."""
    if reader.left:
        raise NoSuchUser("You have left, for good: there is no feed under this id any more.")
