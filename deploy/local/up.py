"""`make up`: starts the real system on this machine, supervised by supervisord. Safe to repeat and to interrupt."""

from __future__ import annotations

import argparse
import asyncio
import socket
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.table import Table

from deploy.local.arguments import OneLineParser, Port
from deploy.local.data_format import check_data_format, nodes_of
from deploy.local.one_at_a_time import STOPPED_S, console, run_alone
from deploy.local.plan import (
    CACHE,
    CACHE_SERVERS,
    DEFAULT_FIRST_PORT,
    MOST_WORKERS,
    NODES,
    PORTS_OF_A_PLAN,
    Plan,
    find_cache_server,
)
from deploy.local.readiness import readiness_of
from deploy.local.status import relative
from deploy.local.supervisor import Supervisor
from deploy.local.supervisord import start_supervisord, write_configuration
from deploy.local.system import System, read_system, write_system
from fanfold.adapters.cassandra.migrate import migrate, record_partitions
from fanfold.adapters.kafka.admin import apply_topics, partition_counts
from fanfold.core.clock import SystemClock
from fanfold.core.errors import Fault
from fanfold.core.read_settings import read_settings
from fanfold.core.retry import Backoff, retry
from fanfold.core.settings import Settings
from fanfold.http.ask import READY
from fanfold.http.identity.development import create_key
from fanfold.http.identity.open_identity import check_identity

_READY_S = 120.0
"""For one node's share of the processes that are waited for."""
_SAY_EVERY_S = 15.0
_POLL_S = 0.1


def up(wanted: Plan) -> None:
    """Start the system, or what is missing of it. Raises `Fault`, and changes nothing that runs, if the plan can't be met."""
    started_s = time.monotonic()
    check_data_format(wanted)
    # Before anything starts: the services would exit again and again for a wrong setting.
    settings = read_settings(**wanted.system().settings)
    check_identity(settings)
    if wanted.development_issuer:
        create_key(wanted.development_key)
    supervisor = Supervisor(str(wanted.socket))
    if supervisor.alive():
        _refuse_other_ports(wanted)
        processes = supervisor.processes()
        running = {name for name, state in processes.items() if state.running}
        if CACHE not in processes:
            # The services that run were started without it.
            wanted = replace(wanted, cache_server=None)
        write_configuration(wanted)
        _apply_changes(supervisor)
    else:
        refuse_taken_ports(wanted)
        running = set()
        supervisor = start_supervisord(wanted, write_configuration(wanted))
    system = wanted.system()
    write_system(wanted.home, system)
    console.print(f"The page: {system.gateway} (when all are ready)")
    if wanted.nodes > 1:
        console.print(
            f"{wanted.nodes} brokers and {wanted.nodes} Cassandra nodes, at {', '.join(wanted.hosts)}: about 6 GB of memory, and on two cores about two minutes."
        )
    for engines in wanted.engines_by_turn:
        for engine in engines:
            supervisor.start(engine)
        _wait(system, engines, started_s, within_s=wanted.nodes * _READY_S)
    asyncio.run(_prepare(settings))
    _say("tables and topics are there", started_s)
    for service in wanted.services:
        supervisor.start(service)
    _wait(system, wanted.services, started_s, within_s=wanted.nodes * _READY_S)
    if running == set(wanted.names):
        console.print("Fanfold is up already.")
    else:
        console.print(f"Fanfold is up after {time.monotonic() - started_s:.0f} s.")
    console.print(where(wanted, system))


def _refuse_other_ports(wanted: Plan) -> None:
    running = read_system(wanted.home)
    if running is not None and running.processes[0].ready != wanted.system().processes[0].ready:
        raise Fault("it runs on other ports: `make down` first")
    if running is not None and running.gateway != wanted.system().gateway:
        raise Fault(f"it runs at {running.gateway}: `make down` first")


def _apply_changes(supervisor: Supervisor) -> None:
    """Start or stop workers. A changed command takes effect after the next `make down`."""
    changes = supervisor.changes()
    for name in changes.removed:
        supervisor.stop(name)
    supervisor.wait_stopped(changes.removed, within_s=STOPPED_S)
    for name in changes.removed:
        supervisor.remove(name)
        console.print(f"  stopped {name}")
    for name in changes.added:
        supervisor.add(name)


def refuse_taken_ports(plan: Plan) -> None:
    if plan.gateway_port - plan.first_port in range(PORTS_OF_A_PLAN + 1):
        raise Fault(
            f"port {plan.gateway_port} lies in the block from {plan.first_port}, which is for what is behind the gateway; "
            "choose another: make up PORT=8080, or PORTS=19100"
        )
    _refuse_missing_hosts(plan)
    taken = {
        name: port
        for name, port in plan.ports.items()
        if not all(is_free(port, host) for host in plan.hosts)
    }
    if "gateway" in taken:
        raise Fault(f"port {plan.gateway_port} is taken; choose another: make up PORT=8081")
    if taken:
        listed = ", ".join(f"{port} ({name})" for name, port in taken.items())
        raise Fault(f"ports are taken: {listed}; choose another block: make up PORTS=19100")


def _refuse_missing_hosts(plan: Plan) -> None:
    """Linux has all of 127.0.0.0/8; other systems have the first of them."""
    missing = [host for host in plan.hosts if not is_free(0, host)]
    if missing:
        aliases = "; ".join(f"sudo ifconfig lo0 alias {host}" for host in missing)
        raise Fault(
            f"this machine has no address {', '.join(missing)}, and NODES={plan.nodes} needs one for each node; on macOS: {aliases}"
        )


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there; of port 0, whether this machine has the address."""
    with socket.socket() as listener:
        # As servers do: a connection that was closed just now does not count.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError:
            return False
    return True


def _wait(system: System, names: Sequence[str], started_s: float, *, within_s: float) -> None:
    """Return when all of them are ready; print each as it becomes ready."""
    deadline = time.monotonic() + within_s
    say_at = time.monotonic() + _SAY_EVERY_S
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
            raise Fault(f"not ready within {within_s:.0f} s: {why}")
        if waiting and time.monotonic() > say_at:
            say_at += _SAY_EVERY_S
            _say(
                f"still waiting for {waiting[0]}; log: {system.process(waiting[0]).log}", started_s
            )
        time.sleep(_POLL_S if waiting else 0)


async def _prepare(settings: Settings) -> None:
    """Create tables and topics, as the operator's two commands do. Retries: the engines have only just started."""

    async def attempt() -> None:
        await asyncio.gather(migrate(settings), apply_topics(settings))
        await record_partitions(settings, await partition_counts(settings))

    await retry(
        attempt,
        backoff=Backoff(first_s=_POLL_S, longest_s=_POLL_S),
        clock=SystemClock(),
        budget_s=_READY_S,
    )


def _say(what: str, started_s: float) -> None:
    console.print(f"  {time.monotonic() - started_s:5.1f} s  {what}")


def where(plan: Plan, system: System) -> Table:
    """What runs, and how to reach it."""
    table = Table(box=None, pad_edge=False)
    for heading in ("what", "where", "log"):
        table.add_column(heading, overflow="fold")
    table.add_row("the page, and the API", system.gateway, "")
    table.add_row("its description", f"{system.gateway}/docs", "")
    elsewhere = "" if plan.home == Path.cwd() / ".fanfold" else f" --data {relative(plan.home)}"
    table.add_row("events, for a consumer", f"Kafka at {system.settings['kafka_bootstrap']}", "")
    table.add_row("events, to look at", f".venv/bin/fanfold events tail{elsewhere}", "")
    if plan.development_issuer:
        table.add_row("a token for it", f".venv/bin/fanfold token alice{elsewhere}", "")
    for process in system.processes:
        url = process.ready.removesuffix("/readyz").removesuffix("/ready")
        table.add_row(process.name, url, relative(Path(process.log)))
    if plan.cache_server is None:
        table.add_row(CACHE, plan.cache, "")
    table.add_row("data", relative(plan.data), "")
    return table


def _plan(home: Path, arguments: argparse.Namespace) -> Plan:
    running = read_system(home)
    nodes = arguments.nodes or nodes_of(home) or 1
    workers = arguments.workers or (
        len([process for process in running.processes if process.name.startswith("fanout-")])
        if running
        else min(nodes, 2)
    )
    plan = Plan(home, arguments.port, arguments.ports, workers, nodes=nodes)
    return with_identity(with_cache(plan))


def with_identity(plan: Plan) -> Plan:
    """The plan with the issuer of tokens that the environment names, else with the development issuer; `FANFOLD_AUTH=header` has none."""
    given = read_settings()
    named = {"jwt_issuer", "jwt_jwks_url", "jwt_development_key"} & given.model_fields_set
    header = "auth" in given.model_fields_set and given.auth == "header"
    return replace(plan, development_issuer=not named and not header)


def with_cache(plan: Plan) -> Plan:
    """The plan with the shared cache that the environment names, else with a server for it, if one is installed."""
    given = read_settings()
    if "cache" in given.model_fields_set:
        return replace(plan, cache=given.cache)
    server = find_cache_server()
    if server is None:
        servers = " or ".join(CACHE_SERVERS)
        console.print(
            f"Without the shared cache, because no {servers} is installed. On Debian and Ubuntu: sudo apt-get install redis-server."
        )
    return replace(plan, cache_server=server)


def _arguments() -> argparse.Namespace:
    parser = OneLineParser(prog="make up", description=__doc__)
    parser.add_argument(
        "--data", default=".fanfold", help="the directory of data, logs and configuration"
    )
    parser.add_argument("--port", type=Port(), default=8080, help="the gateway's port")
    parser.add_argument(
        "--ports",
        type=Port(more=PORTS_OF_A_PLAN),
        default=DEFAULT_FIRST_PORT,
        help="the first port of the block for everything else",
    )
    parser.add_argument(
        "--workers",
        type=int,
        choices=range(1, MOST_WORKERS + 1),
        metavar=f"1-{MOST_WORKERS}",
        help="fan-out workers; default: as many as the last time; the first time 1, or 2 in a cluster",
    )
    parser.add_argument(
        "--nodes",
        type=int,
        choices=NODES,
        help="brokers, and Cassandra nodes; default: as many as the data was made for; the first time 1",
    )
    return parser.parse_args()


def main() -> None:
    arguments = _arguments()
    home = Path(arguments.data).absolute()
    run_alone(
        home,
        lambda: up(_plan(home, arguments)),
        "make up",
        interrupted="what was started keeps running: `make up` again, or `make down`.",
    )


if __name__ == "__main__":
    main()
