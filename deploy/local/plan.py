"""The plan of a local system: its processes, their addresses, and the paths of their data and logs."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from deploy.local.system import Process, System
from fanfold.http.identity.development import KEY_FILE

ROOT = Path(__file__).parents[2]
DATACENTER = "datacenter1"
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
_NODETOOL_AFTER = _WORKERS_AFTER + MOST_WORKERS
PORTS_OF_A_PLAN = _NODETOOL_AFTER + 3
"""A block has this many ports after its first."""
# Some systems limit a Unix socket's path to 104 bytes, and supervisord first binds it with its pid appended.
_LONGEST_SOCKET_PATH = 92

NODES = (1, 3)
"""The brokers, and the Cassandra nodes, that a system can have. Three hold three copies of everything, and go on without one."""
KAFKA, CASSANDRA, CACHE = "kafka", "cassandra", "cache"
CACHE_REPLICA = "cache-replica"
CACHE_SERVERS = ("redis-server", "valkey-server")
APIS = tuple(_API_PORTS)
GATEWAY = "gateway"
SWEEP = "activity-sweep"
"""Puts inactive users to sleep, once a day. It listens on no port."""


def kind_of(name: str) -> str:
    """`kafka` of the process `kafka-2`, `post` of `post-1`, `fanout` of `fanout-3`."""
    kind, _, number = name.rpartition("-")
    return kind if number.isdecimal() else name


def _numbered(kind: str, count: int) -> tuple[str, ...]:
    return tuple(f"{kind}-{n}" for n in range(1, count + 1))


@dataclass(frozen=True, slots=True)
class Plan:
    """`home` is the directory of everything that is kept. Paths are absolute.

    `cache_server` is the program that serves the shared cache. Without one, no cache is started, and `cache` is `FANFOLD_CACHE`.
    `nodes` is one of `NODES`. Each broker, each Cassandra node and each copy of a service listens on the loopback address of its number,
    as it would on a machine of its own, and all of a kind on the same port.
    `development_issuer`: the services accept the tokens of `fanfold token`; without it the environment names how users are identified.
    """

    home: Path
    gateway_port: int
    first_port: int
    workers: int
    cache_server: str | None = None
    cache: str = "none"
    development_issuer: bool = True
    nodes: int = 1

    @property
    def brokers(self) -> tuple[str, ...]:
        return (KAFKA,) if self.nodes == 1 else _numbered(KAFKA, self.nodes)

    @property
    def cassandras(self) -> tuple[str, ...]:
        return (CASSANDRA,) if self.nodes == 1 else _numbered(CASSANDRA, self.nodes)

    @property
    def caches(self) -> tuple[str, ...]:
        """The shared cache's primary, then its replica."""
        if self.cache_server is None:
            return ()
        return (CACHE,) if self.nodes == 1 else (CACHE, CACHE_REPLICA)

    @property
    def engines(self) -> tuple[str, ...]:
        """What the services call."""
        return (*self.brokers, *self.cassandras, *self.caches)

    @property
    def engines_by_turn(self) -> tuple[tuple[str, ...], ...]:
        """The engines in the order of starting: each turn starts when the turn before it is ready.

        A ring of Cassandra nodes forms around its first node, and starting an engine keeps a core busy for seconds.
        """
        first, *others = self.cassandras
        return tuple(filter(None, ((*self.brokers, first, *self.caches), tuple(others))))

    @property
    def apis(self) -> tuple[str, ...]:
        """The services that answer requests; in a cluster, two of each."""
        if self.nodes == 1:
            return APIS
        return tuple(name for kind in APIS for name in _numbered(kind, 2))

    def copies(self, kind: str) -> tuple[str, ...]:
        """The processes of one of `APIS`."""
        return tuple(name for name in self.apis if kind_of(name) == kind)

    @property
    def worker_names(self) -> tuple[str, ...]:
        return _numbered("fanout", self.workers)

    @property
    def services(self) -> tuple[str, ...]:
        """Everything but the engines, in the order of starting."""
        return (*self.apis, *self.worker_names, SWEEP, GATEWAY)

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.engines, *self.services)

    def port(self, name: str) -> int:
        """The port of a process, or of `controller`, `storage` or `gateway-admin`."""
        if name == GATEWAY:
            return self.gateway_port
        if name in self.worker_names:
            return self.first_port + _WORKERS_AFTER + self.worker_names.index(name) + 1
        others = {"gateway-admin": _GATEWAY_ADMIN, CACHE: _CACHE_PORT, CACHE_REPLICA: _CACHE_PORT}
        return self.first_port + (_ENGINE_PORTS | _API_PORTS | others)[kind_of(name)]

    def nodetool_port(self, name: str) -> int:
        """Where a Cassandra node takes nodetool's requests, on 127.0.0.1."""
        return self.first_port + _NODETOOL_AFTER + number_of(name)

    def host(self, name: str) -> str:
        """The address that a process listens on."""
        if name == CACHE_REPLICA:
            return host_of(2)
        if name in (*self.brokers, *self.cassandras, *self.apis) and self.nodes > 1:
            return host_of(number_of(name))
        return host_of(1)

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every address that something listens on."""
        return tuple(map(host_of, range(1, self.nodes + 1)))

    @property
    def ports(self) -> dict[str, int]:
        """Every port that something listens on, on one or more of `hosts`, by name. Where several processes have one port, the first names it."""
        listening = (name for name in self.names if name != SWEEP)
        found: dict[int, str] = {}
        for name in (*listening, "controller", "storage", "gateway-admin"):
            found.setdefault(self.port(name), name)
        for name in self.cassandras:
            found[self.nodetool_port(name)] = f"nodetool of {name}"
        return {name: port for port, name in found.items()}

    def log(self, name: str) -> Path:
        return self.home / "logs" / f"{name}.log"

    @property
    def data(self) -> Path:
        return self.home / "data"

    def data_of(self, name: str) -> Path:
        """The data of an engine's process."""
        return self.data / name

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
                "kafka_bootstrap": ",".join(f"{host}:{self.port(KAFKA)}" for host in self.hosts),
                "kafka_replication": self.nodes,
                "topic_prefix": "fanfold",
                "cassandra_hosts": ",".join(self.hosts),
                "cassandra_port": self.port(CASSANDRA),
                "cassandra_datacenter": DATACENTER,
                "cassandra_keyspace": "fanfold",
                "cassandra_replication": self.nodes,
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
        address = f"{self.host(name)}:{self.port(name)}" if name != SWEEP else ""
        match kind_of(name):
            case "kafka":
                return f"kafka://{address}"
            case "cassandra":
                return f"cql://{address}"
            case "cache" | "cache-replica":
                return f"redis://{address}"
            case "activity-sweep":
                return ""
            case "gateway":
                return f"http://127.0.0.1:{self.port('gateway-admin')}/ready"
        return f"http://{address}/readyz"


def host_of(number: int) -> str:
    return f"127.0.0.{number}"


def number_of(name: str) -> int:
    """2 of the process `kafka-2`; 1 of a process that is the only one of its kind."""
    number = name.rpartition("-")[2]
    return int(number) if number.isdecimal() else 1


def find_cache_server() -> str | None:
    """The path of the first of `CACHE_SERVERS` that is installed."""
    return next((path for name in CACHE_SERVERS if (path := shutil.which(name))), None)
