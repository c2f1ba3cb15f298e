"""What every write of a user's own refuses alike."""

from __future__ import annotations

from fanfold.http.problems import Forbidden


class NotYourself(Forbidden):
    kind = "not-yourself"
    title = "Someone else's"


def refuse_others(user_id: str, actor: str) -> None:
    """Answer 403 unless the actor is the user whom the path names."""
    if user_id != actor:
        raise NotYourself("Users may do this only for themselves.")
