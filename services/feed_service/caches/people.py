"""Authors as a feed shows them: by which name, and whether at all."""

from __future__ import annotations

from typing import NamedTuple

from fanfold.core.ports import User


class Person(NamedTuple):
    """A user's name, without one the id, and whether the user has left, so that nothing of theirs is shown."""

    name: str
    left: bool = False


def person(user: User) -> Person:
    """A user as the row shows them; without a name, by the id."""
    return Person(user.display_name or user.user_id, user.left)
