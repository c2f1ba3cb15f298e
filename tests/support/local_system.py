"""The system of `make up`, in a directory and on ports of its own."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from deploy.local.one_at_a_time import STOPPED_S
from deploy.local.plan import PORTS_OF_A_PLAN, ROOT, Plan, find_cache_server
from deploy.local.readiness import readiness_of
from deploy.local.supervisor import ProcessState, Supervisor
from deploy.local.up import is_free
from fanfold.http.ask import READY
from fanfold.http.identity.development import DevelopmentIssuer
from tests.support.jars import nodetool
from tests.support.kafka_quorum import controller_by

# Below the ports that Linux hands to outgoing connections.
_FIRST_PORTS = range(15_000, 32_000)


@dataclass(frozen=True)
class LocalSystem:
    """The commands that a person types, and ways to make it fail."""

    plan: Plan
    environment: Mapping[str, str] = field(default_factory=dict)
    """Further variables for `make up`."""

    def up(self) -> str:
        """`make up`. Returns what it printed."""
        return _printed(
            "deploy.local.up",
            f"--data={self.plan.home}",
            f"--port={self.plan.gateway_port}",
            f"--ports={self.plan.first_port}",
            f"--workers={self.plan.workers}",
            f"--nodes={self.plan.nodes}",
            **self.environment,
        )

    def down(self) -> str:
        """`make down`. Returns what it printed."""
        return _printed("deploy.local.down", f"--data={self.plan.home}")

    def status(self) -> dict[str, Any]:
        """What `make status` finds."""
        shown = subprocess.run(
            [sys.executable, "-m", "deploy.local.status", "--json", f"--data={self.plan.home}"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        found: dict[str, Any] = json.loads(shown.stdout)
        assert shown.returncode == (0 if found["healthy"] else 1)
        return found

    def is_idle(self) -> bool:
        """Whether it is healthy, and no worker has anything left to do."""
        found = self.status()
        return bool(found["healthy"] and found["work"]["lag"] == 0)

    def token(self, user_id: str, **given: Any) -> str:
        """`fanfold token`, without a process of its own."""
        wanted: dict[str, Any] = {
            "scopes": ("fanfold:read", "fanfold:write"),
            "audience": "fanfold",
            "now_s": int(time.time()),
            "lifetime_s": 3600,
        }
        return DevelopmentIssuer(self.plan.development_key).token(user_id, **{**wanted, **given})

    def processes(self) -> dict[str, ProcessState]:
        return Supervisor(str(self.plan.socket)).processes()

    def kill(self, name: str) -> int:
        """SIGKILL. Returns the pid that it had."""
        pid = self.processes()[name].pid
        assert pid is not None, f"{name} is not running"
        os.kill(pid, signal.SIGKILL)
        return pid

    def freeze(self, name: str) -> int:
        """SIGSTOP: it keeps its connections, and answers nothing. Returns its pid, for `SIGCONT`."""
        pid = self.processes()[name].pid
        assert pid is not None, f"{name} is not running"
        os.kill(pid, signal.SIGSTOP)
        return pid

    def lose_disk(self, name: str) -> int:
        """Its data are gone, and then it is killed; supervisord starts it again, with nothing. Returns the pid that it had."""
        pid = self.freeze(name)
        shutil.rmtree(self.plan.data_of(name))
        os.kill(pid, signal.SIGKILL)
        return pid

    def nodetool(self, name: str, *words: str) -> str:
        """What `nodetool` of this Cassandra node says. Raises `CalledProcessError` where it fails."""
        return nodetool(self.plan.nodetool_port(name), *words)

    def controller(self) -> str:
        """The broker that is the active controller."""
        broker = self.plan.brokers[0]
        number = controller_by(self.plan.host(broker), self.plan.port(broker))
        return self.plan.brokers[number - 1]

    def stop(self, *names: str) -> None:
        """SIGTERM. Return when they have stopped; nothing starts them again but `start`."""
        supervisor = Supervisor(str(self.plan.socket))
        for name in names:
            supervisor.stop(name)
        supervisor.wait_stopped(names, within_s=STOPPED_S)

    def start(self, *names: str) -> None:
        """Return at once."""
        supervisor = Supervisor(str(self.plan.socket))
        for name in names:
            supervisor.start(name)

    def change(self, name: str, **variables: str) -> str:
        """Give a process that is stopped further environment variables; `start` starts it with them. Returns what undoes it: see `configure`."""
        configured = self._configuration.read_text()
        before, head, section = configured.partition(f"[program:{name}]\n")
        start, line, rest = section.partition("\nenvironment=")
        kept, end, rest = rest.partition("\n")
        given = [f'{key}="{value}"' for key, value in variables.items()]
        line += ",".join([kept, *given] if kept else given)
        self.configure(name, f"{before}{head}{start}{line}{end}{rest}")
        return configured

    def configure(self, name: str, configured: str) -> None:
        """Make this the text of supervisord's configuration. Only this process may be described differently, and it must have stopped."""
        self._configuration.write_text(configured)
        supervisor = Supervisor(str(self.plan.socket))
        assert name in supervisor.changes().changed
        supervisor.remove(name)
        supervisor.add(name)

    @property
    def _configuration(self) -> Path:
        return self.plan.configuration / "supervisord.conf"

    def is_back(self, name: str, *, instead_of: int) -> bool:
        """Whether it runs under another pid and is ready."""
        return self.processes()[name].pid != instead_of and self.is_ready(name)

    def is_ready(self, name: str) -> bool:
        """Whether it runs and says that it is ready."""
        ready = self.plan.system().process(name).ready
        return self.processes()[name].running and readiness_of(ready) == READY

    def left(self) -> list[str]:
        """The command lines of its processes that are alive: all name its directory or its broker."""
        mine = (str(self.plan.home), str(self.plan.system().settings["kafka_bootstrap"]))
        return [
            text
            for process in psutil.process_iter()
            if process.pid != os.getpid()
            and any(mark in (text := _described(process)) for mark in mine)
        ]


def a_local_system(home: Path, *, workers: int, nodes: int = 1, **environment: str) -> LocalSystem:
    """Not started yet."""
    while True:
        first = secrets.choice(_FIRST_PORTS)
        gateway = first + PORTS_OF_A_PLAN + 1
        plan = Plan(home, gateway, first, workers, find_cache_server(), nodes=nodes)
        if all(is_free(port, host) for port in plan.ports.values() for host in plan.hosts):
            return LocalSystem(plan, environment)


def _described(process: psutil.Process) -> str:
    try:
        environment = " ".join(f"{key}={value}" for key, value in process.environ().items())
        return f"{' '.join(process.cmdline())} {environment}"
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return ""


def _printed(module: str, *arguments: str, **variables: str) -> str:
    started_s = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        # Read by every `java`: here engines start more often than they work, and this halves a start.
        env={**os.environ, "JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1", **variables},  # noqa: TID251 - passed on
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    print(f"{module}: {time.monotonic() - started_s:.1f} s\n{done.stdout}")
    return done.stdout
