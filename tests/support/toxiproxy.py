"""Connections that misbehave: Toxiproxy between two processes."""

from __future__ import annotations

import contextlib
import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil

from tests.support.probes import free_port, wait_until

PROGRAM = Path(__file__).parents[2] / ".cache" / "toxiproxy" / "server"
_STARTS_WITHIN_S = 20.0


@dataclass(frozen=True)
class Toxic:
    """One way to misbehave, as Toxiproxy names it. `stream` is `upstream`, from the client to the server, or `downstream`."""

    kind: str
    stream: str
    attributes: dict[str, int]


@dataclass(frozen=True)
class Toxiproxy:
    """Proxies by name; each begins as a plain connection."""

    admin: int
    pid: int

    def add(self, name: str, *, listen: str, upstream: str) -> None:
        """Lead connections to `listen` on to `upstream`, both `host:port`."""
        self._ask("POST", "/proxies", {"name": name, "listen": listen, "upstream": upstream})

    def remove(self, name: str) -> None:
        """Stop to listen, and close its connections."""
        self._ask("DELETE", f"/proxies/{quote(name)}", None)

    def cut(self, name: str) -> None:
        """Close its connections, and take no others."""
        self._ask("POST", f"/proxies/{quote(name)}", {"enabled": False})

    def poison(self, name: str, toxic: Toxic) -> None:
        self._ask(
            "POST",
            f"/proxies/{quote(name)}/toxics",
            {"type": toxic.kind, "stream": toxic.stream, "attributes": toxic.attributes},
        )

    def heal(self) -> None:
        """Make all proxies plain connections again."""
        self._ask("POST", "/reset", None)

    def clients(self, listen: str) -> int:
        """The connections to the proxy that listens there."""
        connections = psutil.Process(self.pid).net_connections("tcp4")
        return sum(
            f"{c.laddr.ip}:{c.laddr.port}" == listen
            for c in connections
            if c.status == psutil.CONN_ESTABLISHED
        )

    def answers(self) -> bool:
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            self._ask("GET", "/version", None)
            return True
        return False

    def _ask(self, method: str, path: str, body: Any) -> None:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.admin}{path}",
            data=None if body is None else json.dumps(body).encode(),
            method=method,
        )
        with urllib.request.urlopen(request, timeout=10):
            pass


@contextlib.contextmanager
def running_toxiproxy() -> Iterator[Toxiproxy]:
    """Without proxies at first."""
    admin = free_port()
    with subprocess.Popen(
        [str(PROGRAM), "-host", "127.0.0.1", "-port", str(admin)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        proxy = Toxiproxy(admin, process.pid)
        try:
            assert wait_until(
                proxy.answers, within_s=_STARTS_WITHIN_S, gone=lambda: process.poll() is not None
            )
            yield proxy
        finally:
            process.kill()
