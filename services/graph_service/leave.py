"""Leaving, for good: one event, and everything of the user's is hidden."""

from __future__ import annotations

from fanfold.core.clock import Clock
from fanfold.core.events import UserLeft, from_ms
from fanfold.core.ports import Stores
from fanfold.core.ports.log import EventLog, Position
from fanfold.http.problems import needs
from fanfold.http.write_through import best_effort


async def leave(user_id: str, *, log: EventLog, stores: Stores, clock: Clock) -> Position | None:
    """Leave, registered or not.

    Idempotent: who has left already has, and nothing is appended. The follows end a moment later.
    """
    with needs("the tables"):
        user = await stores.users.get(user_id)
    if user.left:
        return None
    event = UserLeft(user_id=user_id, left_at=from_ms(clock.now_ms()))
    with needs("the log"):
        position = await log.append(event)
    if position is not None:
        await best_effort(stores.users.leave(user_id, offset=position.offset))
    return position
