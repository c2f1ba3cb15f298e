"""Opens a session to Cassandra. It blocks, so call it in a thread."""

from __future__ import annotations

import logging
import socket
import ssl
from functools import lru_cache

from cassandra import ConsistencyLevel, DriverException, segment
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import (
    EXEC_PROFILE_DEFAULT,
    Cluster,
    ExecutionProfile,
    NoHostAvailable,
    Session,
)
from cassandra.connection import Connection
from cassandra.io.libevreactor import LibevConnection
from cassandra.policies import ConstantReconnectionPolicy, DCAwareRoundRobinPolicy, TokenAwarePolicy
from cassandra.query import tuple_factory

from fanfold.adapters.cassandra.packed import PROTOCOL_VERSION, PackingProtocolHandler
from fanfold.adapters.cassandra.second_node import SecondNode
from fanfold.adapters.tls import client_context
from fanfold.core.settings import Settings

# The driver goes through a header's bits one by one, in Python, for each message: a tenth of the instructions of a post. Without
# compression a header is a length and one bit, so the same ones come again.
segment.compute_crc24 = lru_cache(maxsize=4096)(segment.compute_crc24)

RECONNECT_S = 1.0
HEARTBEAT_S = 1.0
"""After this long without anything arriving on a connection, a heartbeat is sent."""

# These warn of accidental batches; ours are large and span partitions on purpose (see `batches`).
EXPECTED_WARNINGS = ("Unlogged batch covering", "Batch for")


class _Connection(LibevConnection):  # type: ignore[misc]  # the driver has no types
    # So that a batch takes one system call; with the driver's 4 KiB it takes several.
    out_buffer_size = 64 * 1024


def connect(
    settings: Settings, *, keyspace: str | None, connection: type[Connection] = _Connection
) -> Session:
    """A session at LOCAL_QUORUM with rows as tuples. Raises the driver's errors.

    `connection`: the class of its connections, by default on a thread of the driver's.
    """
    # Adding a filter twice changes nothing.
    logging.getLogger("cassandra.protocol").addFilter(_is_unexpected)
    cluster = Cluster(
        contact_points=[host.strip() for host in settings.cassandra_hosts.split(",")],
        port=settings.cassandra_port,
        protocol_version=PROTOCOL_VERSION,
        # The driver's other loops are slower or experimental; importing this one fails where it is missing.
        connection_class=connection,
        # Without it, the kernel holds back the end of a batch until the server acknowledges the beginning, which the server
        # delays by 40 ms: a batch of 100 rows alone on its connection took 50 ms, and takes 10 with this option.
        sockopts=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        execution_profiles={EXEC_PROFILE_DEFAULT: _profile(settings)},
        # The default backs off to ten minutes, for which a restarted node would stay unused.
        reconnection_policy=ConstantReconnectionPolicy(RECONNECT_S, max_attempts=None),
        connect_timeout=settings.cassandra_timeout_s,
        control_connection_timeout=settings.cassandra_timeout_s,
        idle_heartbeat_interval=HEARTBEAT_S,
        # A frozen node keeps its connections: it is asked until one of these fails.
        idle_heartbeat_timeout=settings.cassandra_timeout_s,
        auth_provider=_password(settings),
        ssl_context=client_tls(settings),
        ssl_options=_certified_name(settings),
        # Pointers are too short to be worth a CPU second on both sides.
        compression=False,
    )
    try:
        session = cluster.connect(keyspace)
    except (DriverException, NoHostAvailable):
        cluster.shutdown()
        raise
    session.client_protocol_handler = PackingProtocolHandler
    # Every statement has its own timestamp; a client's clock must never decide.
    session.use_client_timestamp = False
    return session


def _profile(settings: Settings) -> ExecutionProfile:
    return ExecutionProfile(
        load_balancing_policy=TokenAwarePolicy(
            DCAwareRoundRobinPolicy(local_dc=settings.cassandra_datacenter)
        ),
        consistency_level=ConsistencyLevel.LOCAL_QUORUM,
        serial_consistency_level=ConsistencyLevel.LOCAL_SERIAL,
        request_timeout=settings.cassandra_timeout_s,
        row_factory=tuple_factory,
        # Early enough that the second node's answer is in time.
        speculative_execution_policy=SecondNode(settings.cassandra_timeout_s / 4),
    )


def _password(settings: Settings) -> PlainTextAuthProvider | None:
    if settings.cassandra_user is None or settings.cassandra_password is None:
        return None
    return PlainTextAuthProvider(
        settings.cassandra_user, settings.cassandra_password.get_secret_value()
    )


def client_tls(settings: Settings) -> ssl.SSLContext | None:
    """The TLS context; None without TLS. Raises `Fault` when a file can't be used."""
    if settings.cassandra_ca is None:
        return None
    return client_context(
        settings.cassandra_ca,
        cert=settings.cassandra_cert,
        key=settings.cassandra_key,
        check_hostname=settings.cassandra_tls_name is not None,
    )


def _certified_name(settings: Settings) -> dict[str, str] | None:
    # The driver goes to the addresses that the ring reports, and those change: no certificate can name them. So every
    # node has one name, or else nothing but nodes has a certificate of this CA.
    name = settings.cassandra_tls_name
    return None if name is None else {"server_hostname": name}


def _is_unexpected(record: logging.LogRecord) -> bool:
    return not any(str(argument).startswith(EXPECTED_WARNINGS) for argument in record.args or ())
