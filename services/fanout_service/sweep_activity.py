"""The activity sweep: users who have read no feed for long fall asleep, and receive no more deliveries.

Once a day is enough. It only appends events to the log. A user who is put to sleep by mistake wakes at the next read, and that
read is complete, too.

Nobody waits for a sweep, so it gives way: it appends little at a time and only while little of its kind waits, because an awakening
in the same partition stands behind it. It can be spread over hours, and goes on where the last one was interrupted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from fanfold.core.clock import Clock
from fanfold.core.errors import Unavailable
from fanfold.core.events import UserFellAsleep, from_ms
from fanfold.core.ports import Stores, SweepCheckpoint, User
from fanfold.core.ports.log import EventLog

logger = logging.getLogger(__name__)

BATCH = 100
APPENDED_AT_ONCE = 10
RATE = 100.0
"""Users a second: each costs the worker a few writes for each of their followees."""

_RETRY_S = 60.0


async def no_wait() -> None:
    """There is always room."""


@dataclass(slots=True)
class Swept:
    """The result of a sweep: users read, users found asleep, and users who fell asleep."""

    users: int = 0
    asleep: int = 0
    fell_asleep: int = 0

    def describe(self) -> str:
        return (
            f"{self.users:,} users looked at, {self.asleep:,} were asleep,"
            f" {self.fell_asleep:,} fall asleep"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepActivity:
    """Finds users who follow someone and have read no feed for `active_ms`. Safe to repeat and to interrupt.

    For a user who never read a feed, the age of the oldest follow counts instead. At most `rate` users a second fall asleep. `room` returns
    when the workers have room for a few. With `over_s` a sweep takes about that long, judged by the number of users of the last whole one.
    """

    stores: Stores
    log: EventLog
    clock: Clock
    active_ms: int
    rate: float = RATE
    over_s: float = 0
    room: Callable[[], Awaitable[None]] = no_wait
    show: Callable[[Swept], None] = lambda _: None

    async def run(self, swept: Swept, *, dry_run: bool = False) -> None:
        """Read every user who follows someone, and count in `swept`. Raises `Unavailable`: some may have fallen asleep by then.

        Begins behind the users that an interrupted sweep has read; a dry run reads all.
        """
        checkpoint = SweepCheckpoint() if dry_run else await self.stores.sweeps.checkpoint()
        pause_s = self.over_s * BATCH / checkpoint.last_users if checkpoint.last_users else 0.0
        batch: list[str] = []
        async for user_id in self.stores.follows.all_follower_ids(after=checkpoint.after_id):
            batch.append(user_id)
            if len(batch) == BATCH:
                began_s = self.clock.monotonic_s()
                await self._sweep(batch, swept, dry_run=dry_run)
                if not dry_run:
                    users = checkpoint.users + len(batch)
                    checkpoint = checkpoint._replace(after_id=user_id, users=users)
                    checkpoint = await self._remember(checkpoint)
                    took_s = self.clock.monotonic_s() - began_s
                    await self.clock.sleep(max(0.0, pause_s - took_s))
                batch = []
        await self._sweep(batch, swept, dry_run=dry_run)
        if not dry_run:
            users = checkpoint.users + len(batch)
            await self._remember(SweepCheckpoint(last_users=users, at_ms=checkpoint.at_ms))

    async def _remember(self, checkpoint: SweepCheckpoint) -> SweepCheckpoint:
        # Later than the one before, whatever this machine's clock says.
        written = checkpoint._replace(at_ms=max(self.clock.now_ms(), checkpoint.at_ms + 1))
        await self.stores.sweeps.write(written)
        return written

    async def sweep_forever(self, every_s: float, *, first_after_s: float = 0) -> None:
        """Sweep every `every_s` seconds, or as soon as the last one has ended. One that an unavailable engine interrupts goes on a minute later."""
        await self.clock.sleep(first_after_s)
        while True:
            swept, began_s = Swept(), self.clock.monotonic_s()
            try:
                await self.run(swept)
            except Unavailable as error:
                logger.warning("the sweep was interrupted: %s", error)
                await self.clock.sleep(min(_RETRY_S, every_s))
            else:
                logger.info("the sweep has ended: %s", swept.describe())
                await self.clock.sleep(max(0.0, began_s + every_s - self.clock.monotonic_s()))

    async def _sweep(self, batch: Sequence[str], swept: Swept, *, dry_run: bool) -> None:
        since_ms = self.clock.now_ms() - self.active_ms
        reads = await self.stores.activity.last_reads(batch)
        # Most have read, and most of the others sleep, so each further read asks for fewer users.
        silent = [user_id for user_id in batch if reads.get(user_id, 0) < since_ms]
        users = await self.stores.users.get_many(silent)
        awake = [user_id for user_id in silent if _delivered_to(users[user_id])]
        falling = await asyncio.gather(
            *(self._is_old(user_id, reads, since_ms) for user_id in awake)
        )
        now = from_ms(self.clock.now_ms())
        events = [
            UserFellAsleep(user_id=user_id, fell_asleep_at=now)
            for user_id, falls in zip(awake, falling, strict=True)
            if falls
        ]
        swept.users += len(batch)
        swept.asleep += len(silent) - len(awake)
        for start in range(0, 0 if dry_run else len(events), APPENDED_AT_ONCE):
            few = events[start : start + APPENDED_AT_ONCE]
            await self.room()
            await self.log.append_many(few)
            await self.clock.sleep(len(few) / self.rate)
        swept.fell_asleep += len(events)
        self.show(swept)

    async def _is_old(self, user_id: str, reads: Mapping[str, int], since_ms: int) -> bool:
        if user_id in reads:
            return True
        # Nothing else is known of a user who never read. Users who follow nobody receive no deliveries.
        follows = await self.stores.follows.following(user_id)
        active = [follow.since_ms for follow in follows.values() if follow.active]
        return bool(active) and min(active) < since_ms


def _delivered_to(user: User) -> bool:
    return not (user.asleep or user.left)
