"""Kafka, Cassandra and Valkey in containers, by testcontainers, where a Docker engine answers.

Written where no Docker engine was at hand, so never run: the jars are what CI proves. The settings are those
of `deploy/engines/`, given through each image's own variables.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from docker.errors import APIError
from testcontainers.core.container import DockerContainer

from tests.support.probes import (
    cassandra_answers,
    free_port,
    kafka_answers,
    redis_answers,
    wait_until,
)

KAFKA_IMAGE = "apache/kafka:4.3.1"
CASSANDRA_IMAGE = "cassandra:5.0.6"
VALKEY_IMAGE = "valkey/valkey:8.1.10"
START_WITHIN_S = 180.0

KAFKA_SETTINGS = {
    "KAFKA_PROCESS_ROLES": "broker,controller",
    "KAFKA_NODE_ID": "1",
    "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:29093",
    "KAFKA_LISTENERS": "PLAINTEXT://:9092,CONTROLLER://:29093",
    "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
    "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
    "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "1",
    "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
    "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
    "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
    "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
    "KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS": "1000",
    "KAFKA_BROKER_SESSION_TIMEOUT_MS": "3000",
    "KAFKA_BROKER_HEARTBEAT_INTERVAL_MS": "500",
    "KAFKA_HEAP_OPTS": "-Xms256m -Xmx256m",
}
# The image's start script edits only addresses; the rest of cassandra.yaml is overridden by properties.
CASSANDRA_PROPERTIES = {
    "cassandra.config.allow_system_properties": "true",
    "cassandra.settings.commitlog_sync": "batch",
    "cassandra.settings.commitlog_sync_period": "0ms",
    "cassandra.settings.auto_snapshot": "false",
    "cassandra.settings.dynamic_snitch": "false",
    "cassandra.superuser_setup_delay_ms": "0",
    "cassandra.ring_delay_ms": "0",
    "cassandra.skip_wait_for_gossip_to_settle": "0",
}


class ContainerNode(ABC):
    """One container on a fixed port of the host, so that it comes back where it was."""

    def __init__(self) -> None:
        self.port = free_port()
        self.container = self.configured()
        self.created = False

    @abstractmethod
    def configured(self) -> DockerContainer: ...

    @abstractmethod
    def answers(self) -> bool: ...

    def launch(self) -> None:
        if self.created:
            self.container.get_wrapped_container().start()
        else:
            self.container.start()
            self.created = True

    def wait(self) -> None:
        if wait_until(self.answers, within_s=START_WITHIN_S, gone=self.is_gone):
            return
        out, err = self.container.get_logs()
        raise RuntimeError(f"{self.container.image} did not start\n{(out + err).decode()[-4000:]}")

    def is_gone(self) -> bool:
        wrapped = self.container.get_wrapped_container()
        wrapped.reload()
        return str(wrapped.status) in {"exited", "dead"}

    def kill(self) -> None:
        if self.created and not self.is_gone():
            wrapped = self.container.get_wrapped_container()
            wrapped.kill()
            wrapped.wait()

    def stop(self) -> None:
        if self.created:
            self.created = False
            try:
                self.container.stop()
            except APIError as gone:
                # Testcontainers' own reaper may have been faster.
                if gone.status_code != 404:
                    raise


class KafkaContainer(ContainerNode):
    def configured(self) -> DockerContainer:
        return (
            DockerContainer(KAFKA_IMAGE)
            .with_bind_ports(9092, self.port)
            .with_envs(
                **KAFKA_SETTINGS,
                KAFKA_ADVERTISED_LISTENERS=f"PLAINTEXT://127.0.0.1:{self.port}",
            )
        )

    def answers(self) -> bool:
        return kafka_answers("127.0.0.1", self.port)


class CassandraContainer(ContainerNode):
    def configured(self) -> DockerContainer:
        properties = " ".join(f"-D{key}={value}" for key, value in CASSANDRA_PROPERTIES.items())
        return (
            DockerContainer(CASSANDRA_IMAGE)
            .with_bind_ports(9042, self.port)
            .with_envs(
                MAX_HEAP_SIZE="768m",
                HEAP_NEWSIZE="192m",
                # The driver is told this address by the node, and must reach it through the mapped port.
                CASSANDRA_BROADCAST_RPC_ADDRESS="127.0.0.1",
                JVM_EXTRA_OPTS=properties,
            )
        )

    def answers(self) -> bool:
        return cassandra_answers("127.0.0.1", self.port)


class ValkeyContainer(ContainerNode):
    def configured(self) -> DockerContainer:
        return (
            DockerContainer(VALKEY_IMAGE)
            .with_bind_ports(6379, self.port)
            .with_command('valkey-server --save "" --appendonly no')
        )

    def answers(self) -> bool:
        return redis_answers("127.0.0.1", self.port)
