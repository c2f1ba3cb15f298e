"""`make up`: the real system on this machine, kept running by supervisord. Safe to repeat, and to interrupt."""

from __future__ import annotations

import argparse
import asyncio
import socket
import time
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from deploy.local.one_at_a_time import STOPPED_S, console, in_one_go
from deploy.local.plan import DEFAULT_FIRST_PORT, ENGINES, MOST_WORKERS, Plan
from deploy.local.supervisord import start_supervisord, write_configuration
from fanfold.adapters.cassandra.migrate import migrate, record_partitions
from fanfold.adapters.kafka.admin import apply_topics, partition_counts
from fanfold.core.errors import Fault, Unavailable
from fanfold.core.settings import Settings
from fanfold.ops.probes import READY, readiness_of
from fanfold.ops.supervisor import Supervisor
from fanfold.ops.system import System, read_system, write_system

_READY_S = 120.0
_PATIENT_S = 15.0
_LOOK_AGAIN_S = 0.1


def up(wanted: Plan) -> None:
    """Bring it up, or up again. Raises `Fault` and leaves what runs as it is where the plan can't be met."""
    started_s = time.monotonic()
    supervisor = Supervisor(str(wanted.socket))
    if supervisor.alive():
        _refuse_to_move(wanted)
        before = {name for name, each in supervisor.processes().items() if each.running}
        write_configuration(wanted)
        _take_up_changes(supervisor)
    else:
        _refuse_taken_ports(wanted)
        before = set()
        supervisor = start_supervisord(wanted, write_configuration(wanted))
    system = wanted.system()
    write_system(wanted.home, system)
    for engine in ENGINES:
        supervisor.start(engine)
    _wait(system, ENGINES, started_s)
    asyncio.run(_prepare(Settings(**system.settings)))
    _say("tables and topics are there", started_s)
    for service in wanted.services:
        supervisor.start(service)
    _wait(system, wanted.services, started_s)
    if before == set(wanted.names):
        console.print("Fanfold is up already.")
    else:
        console.print(f"Fanfold is up after {time.monotonic() - started_s:.0f} s.")
    console.print(_where(wanted, system))


def _refuse_to_move(wanted: Plan) -> None:
    running = read_system(wanted.home)
    if running is not None and running.processes[0].ready != wanted.system().processes[0].ready:
        raise Fault("it is up on other ports: `make down` first")
    if running is not None and running.gateway != wanted.system().gateway:
        raise Fault(f"it is up at {running.gateway}: `make down` first")


def _take_up_changes(supervisor: Supervisor) -> None:
    """More workers or fewer. A changed command is taken up after the next `make down`."""
    changes = supervisor.changes()
    for name in changes.removed:
        supervisor.stop(name)
    supervisor.wait_stopped(changes.removed, within_s=STOPPED_S)
    for name in changes.removed:
        supervisor.remove(name)
        console.print(f"  stopped {name}")
    for name in changes.added:
        supervisor.add(name)


def _refuse_taken_ports(plan: Plan) -> None:
    taken = {of: port for of, port in plan.ports.items() if not is_free(port)}
    if "gateway" in taken:
        raise Fault(f"port {plan.gateway_port} is taken; choose another: make up PORT=8081")
    if taken:
        listed = ", ".join(f"{port} ({of})" for of, port in taken.items())
        raise Fault(f"ports are taken: {listed}; choose another block: make up PORTS=19100")


def is_free(port: int) -> bool:
    with socket.socket() as listener:
        # As servers do: a connection that has just ended is no obstacle.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _wait(system: System, names: Sequence[str], started_s: float) -> None:
    """Return when all of them are ready, telling of each."""
    deadline = time.monotonic() + _READY_S
    patient_until = time.monotonic() + _PATIENT_S
    waiting = list(names)
    while waiting:
        answers = {name: readiness_of(system.process(name).ready) for name in waiting}
        for name in [name for name in waiting if answers[name] == READY]:
            _say(f"{name} is ready", started_s)
            waiting.remove(name)
        if waiting and time.monotonic() > deadline:
            why = "; ".join(
                f"{name}: {answers[name]}, log: {system.process(name).log}" for name in waiting
            )
            raise Fault(f"not ready within {_READY_S:.0f} s: {why}")
        if waiting and time.monotonic() > patient_until:
            patient_until += _PATIENT_S
            _say(
                f"still waiting for {waiting[0]}; log: {system.process(waiting[0]).log}", started_s
            )
        time.sleep(_LOOK_AGAIN_S if waiting else 0)


async def _prepare(settings: Settings) -> None:
    """Tables and topics, as the operator's two commands make them; both engines have just begun to answer."""
    deadline = time.monotonic() + _READY_S
    while True:
        try:
            await asyncio.gather(migrate(settings), apply_topics(settings))
            return await record_partitions(settings, await partition_counts(settings))
        except Unavailable:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(_LOOK_AGAIN_S)


def _say(what: str, started_s: float) -> None:
    console.print(f"  {time.monotonic() - started_s:5.1f} s  {what}")


def _where(plan: Plan, system: System) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("what", "where", "log"):
        table.add_column(heading, overflow="fold")
    table.add_row("the API", system.gateway, "")
    table.add_row("its description", f"{system.gateway}/docs", "")
    for process in system.processes:
        at = process.ready.removesuffix("/readyz").removesuffix("/ready")
        table.add_row(process.name, at, _from_here(Path(process.log)))
    table.add_row("data", _from_here(plan.data), "")
    return table


def _from_here(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _plan(arguments: argparse.Namespace) -> Plan:
    home = Path(arguments.data).absolute()
    running = read_system(home)
    workers = arguments.workers or (
        len([each for each in running.processes if each.name.startswith("fanout-")])
        if running
        else 1
    )
    return Plan(home, arguments.port, arguments.ports, workers)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make up", description=__doc__)
    parser.add_argument("--data", default=".fanfold", help="what is kept: data, logs")
    parser.add_argument("--port", type=int, default=8080, help="the gateway's port")
    parser.add_argument("--ports", type=int, default=DEFAULT_FIRST_PORT, help="first of the others")
    parser.add_argument(
        "--workers",
        type=int,
        choices=range(1, MOST_WORKERS + 1),
        metavar=f"1-{MOST_WORKERS}",
        help="fan-out workers; without it as many as the last time, at first 1",
    )
    return parser.parse_args()


def main() -> None:
    arguments = _arguments()
    plan = _plan(arguments)
    in_one_go(
        plan.home,
        lambda: up(plan),
        "make up",
        interrupted="what was started goes on: `make up` again, or `make down`.",
    )


if __name__ == "__main__":
    main()
