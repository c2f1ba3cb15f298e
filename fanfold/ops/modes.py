"""`fanfold modes apply`: after a change of the threshold, ask the workers to decide push or pull again.

At an author's next follow they would decide anyway; an author who gains no followers would keep the old delivery for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import typer

from fanfold.core.clock import Clock, SystemClock
from fanfold.core.delivery import Delivery, delivery_after
from fanfold.core.events import ReviewDelivery, from_ms
from fanfold.core.ports import Stores, User
from fanfold.core.ports.log import EventLog
from fanfold.core.settings import Settings
from fanfold.ops.installation import settings_of
from fanfold.ops.options import DEFAULT_DATA, AsJson, Data, DryRun, complain, console, print_json
from fanfold.ops.progress import showing
from fanfold.ops.run import run

app = typer.Typer(no_args_is_help=True, help="Which authors are pushed, and which are pulled.")

SOURCE = "fanfold/modes-apply"
BATCH = 500


@dataclass(slots=True)
class Reviewed:
    """The counts of a review: users looked at, and authors whose delivery changes, by what it becomes."""

    users: int = 0
    to_push: int = 0
    to_pull: int = 0

    def describe(self) -> str:
        return (
            f"{self.users:,} users looked at, {self.to_pull:,} go to pull, {self.to_push:,} to push"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewModes:
    """Requests a review of each author whose stored delivery differs from what these settings say.

    The worker decides, by *its* settings: so restart it with the new ones first. Safe to repeat and to interrupt.
    """

    stores: Stores
    log: EventLog
    clock: Clock
    pull_threshold: int
    pull_hysteresis: float
    show: Callable[[Reviewed], None]

    async def run(self, reviewed: Reviewed, *, dry_run: bool) -> None:
        """Look at every user, and count in `reviewed`. Raises `Unavailable`: some reviews may have been requested."""
        requests: list[ReviewDelivery] = []
        async for user in self.stores.users.all_users():
            reviewed.users += 1
            if (delivery := self._other_delivery(user)) is not None:
                reviewed.to_pull += delivery == "pull"
                reviewed.to_push += delivery == "push"
                now = from_ms(self.clock.now_ms())
                requests.append(ReviewDelivery(author_id=user.user_id, requested_at=now))
            if len(requests) == BATCH:
                await self._append(requests, dry_run=dry_run)
                requests = []
            if reviewed.users % BATCH == 0:
                self.show(reviewed)
        await self._append(requests, dry_run=dry_run)

    def _other_delivery(self, user: User) -> Delivery | None:
        delivery = delivery_after(
            user.follower_count,
            user.delivery,
            threshold=self.pull_threshold,
            hysteresis=self.pull_hysteresis,
        )
        return delivery if delivery != user.delivery else None

    async def _append(self, requests: list[ReviewDelivery], *, dry_run: bool) -> None:
        if requests and not dry_run:
            await self.log.append_many(requests)


@app.command()
def apply(dry_run: DryRun = False, as_json: AsJson = False, data: Data = DEFAULT_DATA) -> None:
    """After a change of the threshold: decide push or pull again for the authors that it concerns. Safe to repeat.

    Restart the workers with the new settings first: they decide, by their settings. Uses the Kafka that the environment
    names, else the system in --data. Exits with 0 when all users were looked at, 75 when an engine stayed away.
    """
    settings, clock, reviewed = settings_of(data), SystemClock(), Reviewed()
    started_s = clock.monotonic_s()
    ended = run(_review(settings, reviewed, clock, dry_run=dry_run))
    if as_json:
        print_json(
            {
                **asdict(reviewed),
                "pull_threshold": settings.pull_threshold,
                "pull_hysteresis": settings.pull_hysteresis,
                "dry_run": dry_run,
                "finished": ended.finished,
                "seconds": round(clock.monotonic_s() - started_s, 3),
            }
        )
    else:
        console.print(
            f"At a threshold of {settings.pull_threshold:,}: {reviewed.describe()}", soft_wrap=True
        )
        if not dry_run and reviewed.to_pull + reviewed.to_push:
            console.print("The workers decide in the order of the log.")
    if ended.cut_short:
        complain(f"{ended.cut_short}; the same command starts over")
    raise typer.Exit(ended.status)


async def _review(settings: Settings, reviewed: Reviewed, clock: Clock, *, dry_run: bool) -> None:
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
