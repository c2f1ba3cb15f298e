"""What waits for the workers, as the log knows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fanfold.core.errors import FanfoldError, Undecodable
from fanfold.core.events import POSTS, DeliverSlice, decode
from fanfold.core.lag import PartitionLag
from fanfold.core.ports.log import Record
from fanfold.core.ports.log_view import Backlog, LogView

MOST_COMMANDS = 5_000
"""Commands that are read to list the fan-outs in progress; with more of them waiting, the list says that it is incomplete."""


@dataclass(frozen=True, slots=True)
class FanoutInProgress:
    """A post with slices that wait or are being delivered."""

    post_id: str
    author_id: str
    slices_left: int


@dataclass(frozen=True, slots=True)
class Work:
    """What waits for the workers.

    A fan-out is in progress while commands for its slices are unacknowledged. A fan-out of a single slice is delivered with its
    post, and counts as not planned until then.
    """

    lags: tuple[PartitionLag, ...]
    posts_unplanned: int
    fanouts: tuple[FanoutInProgress, ...]
    all_fanouts: bool
    dead_letters: int

    @property
    def lag(self) -> int:
        return sum(lag.records for lag in self.lags)


@dataclass(frozen=True, slots=True)
class Status:
    """`work` is None if the log does not answer; `work_unknown` then says why."""

    work: Work | None
    work_unknown: str | None = None

    @property
    def healthy(self) -> bool:
        """Whether the log answers. A lag does not make it unhealthy."""
        return self.work is not None

    def as_json(self) -> dict[str, Any]:
        """The status, with the sums that a program would otherwise compute."""
        work = self.work
        if work is None:
            return {"work": None, "work_unknown": self.work_unknown}
        lags = [{**asdict(lag), "records": lag.records} for lag in work.lags]
        return {"work": {**asdict(work), "lags": lags, "lag": work.lag}, "work_unknown": None}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Status:
        """The status that `as_json` described. Raises `KeyError`, `TypeError` or `ValueError` for another document."""
        described = document["work"]
        if described is None:
            return cls(None, str(document["work_unknown"]))
        lags = (
            PartitionLag(*(lag[name] for name in ("topic", "partition", "committed", "end")))
            for lag in described["lags"]
        )
        return cls(
            Work(
                lags=tuple(lags),
                posts_unplanned=int(described["posts_unplanned"]),
                fanouts=tuple(FanoutInProgress(**fanout) for fanout in described["fanouts"]),
                all_fanouts=bool(described["all_fanouts"]),
                dead_letters=int(described["dead_letters"]),
            )
        )


async def read_status(view: LogView, *, most_commands: int = MOST_COMMANDS) -> Status:
    """Ask the log. Never raises: what is missing is in the status."""
    try:
        return Status(work_of(await view.backlog(most_commands=most_commands)))
    except FanfoldError as error:
        return Status(None, str(error))


def work_of(backlog: Backlog) -> Work:
    """Summarises a backlog."""
    return Work(
        lags=backlog.lags,
        posts_unplanned=sum(lag.records for lag in backlog.lags if lag.topic == POSTS),
        fanouts=fanouts_of(backlog.commands),
        all_fanouts=backlog.all_commands,
        dead_letters=backlog.dead_letters,
    )


def fanouts_of(commands: Iterable[Record]) -> tuple[FanoutInProgress, ...]:
    """The posts that these commands deliver, those with most slices left first."""
    left: Counter[tuple[str, str]] = Counter()
    for record in commands:
        try:
            event = decode(record.headers, record.value)
        except Undecodable:
            continue  # The worker dead-letters it; it is no fan-out.
        if isinstance(event, DeliverSlice):
            left[str(event.post_id), event.author_id] += 1
    return tuple(FanoutInProgress(*post, slices) for post, slices in left.most_common())
