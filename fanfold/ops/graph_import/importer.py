"""Appends an edge list to the log, at the workers' pace, from the point where the last run stopped.

A batch is appended, then its rejected lines are kept, then the checkpoint moves past it. After a crash in between, the next run
appends that batch again; a repeated follow changes nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from fanfold.core.clock import Clock
from fanfold.core.errors import Unavailable
from fanfold.core.events import UserFollowed, UserRegistered, from_ms
from fanfold.core.ports import Stores
from fanfold.core.ports.log import EventLog
from fanfold.core.retry import Backoff, retry
from fanfold.ops.graph_import.admission import Admission
from fanfold.ops.graph_import.checkpoint import Checkpoint, CheckpointFile, Counts
from fanfold.ops.graph_import.edge_batches import Batch, read_batches, reading
from fanfold.ops.graph_import.pace import Pace
from fanfold.ops.graph_import.rejects import Rejects

T = TypeVar("T")

BATCH = 500
"""Lines between two checkpoints. An append holds an event for each valid line, and the registrations."""
_OBSERVE_EVERY_S = 0.5
_WAIT_S = 0.1
_BACKOFF = Backoff(first_s=0.2, longest_s=5.0)


class Backlog(Protocol):
    """What the workers have not handled of the graph topic. Raises `Unavailable`."""

    async def ends(self) -> list[int]:
        """The offset of the next record to be appended, for each partition."""
        ...

    async def unhandled(self, ends: list[int]) -> int:
        """The number of records before these ends that the workers have not handled."""
        ...


@dataclass(frozen=True, slots=True)
class Moment:
    """What an import shows while it runs. `waiting` says what it waits for, None if it does not wait."""

    counts: Counts
    read_bytes: int
    lag: int | None = None
    waiting: str | None = None


Show = Callable[[Moment], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How to import. `max_lag_s` and `rate` as in `Pace`; `patience_s` is how long an engine may be unavailable."""

    max_lag_s: float
    max_following: int
    rate: float | None = None
    register: bool = True
    patience_s: float = 60.0


class GraphImport:
    """One import of one file. `run` may be called once."""

    def __init__(
        self,
        path: Path,
        *,
        checkpoints: CheckpointFile,
        rejects: Rejects,
        log: EventLog,
        stores: Stores,
        backlog: Backlog,
        clock: Clock,
        rules: Rules,
        names: Mapping[str, str] | None = None,
        show: Show = lambda _: None,
    ) -> None:
        self._path = path
        self._checkpoints = checkpoints
        self._rejects = rejects
        self._log = log
        self._backlog = backlog
        self._clock = clock
        self._rules = rules
        self._names = names or {}
        self._show = show
        self._pace = Pace(max_lag_s=rules.max_lag_s, rate=rules.rate)
        self._admission = Admission(
            stores,
            caught_up=self.caught_up,
            register=rules.register,
            max_following=rules.max_following,
        )
        self._observed_at_s: float | None = None
        self._read_bytes = 0
        self.counts = Counts()

    async def run(self) -> Counts:
        """Append what is not in the log yet; returns the counts over all runs.

        Raises `Unavailable` when an engine stays away, and `Rejected` when the rest of the file can't be read; what was
        appended until then is kept.
        """
        checkpoint = self._checkpoints.load()
        self.counts = checkpoint.counts if checkpoint else Counts()
        if checkpoint and checkpoint.done:
            return self.counts
        self._rejects.cut(checkpoint.rejected_bytes if checkpoint else 0)
        if checkpoint:
            # The tables must show the users and follows that the previous run appended.
            await self._patiently(self.caught_up)
        end = checkpoint.end if checkpoint else 0
        started_s, before_s = self._clock.monotonic_s(), self.counts.seconds
        with reading(self._path) as file:
            for batch in read_batches(
                file, counts=self.counts, end=end, latest_ms=self._clock.now_ms(), lines=BATCH
            ):
                self._read_bytes = file.packed.tell()
                await self._take(batch)
                self.counts, end = batch.counts, batch.end
                self.counts.seconds = before_s + self._clock.monotonic_s() - started_s
                self._save(end, done=False)
                self._report()
        self._save(end, done=True)
        return self.counts

    async def caught_up(self) -> None:
        """Return when the workers have handled everything that is in the log now."""
        appended, ends = self._pace.appended, await self._backlog.ends()
        while await self._observe_until(ends, appended=appended) > 0:
            self._report(waiting="the worker")
            await self._clock.sleep(_WAIT_S)

    async def _take(self, batch: Batch) -> None:
        edges = [edge for _, edge in batch.edges]
        admitted = await self._patiently(lambda: self._admission.admit(edges))
        wrong = [*batch.wrong, *((batch.edges[index][0], why) for index, why in admitted.refused)]
        now = from_ms(self._clock.now_ms())
        registrations = [
            UserRegistered(
                user_id=user_id, display_name=self._names.get(user_id, user_id), registered_at=now
            )
            for user_id in admitted.unregistered
        ]
        follows = [
            UserFollowed(
                follower_id=edge.follower_id,
                followee_id=edge.followee_id,
                followed_at=now if edge.at_ms is None else from_ms(edge.at_ms),
            )
            for edge in (edges[index] for index in admitted.good)
        ]
        # The worker handles neighbouring follows of one followee as a group, so sort them together.
        follows.sort(key=lambda follow: follow.followee_id)
        await self._append([*registrations, *follows])
        self._rejects.add(sorted(wrong, key=lambda line_and_reason: line_and_reason[0].number))
        batch.counts.appended += len(follows)
        batch.counts.registered += len(registrations)
        batch.counts.rejected += len(wrong)

    async def _append(self, events: Sequence[UserRegistered | UserFollowed]) -> None:
        if not events:
            return
        while not self._pace.may_append(len(events), now_s=self._clock.monotonic_s()):
            await self._patiently(self._observe)
            if not self._pace.may_append(len(events), now_s=self._clock.monotonic_s()):
                self._report(waiting=self._why_waiting())
                await self._clock.sleep(_WAIT_S)
        started_s = self._clock.monotonic_s()
        await self._patiently(lambda: self._log.append_many(events))
        now_s = self._clock.monotonic_s()
        self._pace.append(len(events), took_s=now_s - started_s, now_s=now_s)

    def _why_waiting(self) -> str:
        lag = self._pace.lag
        return "the worker" if lag is not None and lag > 0 else "its rate"

    async def _observe(self) -> None:
        now_s = self._clock.monotonic_s()
        if self._observed_at_s is not None and now_s - self._observed_at_s < _OBSERVE_EVERY_S:
            return
        appended = self._pace.appended
        await self._observe_until(await self._backlog.ends(), appended=appended)
        self._observed_at_s = now_s

    async def _observe_until(self, ends: list[int], *, appended: int) -> int:
        lag = await self._backlog.unhandled(ends)
        self._pace.observe(
            lag, handled=sum(ends) - lag, appended=appended, now_s=self._clock.monotonic_s()
        )
        return lag

    async def _patiently(self, attempt: Callable[[], Awaitable[T]]) -> T:
        return await retry(
            attempt,
            backoff=_BACKOFF,
            clock=self._clock,
            budget_s=self._rules.patience_s,
            on=Unavailable,
            failed=lambda error: self._report(waiting=str(error)),
        )

    def _save(self, end: int, *, done: bool) -> None:
        self._checkpoints.save(
            Checkpoint(self.counts, end=end, rejected_bytes=self._rejects.keep(), done=done)
        )

    def _report(self, *, waiting: str | None = None) -> None:
        self._show(Moment(self.counts, self._read_bytes, self._pace.lag, waiting))
