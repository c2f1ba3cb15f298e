"""The plan of a local system: its processes, their ports, and the paths of their data and logs."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from deploy.local.system import Process, System
from fanfold.http.identity.development import KEY_FILE

ROOT = Path(__file__).parents[2]
MOST_WORKERS = 24
"""The partitions of the commands' topic in a local system: more workers would have nothing to do."""

# The block of ports starts at `first_port`. It is below the range of ephemeral ports, so that the port of a killed process is
# still free when the process is restarted.
DEFAULT_FIRST_PORT = 18100
_ENGINE_PORTS = {"kafka": 0, "controller": 1, "cassandra": 2, "storage": 3}
_GATEWAY_ADMIN = 4
CONSOLE = "console"
_API_PORTS = {"post": 5, "graph": 6, "feed": 7, CONSOLE: 9}
_CACHE_PORT = 8
_WORKERS_AFTER = 10
PORTS_OF_A_PLAN = _WORKERS_AFTER + MOST_WORKERS
"""A block has this many ports after its first."""
# Some systems limit a Unix socket's path to 104 bytes, and supervisord first binds it with its pid appended.
_LONGEST_SOCKET_PATH = 92

CACHE = "cache"
CACHE_SERVERS = ("redis-server", "valkey-server")
ENGINES = ("kafka", "cassandra", CACHE)
APIS = tuple(_API_PORTS)
GATEWAY = "gateway"
SWEEP = "activity-sweep"
"""Puts inactive users to sleep, once a day. It listens on no port."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`home` is the directory of everything that is kept. Paths are absolute.

    `cache_server` is the program that serves the shared cache. Without one, no cache is started, and `cache` is `FANFOLD_CACHE`.
    `development_issuer`: the services accept the tokens of `fanfold token`; without it the environment names how users are identified.
    """

    home: Path
    gateway_port: int
    first_port: int
    workers: int
    cache_server: str | None = None
    cache: str = "none"
    development_issuer: bool = True

    @property
    def engines(self) -> tuple[str, ...]:
        """What the services call, in the order of starting."""
        return tuple(name for name in ENGINES if name != CACHE or self.cache_server)

    @property
    def worker_names(self) -> tuple[str, ...]:
        return tuple(f"fanout-{n}" for n in range(1, self.workers + 1))

    @property
    def services(self) -> tuple[str, ...]:
        """Everything but the engines, in the order of starting."""
        return (*APIS, *self.worker_names, SWEEP, GATEWAY)

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.engines, *self.services)

    def port(self, name: str) -> int:
        """The port of a process, or of `controller`, `storage` or `gateway-admin`."""
        if name == GATEWAY:
            return self.gateway_port
        if name in self.worker_names:
            return self.first_port + _WORKERS_AFTER + self.worker_names.index(name) + 1
        others = {"gateway-admin": _GATEWAY_ADMIN, CACHE: _CACHE_PORT}
        return self.first_port + (_ENGINE_PORTS | _API_PORTS | others)[name]

    @property
    def ports(self) -> dict[str, int]:
        """Every port that something listens on, by name."""
        listening = (name for name in self.names if name != SWEEP)
        return {
            name: self.port(name) for name in (*listening, "controller", "storage", "gateway-admin")
        }

    def log(self, name: str) -> Path:
        return self.home / "logs" / f"{name}.log"

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def configuration(self) -> Path:
        return self.home / "configuration"

    @property
    def development_key(self) -> Path:
        """The key that `fanfold token` signs with."""
        return self.home / KEY_FILE

    @property
    def socket(self) -> Path:
        """Supervisord's socket: in `home`, or in the temporary directory if that path is too long."""
        path = self.home / "supervisor.sock"
        if len(str(path).encode()) <= _LONGEST_SOCKET_PATH:
            return path
        name = hashlib.sha256(str(self.home).encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"fanfold-{name}.sock"

    def system(self) -> System:
        """The description of the system. Its settings override those of the environment that `make up` runs in."""
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
                "cache": self._ready(CACHE) if self.cache_server else self.cache,
                **self._identity(),
            },
            supervisor=str(self.socket),
            gateway=f"http://127.0.0.1:{self.gateway_port}",
            processes=tuple(
                Process(name, self._ready(name), str(self.log(name))) for name in self.names
            ),
        )

    def _identity(self) -> dict[str, str]:
        if not self.development_issuer:
            return {}
        return {"auth": "jwt", "jwt_development_key": str(self.development_key)}

    def _ready(self, name: str) -> str:
        match name:
            case "kafka":
                return f"kafka://127.0.0.1:{self.port(name)}"
            case "cassandra":
                return f"cql://127.0.0.1:{self.port(name)}"
            case "cache":
                return f"redis://127.0.0.1:{self.port(name)}"
            case "activity-sweep":
                return ""
            case "gateway":
                return f"http://127.0.0.1:{self.port('gateway-admin')}/ready"
        return f"http://127.0.0.1:{self.port(name)}/readyz"


def find_cache_server() -> str | None:
    """The path of the first of `CACHE_SERVERS` that is installed."""
    return next((path for name in CACHE_SERVERS if (path := shutil.which(name))), None)
