"""Imports on the embedded stack: a worker that handles a batch whenever its backlog is read, and lists to import."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fanfold.core.events import GRAPH, UserFollowed
from fanfold.core.ports.log import EventLog
from fanfold.ops.graph_import.checkpoint import Checkpoint, CheckpointFile, Counts, Source, identify
from fanfold.ops.graph_import.importer import GraphImport, Moment, Rules
from fanfold.ops.graph_import.rejects import Rejects
from tests.support.crashes import Life, Mortal
from tests.support.fanout import Pipeline

EVERYTHING = 1_000_000


@dataclass
class WorkerBehind:
    """The worker's backlog; looking at it lets the worker handle one batch."""

    pipeline: Pipeline
    works: bool = True
    looks: list[int] = field(default_factory=list)

    async def ends(self) -> list[int]:
        return [self.pipeline.log.last_seq([GRAPH])]

    async def unhandled(self, ends: list[int]) -> int:
        if self.works:
            settings = self.pipeline.settings
            await self.pipeline.step(self.pipeline.worker(), GRAPH, limit=settings.take_events)
        rows = await self.pipeline.log.rows(
            [GRAPH], after=self.pipeline.acknowledged[GRAPH], limit=EVERYTHING
        )
        self.looks.append(sum(row.seq <= ends[0] for row in rows))
        return self.looks[-1]


class MortalCheckpoints(CheckpointFile):
    """Dies before a checkpoint moves, or after."""

    def __init__(self, path: Path, source: Source, life: Life) -> None:
        super().__init__(path, source)
        self._life = life

    def save(self, checkpoint: Checkpoint) -> None:
        self._life.spend()
        super().save(checkpoint)
        self._life.spend()


@dataclass
class Importing:
    """An import that can be run, cut short, and run again."""

    pipeline: Pipeline
    path: Path
    log_name: str = "this log"
    names: Mapping[str, str] = field(default_factory=dict)
    rules: dict[str, Any] = field(default_factory=dict)
    shown: list[Moment] = field(default_factory=list)

    @property
    def checkpoint(self) -> Path:
        return self.path.with_name("checkpoint")

    @property
    def rejected(self) -> Path:
        return self.path.with_name("rejected")

    def checkpoints(self, life: Life | None = None) -> CheckpointFile:
        source = identify(self.path, log=self.log_name)
        if life:
            return MortalCheckpoints(self.checkpoint, source, life)
        return CheckpointFile(self.checkpoint, source)

    async def run(self, *, life: Life | None = None, behind: WorkerBehind | None = None) -> Counts:
        """One process's life: to the end, or until `life` has done its writes."""
        log: EventLog = Mortal(self.pipeline.log, life) if life else self.pipeline.log
        rules = {"max_lag_s": 1, "max_following": 5000, **self.rules}
        with Rejects(self.rejected) as rejects:
            return await GraphImport(
                self.path,
                checkpoints=self.checkpoints(life),
                rejects=rejects,
                log=log,
                stores=self.pipeline.stores,
                backlog=behind or WorkerBehind(self.pipeline),
                clock=self.pipeline.clock,
                rules=Rules(**rules),
                names=self.names,
                show=self.shown.append,
            ).run()

    async def followed(self) -> list[tuple[str, str]]:
        """(follower, followee) of every follow in the log, in order of appending."""
        rows = await self.pipeline.log.rows([GRAPH], after=0, limit=EVERYTHING)
        events = [row.record.event() for row in rows]
        return [(e.follower_id, e.followee_id) for e in events if isinstance(e, UserFollowed)]

    async def active(self) -> set[tuple[str, str]]:
        """The edges that the tables hold once the worker has nothing left to do."""
        await self.pipeline.drain()
        users = {user_id for edge in await self.followed() for user_id in edge}
        follows = {
            user_id: await self.pipeline.stores.follows.following(user_id) for user_id in users
        }
        return {
            (user_id, follow.followee_id)
            for user_id, found in follows.items()
            for follow in found.values()
            if follow.active
        }


def a_list(path: Path, lines: Iterable[str], *, name: str = "edges.csv") -> Path:
    """A file with these lines."""
    path.mkdir(parents=True, exist_ok=True)
    file = path / name
    file.write_text("".join(f"{line}\n" for line in lines))
    return file
