"""Writes that nobody waits for any more. A process that was frozen finds them when it goes on.

Their clients were answered 504 by the gateway long ago, have repeated them at another copy, and may have taken them back since. An
event that is appended now would undo what was acknowledged meanwhile.
"""

from __future__ import annotations

import asyncio
import select
import time
from contextvars import ContextVar

from fanfold.core.errors import Unavailable

LATEST_APPEND_S = 5.0
"""From the beginning of a request to the beginning of its last append: the gateway waits for ten seconds, and an append may take four."""

# Linux tells that the other side has closed a connection before what it sent is read.
_CLOSED: int | None = getattr(select, "POLLRDHUP", None)

_began_s: ContextVar[float | None] = ContextVar("began_s", default=None)


def begin() -> float:
    """Note in this task that its request begins now. Returns that time, of the monotonic clock, in seconds."""
    now_s = time.monotonic()
    _began_s.set(now_s)
    return now_s


def refuse_stale() -> None:
    """Raise `Unavailable` where this task's request began too long ago to append anything."""
    began_s = _began_s.get()
    if began_s is not None and time.monotonic() - began_s > LATEST_APPEND_S:
        raise Unavailable(f"the request began more than {LATEST_APPEND_S} s ago")


def has_hung_up(transport: asyncio.Transport) -> bool:
    """Whether the client has closed the connection. False where the system can't tell."""
    if _CLOSED is None or (connection := transport.get_extra_info("socket")) is None:
        return False
    poll = select.poll()
    poll.register(connection.fileno(), _CLOSED)
    return bool(poll.poll(0))
