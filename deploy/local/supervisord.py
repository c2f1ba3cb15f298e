"""supervisord's configuration for a plan, and its start."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

from deploy.local.commands import command, environment
from deploy.local.plan import GATEWAY, KAFKA, ROOT, Plan, kind_of
from deploy.local.supervisor import Supervisor
from fanfold.core.errors import Fault

_START_S = 10.0
_POLL_S = 0.05
# supervisord's format can't escape these in a value.
_UNWRITABLE = ('"', "'", "\\", "\n", " ;", " #")

_HEAD = """\
[supervisord]
logfile={log}
pidfile={home}/supervisord.pid
childlogdir={home}/logs
loglevel=warn

[unix_http_server]
file={socket}
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""
# Restarted after any exit, without a limit: `startretries` counts only exits in the first second, and supervisord pauses a
# little longer after each. Processes are stopped in reverse order of priority.
_PROGRAM = """
[program:{name}]
command={command}
environment={environment}
priority={priority}
autostart={autostart}
autorestart=true
startsecs=1
startretries=1000000
stopwaitsecs={stop_s}
stdout_logfile={log}
stdout_logfile_maxbytes=20MB
stdout_logfile_backups=2
redirect_stderr=true
"""


def write_configuration(plan: Plan) -> Path:
    """Write supervisord's configuration and everything that it names; idempotent. Raises `Fault`."""
    for path in (plan.home, ROOT):
        refuse_unwritable(path)
    for directory in (plan.home, plan.configuration, plan.data, plan.home / "logs"):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = plan.configuration / "supervisord.conf"
    path.write_text(configuration(plan, dies_with_its_parent()))
    return path


def configuration(plan: Plan, prefix: list[str]) -> str:
    """The text of the file; `prefix` goes before each command."""
    head = _HEAD.format(
        log=_escaped(str(plan.log("supervisord"))),
        home=_escaped(str(plan.home)),
        socket=_escaped(str(plan.socket)),
    )
    return head + "".join(_program(plan, name, prefix) for name in plan.names)


def refuse_unwritable(path: Path) -> None:
    """Raise `Fault` for a directory whose name can't be written in supervisord's configuration."""
    found = [text for text in _UNWRITABLE if text in str(path)]
    if found:
        raise Fault(f"{path}: supervisord can't use a directory with {found} in its name")


def dies_with_its_parent() -> list[str]:
    """The prefix that ends a process when supervisord ends, if the system has one: nothing would restart the process any more."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return []
    help_text = subprocess.run(  # noqa: S603 - no text from outside
        [setpriv, "--help"], capture_output=True, text=True, check=False
    )
    return [setpriv, "--pdeathsig", "KILL"] if "--pdeathsig" in help_text.stdout else []


def start_supervisord(plan: Plan, configured: Path) -> Supervisor:
    """Start it as a daemon. Returns when it answers; raises `Fault` if it doesn't."""
    settings = {
        f"FANFOLD_{name.upper()}": str(value) for name, value in plan.system().settings.items()
    }
    started = subprocess.run(  # noqa: S603 - no text from outside
        [sys.executable, "-m", "supervisor.supervisord", "-c", str(configured)],
        cwd=plan.home,
        env={**os.environ, **settings, "FANFOLD_HOST": "127.0.0.1"},  # noqa: TID251 - passed on
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    supervisor = Supervisor(str(plan.socket))
    deadline = time.monotonic() + _START_S
    while not supervisor.alive():
        if started.returncode or time.monotonic() > deadline:
            raise Fault(f"supervisord did not start: {started.stderr or plan.log('supervisord')}")
        time.sleep(_POLL_S)
    return supervisor


def _program(plan: Plan, name: str, prefix: list[str]) -> str:
    # `make up` starts the services, after it has made their tables and topics, and the engines of a cluster by turns.
    engine = name in plan.engines
    variables = ",".join(f'{key}="{value}"' for key, value in environment(plan, name).items())
    return _PROGRAM.format(
        name=name,
        command=_escaped(shlex.join([*prefix, *command(plan, name)])),
        environment=variables,
        priority=10 if engine else 30 if name == GATEWAY else 20,
        autostart="true" if engine and plan.nodes == 1 else "false",
        stop_s=_stop_s(plan, name),
        log=_escaped(str(plan.log(name))),
    )


def _stop_s(plan: Plan, name: str) -> int:
    """How long a process may take to stop before it is killed."""
    if name not in plan.engines:
        return 30
    # The last of three brokers would wait for minutes for the leave of a controller that is gone. It loses nothing: `min.insync.replicas`.
    return 60 if plan.nodes == 1 or kind_of(name) != KAFKA else 15


def _escaped(text: str) -> str:
    return text.replace("%", "%%")
