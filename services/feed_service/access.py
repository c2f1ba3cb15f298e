"""Whose feed it is."""

from __future__ import annotations

from fanfold.http.problems import Forbidden


class NotYourFeed(Forbidden):
    kind = "not-your-feed"
    title = "Someone else's feed"


def refuse_others(user_id: str, actor: str) -> None:
    """Answer 403 unless readers ask for their own feed."""
    if user_id != actor:
        raise NotYourFeed("A feed is its reader's own.")
