"""What an operator asks first: does everything run, what waits, and where are the logs."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fanfold.core.errors import FanfoldError, Undecodable
from fanfold.core.events import POSTS, DeliverSlice, decode
from fanfold.core.ports.log import Record
from fanfold.core.settings import Settings
from fanfold.ops.probes import READY, readiness_of
from fanfold.ops.supervisor import ProcessState, Supervisor
from fanfold.ops.system import Process, System

if TYPE_CHECKING:
    from fanfold.adapters.kafka.group import Backlog

NOT_SUPERVISED = "NOT SUPERVISED"
MOST_COMMANDS = 5_000
"""Commands read to name the fan-outs in progress; with more waiting, the list says that it is not whole."""


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """`readiness` is `ready`, or what is wrong."""

    name: str
    state: str
    pid: int | None
    uptime_s: int | None
    readiness: str
    log: str

    @property
    def healthy(self) -> bool:
        return self.state == "RUNNING" and self.readiness == READY


@dataclass(frozen=True, slots=True)
class Lag:
    """Records of one partition that the workers have not acknowledged."""

    topic: str
    partition: int
    committed: int
    end: int
    records: int


@dataclass(frozen=True, slots=True)
class FanoutInProgress:
    """A post of which slices wait or are being delivered."""

    post_id: str
    author_id: str
    slices_left: int


@dataclass(frozen=True, slots=True)
class Work:
    """What the workers have before them.

    A fan-out is in progress while commands for its slices are unacknowledged; one that is whole in one slice is
    delivered with its post, and counts as unplanned until then.
    """

    lags: tuple[Lag, ...]
    posts_unplanned: int
    fanouts: tuple[FanoutInProgress, ...]
    all_fanouts: bool
    dead_letters: int

    @property
    def lag(self) -> int:
        return sum(each.records for each in self.lags)


@dataclass(frozen=True, slots=True)
class Status:
    """`processes` is empty where no system is described; `work` is None, for `work_unknown`, without Kafka."""

    processes: tuple[ProcessStatus, ...]
    work: Work | None
    work_unknown: str | None

    @property
    def up(self) -> bool:
        """Whether anybody looks after the system, where one is described."""
        return not self.processes or any(each.state != NOT_SUPERVISED for each in self.processes)

    @property
    def healthy(self) -> bool:
        """Every process runs and is ready, and the log answers. Lag is work, not sickness."""
        return self.work is not None and all(each.healthy for each in self.processes)


async def read_status(settings: Settings, system: System | None) -> Status:
    """Ask everything at once; whatever does not answer is reported, not raised."""
    processes, (work, unknown) = await asyncio.gather(_processes(system), _work(settings))
    return Status(tuple(processes), work, unknown)


async def _processes(system: System | None) -> Sequence[ProcessStatus]:
    if system is None:
        return []
    try:
        states = await asyncio.to_thread(Supervisor(system.supervisor).processes)
    except FanfoldError:
        states = {}
    return await asyncio.gather(
        *(_process(each, states.get(each.name)) for each in system.processes)
    )


async def _process(process: Process, state: ProcessState | None) -> ProcessStatus:
    running = state is not None and state.running
    return ProcessStatus(
        name=process.name,
        state=state.state if state else NOT_SUPERVISED,
        pid=state.pid if state else None,
        uptime_s=state.uptime_s if state else None,
        readiness=await asyncio.to_thread(readiness_of, process.ready)
        if running
        else "not running",
        log=process.log,
    )


async def _work(settings: Settings) -> tuple[Work | None, str | None]:
    from fanfold.adapters.kafka.group import read_backlog

    try:
        return work_of(await read_backlog(settings, most_commands=MOST_COMMANDS)), None
    except FanfoldError as error:
        return None, str(error)


def work_of(backlog: Backlog) -> Work:
    """What a backlog amounts to."""
    return Work(
        lags=tuple(Lag(*each, each.records) for each in backlog.lags),
        posts_unplanned=sum(each.records for each in backlog.lags if each.topic == POSTS),
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
            continue  # The worker buries it; here it is no fan-out.
        if isinstance(event, DeliverSlice):
            left[str(event.post_id), event.author_id] += 1
    return tuple(FanoutInProgress(*post, slices) for post, slices in left.most_common())
