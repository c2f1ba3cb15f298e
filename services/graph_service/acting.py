"""What every write of a user's own says and refuses alike."""

from __future__ import annotations

from fastapi import Response

from fanfold.http.openapi import POSITION_HEADER
from fanfold.http.problems import Forbidden
from fanfold.log import Position


class NotYourself(Forbidden):
    kind = "not-yourself"
    title = "Someone else's"


def refuse_others(user_id: str, actor: str) -> None:
    """Answer 403 unless the actor is the user whom the path names."""
    if user_id != actor:
        raise NotYourself("Users may do this only for themselves.")


def say_where(response: Response, *positions: Position | None) -> None:
    """Name the records of a write in `Fanfold-Position`: all of them, or none if the log could not tell of one.

    A part would let a client wait for half a write and take it for the whole.
    """
    known = [str(position) for position in positions if position is not None]
    if known and len(known) == len(positions):
        response.headers[POSITION_HEADER] = ", ".join(known)
