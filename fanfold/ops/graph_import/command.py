"""`fanfold graph import` put together: the engines, the files beside the list, the progress, and the summary."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from fanfold.core.clock import Clock, SystemClock
from fanfold.core.errors import Fault, Unavailable
from fanfold.core.events import GRAPH
from fanfold.core.settings import Settings
from fanfold.ops.graph_import.checkpoint import Checkpoint, CheckpointFile, Counts, identify
from fanfold.ops.graph_import.display_names import read_display_names
from fanfold.ops.graph_import.edge_batches import read_batches, reading
from fanfold.ops.graph_import.importer import BATCH, GraphImport, Rules
from fanfold.ops.graph_import.progress import showing
from fanfold.ops.graph_import.rejects import Rejects

# Exit statuses; 1 is what the command line itself makes of an error, 2 a wrong option.
DONE, SOME_REJECTED, TRY_AGAIN, INTERRUPTED = 0, 3, 75, 130
SOURCE = "fanfold/graph-import"
_GROUPED_FROM = 10_000
_GROUPED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was asked for on the command line."""

    path: Path
    names: Path | None
    checkpoint: Path | None
    rejected: Path | None
    rate: float | None
    max_lag_s: float
    register: bool
    start_over: bool
    dry_run: bool
    as_json: bool


def import_graph(settings: Settings, request: Request, *, console: Console) -> int:
    """Run it; returns the exit status. Raises `FanfoldError` for what the operator has to change."""
    names = read_display_names(request.names) if request.names else {}
    command = _Command(settings, request, names, console, SystemClock())
    status, why = DONE, None
    try:
        with ExitStack() as stack:
            stack.enter_context(command.rejects)
            if request.dry_run:
                command.validate()
            else:
                asyncio.run(command.append())
        status = SOME_REJECTED if command.counts.rejected else DONE
    except KeyboardInterrupt:
        status, why = INTERRUPTED, "interrupted"
    except Unavailable as error:
        status, why = TRY_AGAIN, str(error)
    except OSError as error:
        raise Fault(f"a file beside {request.path}: {error}") from error
    command.summarise(finished=why is None)
    if why is not None:
        console.print(
            f"[red]fanfold:[/red] {why}; the same command goes on from line"
            f" {command.counts.lines + 1:,}",
            soft_wrap=True,
        )
    return status


class _Command:
    def __init__(
        self,
        settings: Settings,
        request: Request,
        names: Mapping[str, str],
        console: Console,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._request = request
        self._names = names
        self._console = console
        self._clock = clock
        beside = request.path.with_name(f"{request.path.name}.rejected")
        self.rejects = Rejects(request.rejected or (None if request.dry_run else beside))
        self.counts = Counts()

    def validate(self) -> None:
        """Read it all, append nothing."""
        self.rejects.cut(0)
        started_s = self._clock.monotonic_s()
        with reading(self._request.path) as file:
            for batch in read_batches(
                file, counts=Counts(), end=0, latest_ms=self._clock.now_ms(), lines=BATCH
            ):
                self.rejects.add(batch.wrong)
                batch.counts.rejected += len(batch.wrong)
                self.counts = batch.counts
        self.counts.seconds = self._clock.monotonic_s() - started_s
        self.rejects.keep()

    async def append(self) -> None:
        """The import, on the real engines."""
        from fanfold.adapters.kafka.group_lag import GroupLag
        from fanfold.adapters.stacks import real

        request, settings = self._request, self._settings
        with reading(request.path):
            total_bytes = request.path.stat().st_size
        async with (
            GroupLag(settings, GRAPH) as backlog,
            real(settings, clock=self._clock, source=SOURCE) as engines,
        ):
            log = f"{settings.topic_prefix} of the Kafka cluster {await backlog.cluster()}"
            path = request.checkpoint or request.path.with_name(f"{request.path.name}.checkpoint")
            checkpoints = CheckpointFile(path, identify(request.path, log=log))
            if request.start_over:
                path.unlink(missing_ok=True)
            self._say_where_it_stands(checkpoints.load())
            with showing(self._console, self._clock, total_bytes=total_bytes) as show:
                running = GraphImport(
                    request.path,
                    checkpoints=checkpoints,
                    rejects=self.rejects,
                    log=engines.log,
                    stores=engines.stores,
                    backlog=backlog,
                    clock=self._clock,
                    rules=Rules(
                        max_lag_s=request.max_lag_s,
                        max_following=settings.max_following,
                        rate=request.rate,
                        register=request.register,
                    ),
                    names=self._names,
                    show=show,
                )
                try:
                    await running.run()
                finally:
                    self.counts = running.counts

    def _say_where_it_stands(self, checkpoint: Checkpoint | None) -> None:
        if checkpoint is None:
            return
        self.counts = checkpoint.counts
        where = "has been imported; --start-over does it again"
        if not checkpoint.done:
            where = f"goes on at line {checkpoint.counts.lines + 1:,}"
        self._console.print(f"{self._request.path} {where}", soft_wrap=True)

    def summarise(self, *, finished: bool) -> None:
        """One object on stdout, or a few lines for people on stderr."""
        if self._request.as_json:
            sys.stdout.write(json.dumps(self._summary(finished=finished)) + "\n")
            return
        counts, summary = self.counts, self._summary(finished=finished)
        what = "good" if self._request.dry_run else "appended"
        good = counts.edges if self._request.dry_run else counts.appended
        self._console.print(
            f"{counts.lines:,} lines read, {good:,} follows {what}, {counts.registered:,} users"
            f" registered, {counts.rejected:,} lines rejected; {summary['seconds']:,} s, {summary['rate']:,}/s",
            soft_wrap=True,
        )
        for line, wrong in self.rejects.first:
            self._console.print(
                f"  line {line.number:,}: {wrong.why}", soft_wrap=True, markup=False
            )
        if counts.rejected and summary["rejected_lines"]:
            self._console.print(f"All of them: {summary['rejected_lines']}", soft_wrap=True)
        if counts.edges >= _GROUPED_FROM and counts.edges < _GROUPED * counts.followee_runs:
            self._console.print(
                "A list sorted by followee is cheaper for the worker: see docs/importing-a-graph.md",
                soft_wrap=True,
            )

    def _summary(self, *, finished: bool) -> dict[str, Any]:
        counts = self.counts
        kept = self.rejects.path if counts.rejected else None
        return {
            "file": str(self._request.path),
            "finished": finished,
            "dry_run": self._request.dry_run,
            "lines": counts.lines,
            "edges": counts.edges,
            "appended": counts.appended,
            "registered": counts.registered,
            "rejected": counts.rejected,
            "rejected_lines": str(kept) if kept else None,
            "seconds": round(counts.seconds, 3),
            "rate": round(counts.edges / counts.seconds) if counts.seconds else 0,
        }
