"""Users who have left: what every service refuses them, in the same words. Leaving is final."""

from __future__ import annotations

from typing import Any

from fastapi import Depends, Request

from fanfold.core.ports import Stores, User
from fanfold.http.auth import Actor
from fanfold.http.problems import Forbidden, needs


class HasLeft(Forbidden):
    kind = "has-left"
    title = "You have left"


def refuse_left(actor: User) -> None:
    """Answer 403 to a write of someone who has left; `actor` is their row."""
    if actor.left:
        raise HasLeft("You have left, for good: nothing can be written under this id any more.")


def no_leavers(stores: Stores) -> Any:
    """A dependency of routes: those that write answer 403 to someone who has left, at the cost of one read."""

    async def refuse(request: Request, actor: Actor) -> None:
        if request.method == "GET":
            return
        with needs("the tables"):
            user = await stores.users.get(actor)
        refuse_left(user)

    return Depends(refuse)
