"""The real Kafka and Cassandra that `real` tests run on: one of each a session, started when first asked for.

`FANFOLD_ENGINES` chooses where they come from:

* `jars`: the jars of `deploy/engines/*/pom.xml`, fetched by `make` into `.cache/engines/`; needs Java 17;
* `containers`: pinned images, by testcontainers; needs a Docker engine;
* `external`: engines that already run, at `FANFOLD_KAFKA_BOOTSTRAP`, `FANFOLD_CASSANDRA_HOSTS` and
  `FANFOLD_CASSANDRA_PORT`; tests that kill an engine fail on these.

Unset, it is `containers` if a Docker engine answers, else `jars`.
"""

from __future__ import annotations

import atexit
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fanfold.core.settings import Settings

SOURCES = ("jars", "containers", "external")
DOCKER_SOCKET = Path("/var/run/docker.sock")


class Node(Protocol):
    """One engine process, wherever it runs."""

    port: int

    def launch(self) -> None:
        """Start on the same port with the same data; returns at once."""

    def wait(self) -> None:
        """Return when the engine answers its own protocol; raise with the log's path if it doesn't."""

    def is_gone(self) -> bool: ...

    def kill(self) -> None:
        """SIGKILL; returns when it is gone. Idempotent."""

    def stop(self) -> None:
        """Gone for good, without mercy: the data is thrown away too. Idempotent."""


@dataclass(frozen=True)
class RealEngines:
    """Addresses of a running pair, and the power to fail it.

    Killing is SIGKILL; starting keeps port and data, and returns when the engine answers. Both
    block: an async test that needs its loop meanwhile calls them through `asyncio.to_thread`.
    """

    kafka: Node
    cassandra: Node
    host: str = "127.0.0.1"

    @property
    def kafka_bootstrap(self) -> str:
        return f"{self.host}:{self.kafka.port}"

    @property
    def cassandra_hosts(self) -> str:
        return self.host

    @property
    def cassandra_port(self) -> int:
        return self.cassandra.port

    def kill_kafka(self) -> None:
        self.kafka.kill()

    def start_kafka(self) -> None:
        self.kafka.launch()
        self.kafka.wait()

    def kill_cassandra(self) -> None:
        self.cassandra.kill()

    def start_cassandra(self) -> None:
        self.cassandra.launch()
        self.cassandra.wait()

    def revive(self) -> None:
        """Start what a test has left dead, so that it fails alone."""
        for node in (self.kafka, self.cassandra):
            if node.is_gone():
                node.launch()
                node.wait()


@dataclass(frozen=True)
class ExternalEngines(RealEngines):
    """Somebody else's engines: used, never killed."""

    bootstrap: str = ""
    hosts: str = ""

    @property
    def kafka_bootstrap(self) -> str:
        return self.bootstrap

    @property
    def cassandra_hosts(self) -> str:
        return self.hosts


@dataclass
class ExternalNode:
    port: int

    def launch(self) -> None:
        raise RuntimeError("FANFOLD_ENGINES=external: these engines are not ours to start")

    def wait(self) -> None:
        pass

    def is_gone(self) -> bool:
        return False

    def kill(self) -> None:
        raise RuntimeError("FANFOLD_ENGINES=external: these engines are not ours to kill")

    def stop(self) -> None:
        pass


@contextmanager
def running_engines() -> Iterator[RealEngines]:
    """Both engines, started side by side; gone at the end, also when the interpreter leaves early."""
    pair = _chosen()
    nodes = (pair.kafka, pair.cassandra)

    def stop() -> None:
        for node in nodes:
            node.stop()

    # Ctrl-C between two fixtures can pass by the finalizers; `stop` may run twice.
    atexit.register(stop)
    try:
        if not isinstance(pair, ExternalEngines):
            for node in nodes:
                node.launch()
            for node in nodes:
                node.wait()
        yield pair
    finally:
        stop()
        atexit.unregister(stop)


def settings_for(engines: RealEngines, **overrides: Any) -> Settings:
    """Settings for these engines with names of their own, so that no two tests meet."""
    unique = uuid.uuid4().hex[:12]
    return Settings(
        **{
            "kafka_bootstrap": engines.kafka_bootstrap,
            "cassandra_hosts": engines.cassandra_hosts,
            "cassandra_port": engines.cassandra_port,
            "topic_prefix": f"t{unique}",
            "cassandra_keyspace": f"t{unique}",
            **overrides,
        }
    )


async def prepared(settings: Settings) -> Settings:
    """Create the topics and the schema that `settings` names, as the operator's two commands do; idempotent."""
    from fanfold.adapters.cassandra.migrate import migrate, record_partitions
    from fanfold.adapters.kafka.admin import apply_topics, partition_counts

    await migrate(settings)
    await apply_topics(settings)
    await record_partitions(settings, await partition_counts(settings))
    return settings


async def schema_on_disk(settings: Settings) -> None:
    """Write the schema to disk: a keyspace that is only in the commit log loses its rows when Cassandra is killed."""
    from fanfold.adapters.cassandra.migrate import operator_session

    async with operator_session(settings, keyspace=settings.cassandra_keyspace) as cql:
        # To forget a table, Cassandra flushes every other one.
        await cql.change("CREATE TABLE IF NOT EXISTS nothing (id int PRIMARY KEY)")
        await cql.change("DROP TABLE nothing")


def chosen_source() -> str:
    """`jars`, `containers` or `external`."""
    source = os.getenv("FANFOLD_ENGINES") or ("containers" if _docker_answers() else "jars")
    if source not in SOURCES:
        raise SystemExit(f"FANFOLD_ENGINES={source}: expected one of {', '.join(SOURCES)}")
    return source


def _chosen() -> RealEngines:
    source = chosen_source()
    if source == "jars":
        from tests.support.jars import CassandraFromJars, KafkaFromJars

        return RealEngines(KafkaFromJars(), CassandraFromJars())
    if source == "containers":
        from tests.support.containers import CassandraContainer, KafkaContainer

        return RealEngines(KafkaContainer(), CassandraContainer())
    given = Settings()
    return ExternalEngines(
        kafka=ExternalNode(0),
        cassandra=ExternalNode(given.cassandra_port),
        bootstrap=given.kafka_bootstrap,
        hosts=given.cassandra_hosts,
    )


def _docker_answers() -> bool:
    if not (DOCKER_SOCKET.exists() or os.getenv("DOCKER_HOST")):
        return False
    import docker
    from docker.errors import DockerException

    try:
        return bool(docker.from_env(timeout=5).ping())
    except DockerException:
        return False


if __name__ == "__main__":
    print(chosen_source())
