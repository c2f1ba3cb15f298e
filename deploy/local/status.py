"""`make status`: the processes of the local system, by supervisord and by their own readiness, and what waits for the workers."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from console_service.work import Status, read_status
from deploy.local.arguments import OneLineParser
from deploy.local.one_at_a_time import SUPERVISOR_ANSWERS_S
from deploy.local.plan import CACHE
from deploy.local.readiness import readiness_of
from deploy.local.supervisor import ProcessState, Supervisor
from deploy.local.system import Process, System, read_system
from fanfold.adapters.kafka.log_view import KafkaLogView
from fanfold.core.errors import FanfoldError
from fanfold.core.exit_codes import ExitCode
from fanfold.core.read_settings import read_settings
from fanfold.http.ask import READY
from fanfold.ops.copies import Copies, read_copies
from fanfold.ops.status import a_table, print_copies, print_verdict, print_work, show_status

NOT_SUPERVISED = "NOT SUPERVISED"


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
class LocalStatus:
    """The processes, and what Kafka knows."""

    processes: tuple[ProcessStatus, ...]
    kafka: Status
    cache: str = "none"
    """`FANFOLD_CACHE` of the services."""
    copies: Copies | None = None
    """Which are missing; None where there is only one of everything."""

    @property
    def up(self) -> bool:
        """Whether supervisord runs."""
        return any(process.state != NOT_SUPERVISED for process in self.processes)

    @property
    def healthy(self) -> bool:
        """Whether every process runs and is ready, the log answers, and nothing lacks a copy. A lag does not make it unhealthy."""
        whole = self.copies is None or self.copies.whole
        return whole and self.kafka.healthy and all(process.healthy for process in self.processes)

    def as_json(self) -> dict[str, Any]:
        processes = [{**asdict(process), "healthy": process.healthy} for process in self.processes]
        return {
            "healthy": self.healthy,
            "processes": processes,
            "cache": self.cache,
            **({} if self.copies is None else {"copies": self.copies.as_json()}),
            **self.kafka.as_json(),
        }


async def read_local_status(system: System) -> LocalStatus:
    """Ask supervisord, every process, Kafka, and of a cluster Cassandra's nodes. Never raises: what is missing is in the status."""
    settings = read_settings(**system.settings)
    processes, kafka, copies = await asyncio.gather(
        _processes(system), read_status(KafkaLogView(settings)), read_copies(settings)
    )
    return LocalStatus(tuple(processes), kafka, system.settings.get("cache", "none"), copies)


async def _processes(system: System) -> Sequence[ProcessStatus]:
    try:
        states = await asyncio.to_thread(Supervisor(system.supervisor).processes)
    except FanfoldError:
        states = {}
    return await asyncio.gather(
        *(_process(process, states.get(process.name)) for process in system.processes)
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


def print_local_status(status: LocalStatus, console: Console) -> None:
    """Print it. The last line is the verdict; for a system that is down it is the only line."""
    if not status.up:
        console.print("Fanfold is not up: `make up` starts it.")
        return
    console.print(_table(status.processes), "")
    if CACHE not in (process.name for process in status.processes):
        console.print(f"shared cache            {status.cache}", markup=False)
    print_work(status.kafka, console)
    print_copies(status.copies, console)
    print_verdict(console, healthy=status.healthy)


def _table(processes: Sequence[ProcessStatus]) -> Table:
    table = a_table("process", "state", "health", "pid", "up for", "log")
    for process in processes:
        health = process.readiness
        table.add_row(
            process.name,
            process.state.lower(),
            health if health == READY else f"[red]{health}[/red]",
            str(process.pid or ""),
            "" if process.uptime_s is None else str(timedelta(seconds=process.uptime_s)),
            relative(Path(process.log)),
        )
    return table


def relative(path: Path) -> str:
    """The path from the current directory, if it is below it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def show(home: Path, *, as_json: bool) -> ExitCode:
    """Print the status of the system in `home`; without one, what Kafka knows. Raises `Fault` if its description can't be read."""
    system = read_system(home)
    if system is None:
        return show_status(home, as_json=as_json)
    # The report says what does not answer; the drivers would log it as well.
    logging.disable()
    # SupervisorTransport sets no timeout of its own.
    socket.setdefaulttimeout(SUPERVISOR_ANSWERS_S)
    status = asyncio.run(read_local_status(system))
    if as_json:
        sys.stdout.write(json.dumps(status.as_json(), indent=2) + "\n")
    else:
        print_local_status(status, Console(highlight=False))
    return ExitCode.DONE if status.healthy else ExitCode.FAILED


def main() -> None:
    parser = OneLineParser(prog="make status", description=__doc__)
    parser.add_argument("--data", default=".fanfold", help="the directory given to `make up`")
    parser.add_argument("--json", action="store_true", help="print JSON for a program")
    arguments = parser.parse_args()
    try:
        sys.exit(show(Path(arguments.data).absolute(), as_json=arguments.json))
    except FanfoldError as error:
        sys.exit(f"make status: {error}")


if __name__ == "__main__":
    main()
