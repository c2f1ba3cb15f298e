"""supervisord, as it is spoken to: XML-RPC over its Unix socket."""

from __future__ import annotations

import http.client
import socket
import time
import xmlrpc.client
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

from fanfold.core.errors import Fault, Unavailable

_ANSWER_S = 10.0
_LOOK_AGAIN_S = 0.1
NOT_RUNNING = 70
"""supervisor's fault code for stopping what isn't running."""
ALREADY_STARTED = 60
"""And for starting what is."""


@dataclass(frozen=True, slots=True)
class ProcessState:
    """What supervisord says of a process. `state` is RUNNING, STARTING, BACKOFF, STOPPED, EXITED or the like."""

    name: str
    state: str
    pid: int | None
    uptime_s: int | None

    @property
    def running(self) -> bool:
        return self.state == "RUNNING"


class Changes(NamedTuple):
    """Names of processes, of which each is a group of its own."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]


class Supervisor:
    """One supervisord. Every call raises `Unavailable` when it isn't there."""

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
        """Every process that it keeps, by name."""
        return {info["name"]: _state(info) for info in self._call("getAllProcessInfo")}

    def start(self, name: str) -> None:
        """Start it and return at once. Idempotent."""
        self._call("startProcess", name, False, expected=ALREADY_STARTED)

    def stop(self, name: str) -> None:
        """Ask it to stop and return at once; what does not stop in its time is killed. Idempotent."""
        self._call("stopProcess", name, False, expected=NOT_RUNNING)

    def shut_down(self) -> None:
        """Stop what still runs, and supervisord itself. Returns before that is done."""
        self._call("shutdown")

    def changes(self) -> Changes:
        """What its configuration has anew, has otherwise, and has no more; nothing is done about it."""
        ((added, changed, removed),) = self._call("reloadConfig")
        return Changes(tuple(added), tuple(changed), tuple(removed))

    def add(self, name: str) -> None:
        """Keep a process that the configuration has anew."""
        self._call("addProcessGroup", name)

    def remove(self, name: str) -> None:
        """Forget a process, which must have stopped."""
        self._call("removeProcessGroup", name)

    def wait_stopped(self, names: Collection[str], *, within_s: float) -> None:
        """Return when none of them runs; `Fault` if one still does."""
        deadline = time.monotonic() + within_s
        while still := [
            name for name, each in self.processes().items() if name in names and each.pid
        ]:
            if time.monotonic() > deadline:
                raise Fault(f"still running after {within_s:.0f} s: {', '.join(still)}")
            time.sleep(_LOOK_AGAIN_S)

    def _call(self, method: str, *arguments: object, expected: int | None = None) -> Any:
        # A connection a call: a restarted supervisord is found again.
        proxy = xmlrpc.client.ServerProxy("http://supervisor", transport=_UnixTransport(self._path))
        try:
            with proxy:
                return getattr(proxy.supervisor, method)(*arguments)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode == expected:
                return None
            raise Fault(f"supervisord refused {method}{arguments}: {fault.faultString}") from fault
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(f"supervisord does not answer at {self._path}") from error


def _state(info: dict[str, Any]) -> ProcessState:
    running = bool(info["pid"])
    return ProcessState(
        info["name"],
        info["statename"],
        info["pid"] if running else None,
        info["now"] - info["start"] if running else None,
    )


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("supervisor", timeout=_ANSWER_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        made = _UnixConnection(self._path)
        # Where `close` looks for it.
        self._connection = host, made
        return made
