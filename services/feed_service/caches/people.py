"""Authors as a feed shows them: by which name, and whether at all."""

from __future__ import annotations

from typing import NamedTuple

from fanfold.core.ports import User


class Person(NamedTuple):
    """A user's name, without one the id, and whether the user has left, so that nothing of theirs is shown."""

    name: str
    left: bool = False


def person(user_id: str, user: User | None) -> Person:
    """A user as the row shows them; without a row by the id."""
    if user is None:
        return Person(user_id)
    return Person(user.display_name or user_id, user.left)
