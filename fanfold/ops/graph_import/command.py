"""`fanfold graph import`: its options, and its run on the real engines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from fanfold.core.clock import Clock, SystemClock
from fanfold.core.errors import Fault
from fanfold.core.events import GRAPH
from fanfold.core.exit_codes import ExitCode
from fanfold.core.settings import Settings
from fanfold.ops.graph_import.checkpoint import Checkpoint, CheckpointFile, Counts, identify
from fanfold.ops.graph_import.display_names import read_display_names
from fanfold.ops.graph_import.edge_batches import read_batches, reading
from fanfold.ops.graph_import.importer import BATCH, GraphImport, Rules
from fanfold.ops.graph_import.progress import showing
from fanfold.ops.graph_import.rejects import Rejects
from fanfold.ops.graph_import.summary import print_summary, summary_of
from fanfold.ops.installation import settings_of
from fanfold.ops.options import DEFAULT_DATA, AsJson, Data, complain, console, print_json
from fanfold.ops.run import run, run_blocking

app = typer.Typer(no_args_is_help=True, help="The graph of followers.")

SOURCE = "fanfold/graph-import"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The options of the command line."""

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


@app.command("import")
def import_(  # noqa: PLR0917 - typer calls it by name
    file: Annotated[
        Path, typer.Argument(help="A follower,followee[,time] on each line, plain or gzip.")
    ],
    names: Annotated[
        Path | None,
        typer.Option(help="A user_id,display_name on each line, for the users that it registers."),
    ] = None,
    register: Annotated[
        bool,
        typer.Option(help="Register unregistered users, under their id or their name in --names."),
    ] = True,
    max_lag: Annotated[
        float,
        typer.Option(min=0.1, help="Seconds that a live follow may wait behind imported ones."),
    ] = 1.0,
    rate: Annotated[float | None, typer.Option(min=1, help="The most events a second.")] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="The file that keeps the progress; default FILE.checkpoint.")
    ] = None,
    rejected: Annotated[
        Path | None,
        typer.Option(help="The file that keeps rejected lines; default FILE.rejected."),
    ] = None,
    start_over: Annotated[
        bool, typer.Option("--start-over", help="Ignore the checkpoint; begin at the first line.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only read and check the lines; append nothing.")
    ] = False,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Import a list of follows. After Ctrl-C or a crash the same command goes on; nothing is lost.

    Into the Kafka that the environment names, else the system in --data, else the default addresses. Exits with 0 when all
    lines are imported, 3 when some were rejected, 75 when an engine stayed away, 130 on Ctrl-C.
    """
    request = Request(
        path=file,
        names=names,
        checkpoint=checkpoint,
        rejected=rejected,
        rate=rate,
        max_lag_s=max_lag,
        register=register,
        start_over=start_over,
        dry_run=dry_run,
        as_json=as_json,
    )
    raise typer.Exit(import_graph(settings_of(data), request))


def import_graph(settings: Settings, request: Request) -> ExitCode:
    """Run the import. Raises `FanfoldError` for what the operator has to change."""
    names = read_display_names(request.names) if request.names else {}
    command = _Command(settings, request, names, SystemClock())
    try:
        with command.rejects:
            ended = run_blocking(command.validate) if request.dry_run else run(command.append())
    except OSError as error:
        raise Fault(f"a file beside {request.path}: {error}") from error
    command.summarise(finished=ended.finished)
    if ended.cut_short:
        complain(
            f"{ended.cut_short}; the same command goes on from line {command.counts.lines + 1:,}"
        )
        return ended.status
    return ExitCode.SOME_REJECTED if command.counts.rejected else ExitCode.DONE


class _Command:
    def __init__(
        self, settings: Settings, request: Request, names: Mapping[str, str], clock: Clock
    ) -> None:
        self._settings = settings
        self._request = request
        self._names = names
        self._clock = clock
        default = None if request.dry_run else _beside(request.path, "rejected")
        self.rejects = Rejects(request.rejected or default)
        self.counts = Counts()

    def validate(self) -> None:
        """Read all lines, append nothing."""
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
        """Run the import on the real engines."""
        from fanfold.adapters.kafka.group import WorkerGroup
        from fanfold.adapters.stacks import real

        request, settings = self._request, self._settings
        with reading(request.path):
            total_bytes = request.path.stat().st_size
        async with (
            WorkerGroup(settings, [GRAPH]) as backlog,
            real(settings, clock=self._clock, source=SOURCE) as engines,
        ):
            log = f"{settings.topic_prefix} of the Kafka cluster {await backlog.cluster_id()}"
            path = request.checkpoint or _beside(request.path, "checkpoint")
            checkpoints = CheckpointFile(path, identify(request.path, log=log))
            if request.start_over:
                path.unlink(missing_ok=True)
            self._resume(checkpoints.load())
            with showing(console, self._clock, total_bytes=total_bytes) as show:
                running = GraphImport(
                    request.path,
                    checkpoints=checkpoints,
                    rejects=self.rejects,
                    log=engines.log,
                    stores=engines.stores,
                    backlog=backlog,
                    clock=self._clock,
                    rules=self._rules(),
                    names=self._names,
                    show=show,
                )
                try:
                    await running.run()
                finally:
                    self.counts = running.counts

    def _rules(self) -> Rules:
        return Rules(
            max_lag_s=self._request.max_lag_s,
            max_following=self._settings.max_following,
            rate=self._request.rate,
            register=self._request.register,
        )

    def _resume(self, checkpoint: Checkpoint | None) -> None:
        """Take over the counts, and print where the import goes on."""
        if checkpoint is None:
            return
        self.counts = checkpoint.counts
        state = "is imported already; --start-over imports it again"
        if not checkpoint.done:
            state = f"goes on at line {checkpoint.counts.lines + 1:,}"
        console.print(f"{self._request.path} {state}", soft_wrap=True)

    def summarise(self, *, finished: bool) -> None:
        """Print one JSON document on stdout, or a few lines for people on stderr."""
        summary = summary_of(
            self._request.path,
            self.counts,
            self.rejects,
            dry_run=self._request.dry_run,
            finished=finished,
        )
        if self._request.as_json:
            print_json(summary)
        else:
            print_summary(console, self.counts, self.rejects, summary)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(f"{path.name}.{suffix}")
