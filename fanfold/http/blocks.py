"""Blocks between two users: what every service refuses across one, in the same words."""

from __future__ import annotations

from fanfold.core.ports import Stores
from fanfold.http.problems import Forbidden, needs


class Blocked(Forbidden):
    kind = "blocked"
    title = "Blocked"


async def blocked_between(user_id: str, other_id: str, *, stores: Stores) -> bool:
    """Whether either blocks the other now."""
    with needs("the tables"):
        ties = await stores.ties.blocks_between(user_id, other_id)
    return any(tie.active for tie in ties)


async def refuse_blocked(user_id: str, other_id: str, *, stores: Stores) -> None:
    """Answer 403 across a block. It doesn't say whose: that is for the one who made it to know."""
    if await blocked_between(user_id, other_id, stores=stores):
        raise Blocked("There is a block between you and this user.")
