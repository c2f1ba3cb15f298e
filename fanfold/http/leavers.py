"""Users who have left: what every service refuses them, in the same words. Leaving is final."""

from __future__ import annotations

from fanfold.http.problems import Forbidden, needs
from fanfold.stores import Graph, User


class HasLeft(Forbidden):
    kind = "has-left"
    title = "You have left"


def refuse_left(actor: User | None) -> None:
    """Answer 403 to a write of someone who has left; `actor` is their row, or None without one."""
    if actor is not None and actor.left:
        raise HasLeft("You have left, for good: nothing can be written under this id any more.")


async def refuse_writes_of_left(user_id: str, *, graph: Graph) -> None:
    """The same where nothing else needs the row: one read of it."""
    with needs("the tables"):
        users = await graph.users([user_id])
    refuse_left(users.get(user_id))
