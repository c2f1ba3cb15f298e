"""Connections that misbehave: Toxiproxy between a process and an engine."""

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

from tests.support.jars import KafkaFromJars
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

    def add(self, name: str, *, listen: int, upstream: int) -> None:
        """Lead connections to `listen` on to `upstream`, both ports of this machine."""
        self._ask(
            "POST",
            "/proxies",
            {"name": name, "listen": f"127.0.0.1:{listen}", "upstream": f"127.0.0.1:{upstream}"},
        )

    def cut(self, name: str) -> None:
        """Close its connections, and take no others."""
        self._ask("POST", f"/proxies/{name}", {"enabled": False})

    def poison(self, name: str, toxic: Toxic) -> None:
        self._ask(
            "POST",
            f"/proxies/{name}/toxics",
            {"type": toxic.kind, "stream": toxic.stream, "attributes": toxic.attributes},
        )

    def heal(self) -> None:
        """Make all proxies plain connections again."""
        self._ask("POST", "/reset", None)

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
    proxy = Toxiproxy(free_port())
    with subprocess.Popen(
        [str(PROGRAM), "-host", "127.0.0.1", "-port", str(proxy.admin)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            assert wait_until(
                proxy.answers, within_s=_STARTS_WITHIN_S, gone=lambda: process.poll() is not None
            )
            yield proxy
        finally:
            process.kill()


class KafkaBehindAProxy(KafkaFromJars):
    """A broker with a second listener, whose clients are sent back to the port `advertised`: a broker names its own addresses."""

    def __init__(self, advertised: int) -> None:
        super().__init__()
        self.inner = free_port()
        self._advertised = advertised

    def filled(self, template: str, **values: object) -> Path:
        path = super().filled(template, **values)
        text = path.read_text()
        for name, port in (("listeners", self.inner), ("advertised.listeners", self._advertised)):
            start = f"\n{name}=PLAINTEXT://127.0.0.1:{self.port}"
            assert start in text
            text = text.replace(start, f"{start},PROXIED://127.0.0.1:{port}")
        path.write_text(
            text.replace("PLAINTEXT:PLAINTEXT", "PROXIED:PLAINTEXT,PLAINTEXT:PLAINTEXT")
        )
        return path
