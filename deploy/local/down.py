"""`make down`: stops everything in order, the gateway first and the engines last. The data stays."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from deploy.local.arguments import OneLineParser
from deploy.local.one_at_a_time import STOPPED_S, console, run_alone
from deploy.local.plan import CACHE, CACHE_REPLICA, CASSANDRA, GATEWAY, KAFKA, kind_of
from deploy.local.supervisor import Supervisor
from deploy.local.system import read_system
from fanfold.core.errors import Fault

_POLL_S = 0.1
_ENGINES = (KAFKA, CASSANDRA, CACHE, CACHE_REPLICA)


def down(home: Path) -> None:
    """Return when nothing runs any more; idempotent. Raises `Fault` if a process does not stop."""
    system = read_system(home)
    supervisor = Supervisor(system.supervisor) if system else None
    if supervisor is None or not supervisor.alive():
        console.print("Fanfold is not up.")
        return
    started_s = time.monotonic()
    processes = supervisor.processes()
    pids = [supervisor.pid(), *(state.pid for state in processes.values() if state.pid)]
    engines = [name for name in processes if kind_of(name) in _ENGINES]
    services = [name for name in processes if name not in (*engines, GATEWAY)]
    # Clients stop before what they call: the gateway, then the services, then the engines.
    for names in ([GATEWAY], services, engines):
        _stop(supervisor, [name for name in names if name in processes])
    supervisor.shut_down()
    _wait_until_gone(pids)
    console.print(f"Fanfold is down after {time.monotonic() - started_s:.0f} s; its data stays.")


def _stop(supervisor: Supervisor, names: Sequence[str]) -> None:
    for name in names:
        supervisor.stop(name)
    supervisor.wait_stopped(names, within_s=STOPPED_S)
    for name in names:
        console.print(f"  stopped {name}")


def _wait_until_gone(pids: Collection[int]) -> None:
    deadline = time.monotonic() + STOPPED_S
    while left := [pid for pid in pids if _runs(pid)]:
        if time.monotonic() > deadline:
            raise Fault(f"still running after {STOPPED_S:.0f} s: {left}")
        time.sleep(_POLL_S)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def main() -> None:
    parser = OneLineParser(prog="make down", description=__doc__)
    parser.add_argument("--data", default=".fanfold", help="the directory given to `make up`")
    home = Path(parser.parse_args().data).absolute()
    run_alone(home, lambda: down(home), "make down", interrupted="`make down` again goes on.")


if __name__ == "__main__":
    main()
