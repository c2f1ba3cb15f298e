"""supervisord's XML-RPC, over its Unix socket."""

from __future__ import annotations

import http.client
import time
import xmlrpc.client
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

from supervisor.xmlrpc import Faults, SupervisorTransport

from fanfold.core.errors import Fault, Unavailable

_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class ProcessState:
    """What supervisord says about a process. `state` is RUNNING, STARTING, BACKOFF, STOPPED, EXITED or the like."""

    name: str
    state: str
    pid: int | None
    uptime_s: int | None

    @property
    def running(self) -> bool:
        return self.state == "RUNNING"


class Changes(NamedTuple):
    """Names of processes; each process is a group of its own."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]


class Supervisor:
    """One supervisord. Every call raises `Unavailable` if it does not answer."""

    def __init__(self, path: str) -> None:
        self._path = path

    def pid(self) -> int:
        return int(self._call("getPID"))

    def alive(self) -> bool:
        """Whether it answers."""
        try:
            self.pid()
        except Unavailable:
            return False
        return True

    def processes(self) -> dict[str, ProcessState]:
        """Every process that it supervises, by name."""
        return {info["name"]: _state(info) for info in self._call("getAllProcessInfo")}

    def start(self, name: str) -> None:
        """Start a process and return at once. Idempotent."""
        self._call("startProcess", name, False, expected=Faults.ALREADY_STARTED)

    def stop(self, name: str) -> None:
        """Ask a process to stop and return at once; supervisord kills it after its `stopwaitsecs`. Idempotent."""
        self._call("stopProcess", name, False, expected=Faults.NOT_RUNNING)

    def shut_down(self) -> None:
        """Stop all processes and supervisord itself. Returns before that is done."""
        self._call("shutdown")

    def changes(self) -> Changes:
        """What is new, changed or gone in its configuration file. Applies nothing."""
        ((added, changed, removed),) = self._call("reloadConfig")
        return Changes(tuple(added), tuple(changed), tuple(removed))

    def add(self, name: str) -> None:
        """Start to supervise a process that is new in the configuration."""
        self._call("addProcessGroup", name)

    def remove(self, name: str) -> None:
        """Forget a process, which must have stopped."""
        self._call("removeProcessGroup", name)

    def wait_stopped(self, names: Collection[str], *, within_s: float) -> None:
        """Return when none of them runs; `Fault` if one still does after that long."""
        deadline = time.monotonic() + within_s
        while still := [
            name for name, state in self.processes().items() if name in names and state.pid
        ]:
            if time.monotonic() > deadline:
                raise Fault(f"still running after {within_s:.0f} s: {', '.join(still)}")
            time.sleep(_POLL_S)

    def _call(self, method: str, *arguments: object, expected: int | None = None) -> Any:
        # A connection for each call: it also finds a supervisord that was restarted.
        transport = SupervisorTransport(serverurl=f"unix://{self._path}")
        try:
            with xmlrpc.client.ServerProxy("http://supervisor", transport=transport) as proxy:
                return getattr(proxy.supervisor, method)(*arguments)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode == expected:
                return None
            raise Fault(f"supervisord refused {method}{arguments}: {fault.faultString}") from fault
        except (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError) as error:
            raise Unavailable(f"supervisord does not answer at {self._path}") from error


def _state(info: dict[str, Any]) -> ProcessState:
    running = bool(info["pid"])
    return ProcessState(
        info["name"],
        info["statename"],
        info["pid"] if running else None,
        info["now"] - info["start"] if running else None,
    )
