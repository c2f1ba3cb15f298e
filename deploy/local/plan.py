"""The plan of a system on this machine: which processes there are, on which ports, and where their data and logs are."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

from fanfold.ops.system import Process, System

ROOT = Path(__file__).parents[2]
MOST_WORKERS = 24
"""The partitions of the slices topic: further workers would have nothing to do."""

# In the block of ports that starts at `first_port`. Below the range that systems hand to outgoing connections, so that
# a process that was killed finds its port free when it comes back.
DEFAULT_FIRST_PORT = 18100
_ENGINE_PORTS = {"kafka": 0, "controller": 1, "cassandra": 2, "storage": 3}
_GATEWAY_ADMIN = 4
_API_PORTS = {"post": 5, "graph": 6, "feed": 7}
_WORKERS_AT = 10
# A Unix socket's path has 104 bytes on some systems, and supervisord first binds it with its pid behind.
_LONGEST_SOCKET_PATH = 92

ENGINES = ("kafka", "cassandra")
APIS = tuple(_API_PORTS)
GATEWAY = "gateway"
SWEEP = "activity-sweep"
"""Puts to sleep whoever does not read any more, once a day; it listens on no port."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`home` holds everything that is kept. Paths are absolute."""

    home: Path
    gateway_port: int
    first_port: int
    workers: int

    @property
    def worker_names(self) -> tuple[str, ...]:
        return tuple(f"fanout-{n}" for n in range(1, self.workers + 1))

    @property
    def services(self) -> tuple[str, ...]:
        """Everything but the engines, in the order in which it is started."""
        return (*APIS, *self.worker_names, SWEEP, GATEWAY)

    @property
    def names(self) -> tuple[str, ...]:
        return (*ENGINES, *self.services)

    def port(self, of: str) -> int:
        """Of a process, or of `controller`, `storage` and `gateway-admin`."""
        if of == GATEWAY:
            return self.gateway_port
        if of in self.worker_names:
            return self.first_port + _WORKERS_AT + self.worker_names.index(of) + 1
        return (
            self.first_port + (_ENGINE_PORTS | _API_PORTS | {"gateway-admin": _GATEWAY_ADMIN})[of]
        )

    @property
    def ports(self) -> dict[str, int]:
        """Every port that is listened on."""
        listening = (name for name in self.names if name != SWEEP)
        return {of: self.port(of) for of in (*listening, "controller", "storage", "gateway-admin")}

    def log(self, name: str) -> Path:
        return self.home / "logs" / f"{name}.log"

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def configuration(self) -> Path:
        return self.home / "configuration"

    @property
    def socket(self) -> Path:
        """supervisord's: in `home`, or for a long path in the temporary directory."""
        path = self.home / "supervisor.sock"
        if len(str(path).encode()) <= _LONGEST_SOCKET_PATH:
            return path
        name = hashlib.sha256(str(self.home).encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"fanfold-{name}.sock"

    def system(self) -> System:
        """The plan as `fanfold status` reads it. Its settings go before those of whoever types `make up`."""
        return System(
            settings={
                "kafka_bootstrap": f"127.0.0.1:{self.port('kafka')}",
                "kafka_replication": 1,
                "topic_prefix": "fanfold",
                "cassandra_hosts": "127.0.0.1",
                "cassandra_port": self.port("cassandra"),
                "cassandra_datacenter": "datacenter1",
                "cassandra_keyspace": "fanfold",
                "cassandra_replication": 1,
            },
            supervisor=str(self.socket),
            gateway=f"http://127.0.0.1:{self.gateway_port}",
            processes=tuple(
                Process(name, self._ready(name), str(self.log(name))) for name in self.names
            ),
        )

    def _ready(self, name: str) -> str:
        match name:
            case "kafka":
                return f"kafka://127.0.0.1:{self.port(name)}"
            case "cassandra":
                return f"cql://127.0.0.1:{self.port(name)}"
            case "activity-sweep":
                return ""
            case "gateway":
                return f"http://127.0.0.1:{self.port('gateway-admin')}/ready"
        return f"http://127.0.0.1:{self.port(name)}/readyz"
