"""Presence: each read of a feed is noted, and a sleeping user who reads is woken. Both happen in the background.

Neither delays an answer or fails one. If one of the two fails, a later read does it: a sleeping user's feed is pulled as long as it takes.
The notes of a second are written together: a statement for each would cost a first read more than what it shows.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine

from cachetools import TTLCache
from prometheus_client import Counter

from fanfold.core.clock import Clock
from fanfold.core.errors import Transient
from fanfold.core.events import UserWoke, from_ms
from fanfold.core.ports import Activity
from fanfold.core.ports.log import EventLog
from fanfold.http.best_effort import best_effort

logger = logging.getLogger(__name__)

_AWAKENINGS = Counter("fanfold_feed_awakenings", "Sleeping users woken by reading a feed.")

NOTED_S = 24 * 3600.0
"""A viewer's read is noted once in this time, because sleep is judged in days."""

WAKING_S = 600.0
"""A sleeping user is not woken again within this time, by this process or another. If the user still sleeps afterwards, the
awakening was lost (to the dead letters, say), and another one begins."""

_MOST_REMEMBERED = (
    100_000  # about 22 MB; a user who is forgotten is noted again, which is one small write
)
_MOST_AT_ONCE = 64  # awakenings; users who come meanwhile are woken at the next read
_MOST_WAITING = 1_000  # notes; users who come meanwhile are noted at the next read

GATHERED_S = 1.0
"""How long notes are gathered. A process that is killed loses them: each of these users is noted at the next read."""


class Presence:
    """One process's memory of the users who have read lately."""

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
        timer = clock.monotonic_s
        # User id → the offset of the last sleep at the time of the note; 0 without one.
        self._noted: TTLCache[str, int] = TTLCache(most_remembered, NOTED_S, timer=timer)
        # User id → the offset of the sleep or of the awakening that was seen, and when.
        self._woken: TTLCache[str, tuple[int, float]] = TTLCache(
            most_remembered, 2 * WAKING_S, timer=timer
        )
        self._tasks: set[asyncio.Task[None]] = set()
        # User id → when the user read, of the notes that are not written yet.
        self._waiting: dict[str, int] = {}
        self._writing = False

    def seen(
        self, user_id: str, *, asleep_offset: int | None, woke_offset: int | None = None
    ) -> None:
        """Note that a user reads their feed, and wake the user if asleep since that offset (None: awake). Returns at once.

        `woke_offset`: of the last awakening that has begun.
        """
        if (
            asleep_offset is not None
            and self._free()
            and self._must_wake(user_id, asleep_offset, woke_offset or 0)
        ):
            self._do(self._wake(user_id), user_id)
        slept = asleep_offset or 0
        if len(self._waiting) < _MOST_WAITING and self._noted.get(user_id, -1) < slept:
            self._noted[user_id] = slept
            self._waiting[user_id] = self._clock.now_ms()
            if not self._writing:
                self._writing = True
                self._do(self._write_notes(), "all")

    def _must_wake(self, user_id: str, asleep: int, woke: int) -> bool:
        """Whether no awakening has begun, or the one that has begun was lost. Remembers that one begins."""
        offset, now_s = max(asleep, woke), self._clock.monotonic_s()
        known = self._woken.get(user_id)
        if known is not None and known[0] >= offset:
            if now_s - known[1] < WAKING_S:
                return False
        elif woke > asleep:
            # Begun by another process, or by this one.
            self._woken[user_id] = offset, now_s
            return False
        self._woken[user_id] = offset, now_s
        return True

    async def close(self) -> None:
        """Cancel what is under way, and write the notes that wait, if the tables answer within half a second."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await best_effort(self._write_waiting())

    async def _wake(self, user_id: str) -> None:
        try:
            await self._log.append(UserWoke(user_id=user_id, woke_at=from_ms(self._clock.now_ms())))
        except Transient as error:
            self._woken.pop(user_id, None)
            logger.warning("%s is not woken: %s", user_id, error)
        else:
            _AWAKENINGS.inc()

    async def _write_notes(self) -> None:
        """Write notes until there are none."""
        try:
            while self._waiting:
                await self._clock.sleep(GATHERED_S)
                await self._write_waiting()
        finally:
            self._writing = False

    async def _write_waiting(self) -> None:
        notes, self._waiting = self._waiting, {}
        if not notes:
            return
        try:
            await self._activity.note_reads(notes)
        except asyncio.CancelledError:
            # `close` writes them. A note that is written twice is the same note.
            self._waiting = {**notes, **self._waiting}
            raise
        except Transient as error:
            for user_id in notes:
                self._noted.pop(user_id, None)
            logger.warning("the reads of %d users are not noted: %s", len(notes), error)

    def _free(self) -> bool:
        return len(self._tasks) < _MOST_AT_ONCE

    def _do(self, work: Coroutine[None, None, None], of: str) -> None:
        task = asyncio.create_task(work, name=f"presence of {of}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
