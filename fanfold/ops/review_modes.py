"""`fanfold modes apply`: after a change of the threshold, have every author judged again whom it concerns.

Who is judged at their next follow anyway need not be asked for; a celebrity whom nobody new follows would wait for ever.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass

from rich.console import Console

from fanfold.core.clock import Clock, SystemClock
from fanfold.core.delivery import Delivery, delivery_after
from fanfold.core.events import ModeReviewRequested, from_ms
from fanfold.core.ports import Stores, User
from fanfold.core.ports.log import EventLog
from fanfold.core.settings import Settings
from fanfold.ops.walk import attempt, showing

SOURCE = "fanfold/modes-apply"
BATCH = 500


@dataclass(slots=True)
class Reviewed:
    """What a review has come to: users looked at, and authors asked to be judged, by the side they go to."""

    users: int = 0
    to_push: int = 0
    to_pull: int = 0

    def describe(self) -> str:
        return (
            f"{self.users:,} users looked at, {self.to_pull:,} go to pull, {self.to_push:,} to push"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewModes:
    """Asks for a judgement of each author whose stored side isn't what these settings say.

    The worker judges, by *its* settings: so restart it with the new ones first. Safe to repeat and to break off.
    """

    stores: Stores
    log: EventLog
    clock: Clock
    pull_threshold: int
    pull_hysteresis: float
    show: Callable[[Reviewed], None]

    async def run(self, reviewed: Reviewed, *, dry_run: bool) -> None:
        """Look at everyone, and count in `reviewed`. Raises `Unavailable`: then some may have been asked for."""
        asked: list[ModeReviewRequested] = []
        async for user in self.stores.users.everyone():
            reviewed.users += 1
            if (side := self._other_side(user)) is not None:
                reviewed.to_pull += side == "pull"
                reviewed.to_push += side == "push"
                now = from_ms(self.clock.now_ms())
                asked.append(ModeReviewRequested(author_id=user.user_id, requested_at=now))
            if len(asked) == BATCH:
                await self._append(asked, dry_run=dry_run)
                asked = []
            if reviewed.users % BATCH == 0:
                self.show(reviewed)
        await self._append(asked, dry_run=dry_run)

    def _other_side(self, user: User) -> Delivery | None:
        side = delivery_after(
            user.follower_count,
            user.delivery,
            threshold=self.pull_threshold,
            hysteresis=self.pull_hysteresis,
        )
        return side if side != user.delivery else None

    async def _append(self, asked: list[ModeReviewRequested], *, dry_run: bool) -> None:
        if asked and not dry_run:
            await self.log.append_many(asked)


def apply_modes(settings: Settings, *, dry_run: bool, as_json: bool, console: Console) -> int:
    """Run it on the real engines; returns the exit status."""
    clock, reviewed = SystemClock(), Reviewed()
    started_s = clock.monotonic_s()
    status, why = attempt(_review(settings, reviewed, clock, console, dry_run=dry_run))
    if as_json:
        summary = {
            **asdict(reviewed),
            "pull_threshold": settings.pull_threshold,
            "pull_hysteresis": settings.pull_hysteresis,
            "dry_run": dry_run,
            "finished": why is None,
            "seconds": round(clock.monotonic_s() - started_s, 3),
        }
        sys.stdout.write(json.dumps(summary) + "\n")
    else:
        console.print(
            f"At a threshold of {settings.pull_threshold:,}: {reviewed.describe()}", soft_wrap=True
        )
        if not dry_run and reviewed.to_pull + reviewed.to_push:
            console.print("The workers judge them in the order of the log.")
    if why is not None:
        console.print(f"[red]fanfold:[/red] {why}; the same command begins anew", soft_wrap=True)
    return status


async def _review(
    settings: Settings, reviewed: Reviewed, clock: Clock, console: Console, *, dry_run: bool
) -> None:
    from fanfold.adapters.stacks import real

    async with real(settings, clock=clock, source=SOURCE) as engines:
        with showing(console, clock, reviewed) as show:
            review = ReviewModes(
                stores=engines.stores,
                log=engines.log,
                clock=clock,
                pull_threshold=settings.pull_threshold,
                pull_hysteresis=settings.pull_hysteresis,
                show=show,
            )
            await review.run(reviewed, dry_run=dry_run)
