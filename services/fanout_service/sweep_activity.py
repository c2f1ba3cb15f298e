"""The activity sweep: users who have read no feed for long fall asleep, and receive no more deliveries.

Once a day is enough. It only appends events to the log. A user who is put to sleep by mistake wakes at the next read, and that
read is complete, too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fanfold.core.clock import Clock
from fanfold.core.errors import Unavailable
from fanfold.core.events import UserFellAsleep, from_ms
from fanfold.core.ports import Stores, User
from fanfold.core.ports.log import EventLog

logger = logging.getLogger(__name__)

BATCH = 100
RATE = 100.0
"""Users a second: each costs the worker a few writes for each of their followees."""

_RETRY_S = 60.0


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

    For a user who never read a feed, the age of the oldest follow counts instead. At most `rate` users a second fall asleep.
    """

    stores: Stores
    log: EventLog
    clock: Clock
    active_ms: int
    rate: float = RATE
    show: Callable[[Swept], None] = lambda _: None

    async def run(self, swept: Swept, *, dry_run: bool = False) -> None:
        """Read every user who follows someone, and count in `swept`. Raises `Unavailable`: some may have fallen asleep by then."""
        batch: list[str] = []
        async for user_id in self.stores.follows.all_follower_ids():
            batch.append(user_id)
            if len(batch) == BATCH:
                await self._sweep(batch, swept, dry_run=dry_run)
                batch = []
        await self._sweep(batch, swept, dry_run=dry_run)

    async def sweep_forever(self, every_s: float, *, first_after_s: float = 0) -> None:
        """Sweep every `every_s` seconds. A sweep that an unavailable engine interrupts starts again a minute later."""
        await self.clock.sleep(first_after_s)
        while True:
            swept = Swept()
            try:
                await self.run(swept)
            except Unavailable as error:
                logger.warning("the sweep was interrupted: %s", error)
                await self.clock.sleep(min(_RETRY_S, every_s))
            else:
                logger.info("the sweep has ended: %s", swept.describe())
                await self.clock.sleep(every_s)

    async def _sweep(self, batch: Sequence[str], swept: Swept, *, dry_run: bool) -> None:
        since_ms = self.clock.now_ms() - self.active_ms
        reads = await self.stores.activity.last_reads(batch)
        # Most have read, and most of the others sleep: each further read is about fewer users.
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
        if events and not dry_run:
            await self.log.append_many(events)
            await self.clock.sleep(len(events) / self.rate)
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
