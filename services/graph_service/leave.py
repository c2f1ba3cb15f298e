"""Leaving, for good: one event, and all that the user wrote is hidden."""

from __future__ import annotations

from fanfold.core.clock import Clock
from fanfold.core.events import UserLeft, from_ms
from fanfold.core.ports import Users
from fanfold.core.ports.log import EventLog
from fanfold.http.best_effort import best_effort
from fanfold.http.positions import Written, append


async def leave(user_id: str, *, log: EventLog, users: Users, clock: Clock) -> Written | None:
    """Leave, registered or not. The follows end a moment later.

    Idempotent: for a user who has left already, nothing is appended.
    """
    if (await users.get(user_id)).left:
        return None
    written = await append(log, UserLeft(user_id=user_id, left_at=from_ms(clock.now_ms())))
    if written is not None:
        await best_effort(users.leave(user_id, offset=written.position.offset))
    return written
