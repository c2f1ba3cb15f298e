"""Who is here: reads are noted, and a sleeper who reads is woken, both behind the reader's back.

Neither may delay an answer or fail one. What couldn't be done is done at a later read: a sleeper is served by pull
as long as it takes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import assert_never

from prometheus_client import Counter

from fanfold.core.clock import Clock
from fanfold.core.errors import Transient
from fanfold.core.events import (
    AwakeningBegun,
    DeliveryChanged,
    Event,
    LikeChanged,
    NameChanged,
    PostAdded,
    PostChanged,
    UserGone,
    UserWoke,
    ViewerCell,
    ViewerGraphChanged,
    from_ms,
)
from fanfold.core.ports import Activity
from fanfold.core.ports.log import EventLog

logger = logging.getLogger(__name__)

_AWAKENINGS = Counter("fanfold_feed_awakenings", "Sleepers woken by reading a feed.")

NOTED_S = 24 * 3600.0
"""A read is noted once in this time: who sleeps is judged in days."""

WAKING_S = 600.0
"""A sleeper is not woken again within this time, whichever process began it. Whoever still sleeps afterwards has lost
an awakening (a dead letter, say), and gets another."""

_MOST_REMEMBERED = 100_000  # about 10 MB; who is forgotten is noted again, which is one small write
_MOST_AT_ONCE = 64  # whoever comes meanwhile is noted at the next read


class Presence:
    """One process's memory of who has read lately."""

    def __init__(
        self,
        log: EventLog,
        activity: Activity,
        *,
        clock: Clock,
        most_remembered: int = _MOST_REMEMBERED,
    ) -> None:
        self._log = log
        self._activity = activity
        self._clock = clock
        self._noted = _Lately(NOTED_S, most_remembered)
        self._woken = _Lately(WAKING_S, most_remembered)
        self._tasks: set[asyncio.Task[None]] = set()

    def seen(self, user_id: str, *, asleep_offset: int | None) -> None:
        """A user reads their feed, who sleeps since that offset (None: is awake). Returns at once."""
        now_s = self._clock.monotonic_s()
        if (
            asleep_offset is not None
            and self._free()
            and self._woken.add(user_id, now_s, asleep_offset)
        ):
            self._do(self._wake, user_id, self._woken)
        if self._free() and self._noted.add(user_id, now_s):
            self._do(self._note, user_id, self._noted)

    def apply(self, event: Event, offset: int) -> None:
        """Take note of what the log says."""
        for change in event.changes():
            match change:
                case AwakeningBegun(user_id):
                    # Another process's: one awakening is enough, of every sleep before it.
                    self._woken.add(user_id, self._clock.monotonic_s(), offset)
                case ViewerGraphChanged(viewer_id, ViewerCell("asleep"), active=True):
                    self._noted.forget(viewer_id)
                case ViewerGraphChanged() | PostAdded() | PostChanged() | LikeChanged():
                    pass
                case NameChanged() | UserGone() | DeliveryChanged():
                    pass
                case _:
                    assert_never(change)

    async def close(self) -> None:
        """Give up what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _wake(self, user_id: str) -> None:
        await self._log.append(UserWoke(user_id=user_id, woke_at=from_ms(self._clock.now_ms())))
        _AWAKENINGS.inc()

    async def _note(self, user_id: str) -> None:
        await self._activity.note_read(user_id, at_ms=self._clock.now_ms())

    def _free(self) -> bool:
        return len(self._tasks) < _MOST_AT_ONCE

    def _do(
        self, work: Callable[[str], Awaitable[None]], user_id: str, remembered: _Lately
    ) -> None:
        async def try_once() -> None:
            try:
                await work(user_id)
            except Transient as error:
                remembered.forget(user_id)
                logger.warning("a read of %s leaves no trace: %s", user_id, error)

        task = asyncio.create_task(try_once(), name=f"presence of {user_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Lately:
    """Ids that were added within a time; the oldest go first when there are too many."""

    def __init__(self, for_s: float, most: int) -> None:
        self._for_s = for_s
        self._most = most
        self._held: dict[str, tuple[float, int]] = {}

    def add(self, user_id: str, now_s: float, position: int = 0) -> bool:
        """Whether it wasn't there, or with an earlier position only."""
        until_s, up_to = self._held.pop(user_id, (now_s, 0))
        if known := until_s > now_s and up_to >= position:
            self._held[user_id] = until_s, up_to
        else:
            self._held[user_id] = now_s + self._for_s, position
        if len(self._held) > self._most:
            del self._held[next(iter(self._held))]
        return not known

    def forget(self, user_id: str) -> None:
        self._held.pop(user_id, None)
