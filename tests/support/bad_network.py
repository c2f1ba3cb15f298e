"""Toxiproxy between the processes of a local system. Each process is configured to reach others through it, or to be reached so."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.plan import CACHE, CASSANDRA, GATEWAY, KAFKA
from tests.support.local_system import LocalSystem
from tests.support.probes import free_port, wait_until
from tests.support.toxiproxy import Toxic, Toxiproxy

_READY_WITHIN_S = 240.0
_BOTH = ("upstream", "downstream")

FAULTS: dict[str, list[Toxic]] = {
    "away": [],
    "300 ms late, more or less": [
        Toxic("latency", stream, {"latency": 300, "jitter": 200}) for stream in _BOTH
    ],
    "reset": [Toxic("reset_peer", "downstream", {"timeout": 500})],
    "half open": [Toxic("timeout", stream, {"timeout": 0}) for stream in _BOTH],
    "one direction only": [Toxic("timeout", "downstream", {"timeout": 0})],
    "64 KiB a second": [Toxic("bandwidth", stream, {"rate": 64}) for stream in _BOTH],
}

SERVICES = ("post", "graph", "feed")
WORKER = "fanout-1"
CLIENTS = {"services": SERVICES, "a worker": (WORKER,)}
"""Each kind has a proxy of its own for each engine."""

AROUND_SERVICES = (
    "gateway and services",
    *(f"{client} and {engine}" for client in CLIENTS for engine in (KAFKA, CASSANDRA, CACHE)),
)
BETWEEN_ENGINES = ("brokers", "nodes")


@dataclass(frozen=True)
class Network:
    """`pairs` has the proxies between two kinds of processes: where each listens, by its name."""

    system: LocalSystem
    proxy: Toxiproxy
    pairs: Mapping[str, Mapping[str, str]]

    def spoil(self, pair: str, toxics: Collection[Toxic]) -> None:
        """Poison all connections of a pair; without toxics, cut them."""
        for name in self.pairs[pair]:
            if not toxics:
                self.proxy.cut(name)
            for toxic in toxics:
                self.proxy.poison(name, toxic)

    def heal(self) -> None:
        self.proxy.heal()

    def is_in_use(self, pair: str) -> bool:
        """Whether the processes are connected through the proxies."""
        return any(map(self.proxy.clients, self.pairs[pair].values()))


def around_services(system: LocalSystem, proxy: Toxiproxy) -> Network:
    """On a running system of one broker and one node: between the gateway and the services, and between engines and services or one worker.

    Other processes, a second worker for one, go on without a proxy. The system keeps the proxies until it is stopped.
    """
    plan = system.plan
    pairs: dict[str, dict[str, str]] = {pair: {} for pair in AROUND_SERVICES}

    def through(pair: str, name: str, port: int) -> int:
        """The port of a new proxy before this one."""
        listen = free_port()
        pairs[pair][name] = f"127.0.0.1:{listen}"
        proxy.add(name, listen=pairs[pair][name], upstream=f"127.0.0.1:{port}")
        return listen

    changed = (GATEWAY, *SERVICES, WORKER, KAFKA)
    system.stop(*changed)
    listeners: dict[str, tuple[int, int]] = {}
    for number, (client, names) in enumerate(CLIENTS.items()):
        inner = free_port()
        kafka, cassandra, cache = (
            through(f"{client} and {engine}", f"{client} and {engine}", port)
            for engine, port in (
                (KAFKA, inner),
                (CASSANDRA, plan.port(CASSANDRA)),
                (CACHE, plan.port(CACHE)),
            )
        )
        listeners[f"CLIENTS{number}"] = (inner, kafka)
        for name in names:
            system.change(
                name,
                FANFOLD_KAFKA_BOOTSTRAP=f"127.0.0.1:{kafka}",
                FANFOLD_CASSANDRA_PORT=str(cassandra),
                FANFOLD_CACHE=f"redis://127.0.0.1:{cache}",
            )
    _add_listeners(
        plan.configuration / f"{KAFKA}.properties", f"127.0.0.1:{plan.port(KAFKA)}", listeners
    )
    ports = {
        plan.port(name): through("gateway and services", f"gateway and {name}", plan.port(name))
        for name in SERVICES
    }
    _change_upstreams(plan.configuration / "envoy.json", ports)
    _start(system, changed)
    return Network(system, proxy, pairs)


@contextmanager
def between_engines(system: LocalSystem, proxy: Toxiproxy) -> Iterator[Network]:
    """On a running cluster: between any two brokers, and between any two nodes. All of them are restarted before and afterwards."""
    plan = system.plan
    changed = (*plan.brokers, *plan.cassandras)
    paths = [
        *(plan.configuration / f"{name}.properties" for name in plan.brokers),
        *(plan.configuration / f"{name}.yaml" for name in plan.cassandras),
    ]
    before = {path: path.read_text() for path in paths}
    system.stop(*changed)
    pairs = {
        "brokers": _brokers_apart(system, proxy),
        "nodes": _nodes_apart(system, proxy),
    }
    try:
        _start(system, changed)
        yield Network(system, proxy, pairs)
    finally:
        system.stop(*changed)
        for path, text in before.items():
            path.write_text(text)
        for name in (*pairs["brokers"], *pairs["nodes"]):
            proxy.remove(name)
        _start(system, changed)


def _brokers_apart(system: LocalSystem, proxy: Toxiproxy) -> dict[str, str]:
    """Brokers reach each other through proxies, as brokers and as controllers; clients reach them as before."""
    plan, proxies = system.plan, dict[str, str]()
    controller = plan.port("controller")
    inner, brokers, controllers = free_port(), free_port(), free_port()
    for name in plan.brokers:
        host, path = plan.host(name), plan.configuration / f"{name}.properties"
        _add_listeners(path, f"{host}:{plan.port(name)}", {"BROKERS": (inner, brokers)})
        told = f"BROKERS://{host}:{brokers}"
        _replace(path, f"{told}\n", f"{told},CONTROLLER://{host}:{controllers}\n")
        _replace(
            path, "\ninter.broker.listener.name=PLAINTEXT", "\ninter.broker.listener.name=BROKERS"
        )
        for other in plan.hosts:
            _replace(path, f"@{other}:{controller}", f"@{other}:{controllers}")
        for kind, listen, to in (
            ("broker", brokers, inner),
            ("controller", controllers, controller),
        ):
            proxies[f"{name} as a {kind}"] = f"{host}:{listen}"
            proxy.add(f"{name} as a {kind}", listen=f"{host}:{listen}", upstream=f"{host}:{to}")
    return proxies


def _nodes_apart(system: LocalSystem, proxy: Toxiproxy) -> dict[str, str]:
    """Each node listens on another address than the one that the others know, where its proxy listens."""
    plan = system.plan
    storage = plan.port("storage")
    for number, name in enumerate(plan.cassandras, 1):
        known, hidden = plan.host(name), f"127.0.1.{number}"
        _replace(
            plan.configuration / f"{name}.yaml",
            f"\nlisten_address: {known}\n",
            f"\nlisten_address: {hidden}\nbroadcast_address: {known}\n",
        )
        proxy.add(name, listen=f"{known}:{storage}", upstream=f"{hidden}:{storage}")
    return {name: f"{plan.host(name)}:{storage}" for name in plan.cassandras}


def _add_listeners(path: Path, address: str, listeners: Mapping[str, tuple[int, int]]) -> None:
    """A broker tells clients the address that belongs to the listener by which they came: of each, its port and the one it tells."""
    host = address.partition(":")[0]
    for key, which in (("listeners", 0), ("advertised.listeners", 1)):
        start = f"\n{key}=PLAINTEXT://{address}"
        more = "".join(f",{name}://{host}:{ports[which]}" for name, ports in listeners.items())
        _replace(path, start, start + more)
    protocols = "\nlistener.security.protocol.map="
    _replace(path, protocols, protocols + "".join(f"{name}:PLAINTEXT," for name in listeners))


def _change_upstreams(path: Path, ports: Mapping[int, int]) -> None:
    configured = json.loads(path.read_text())
    for cluster in configured["static_resources"]["clusters"]:
        for endpoints in cluster["load_assignment"]["endpoints"]:
            for endpoint in endpoints["lb_endpoints"]:
                address = endpoint["endpoint"]["address"]["socket_address"]
                address["port_value"] = ports.get(address["port_value"], address["port_value"])
    path.write_text(json.dumps(configured))


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1, f"{old!r} in {path}"
    path.write_text(text.replace(old, new))


def _start(system: LocalSystem, names: Collection[str]) -> None:
    """Return when they are ready."""
    system.start(*names)
    assert wait_until(
        lambda: all(map(system.is_ready, names)), within_s=_READY_WITHIN_S, gone=lambda: False
    ), names
