"""The command line of each engine of a plan. Fills in the configuration templates in this directory."""

from __future__ import annotations

import base64
import secrets
from pathlib import Path

from deploy.local.plan import (
    CACHE,
    CACHE_REPLICA,
    CASSANDRA,
    DATACENTER,
    KAFKA,
    ROOT,
    Plan,
    kind_of,
    number_of,
)
from fanfold.core.errors import Fault

# As Java names it in the archives of classes.
_ENGINES = (ROOT / ".cache" / "engines").resolve()
_DEPLOY = ROOT / "deploy"
# An engine that is out of memory must exit, and be restarted, instead of running half broken.
_JVM = ("-XX:-UsePerfData", "-XX:+ExitOnOutOfMemoryError")
_CASSANDRA_MAIN = "org.apache.cassandra.service.CassandraDaemon"
# A node whose disk was full has made files of its commit log without room for their first bytes. They hold nothing, and Cassandra would not start
# beside them: "Could not read commit log descriptor".
_LEAVE_OUT_UNWRITTEN_LOGS = (
    'for log in "$logs"/*.log; do '
    'if [ -s "$log" ] && [ -z "$(head -c 64 "$log" | tr -d "\\0")" ]; then rm "$log"; fi; done; '
)
# A third of the ring each: with as many copies as nodes, every node has a copy of all.
_TOKENS = (-6148914691236517206, 0, 6148914691236517205)


def engine_command(plan: Plan, name: str) -> list[str]:
    """The command line of an engine; writes the configuration files that it names. Raises `Fault` if something isn't installed."""
    match kind_of(name):
        case "kafka":
            return _kafka(plan, name)
        case "cassandra":
            return _cassandra(plan, name)
    return _cache(plan, name)


def _kafka(plan: Plan, name: str) -> list[str]:
    # `exec`, so that the broker has the pid that supervisord knows.
    return [
        "/bin/sh",
        "-ec",
        (
            'java=$1 config=$2 data=$3; export CLASSPATH="$4"; id=$5; shift 5; '
            '[ -e "$data/meta.properties" ] || "$java" "$@" kafka.tools.StorageTool format'
            ' --ignore-formatted -t "$id" -c "$config"; '
            'exec "$java" "$@" kafka.Kafka "$config"'
        ),
        "kafka",
        _java(),
        str(_kafka_config(plan, name)),
        str(plan.data_of(name)),
        _classpath(KAFKA),
        _cluster_id(plan),
        *_JVM,
        # The broker only moves bytes: the optimising compiler would slow its start by more than it gains.
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        *_class_data(KAFKA),
        *(("-Xms256m", "-Xmx512m") if plan.nodes == 1 else ("-Xms256m", "-Xmx256m")),
        "-Dorg.apache.logging.log4j.level=WARN",
    ]


def _kafka_config(plan: Plan, name: str) -> Path:
    controllers = (f"{host}:{plan.port('controller')}" for host in plan.hosts)
    alone = plan.nodes == 1
    return _filled(
        plan,
        name,
        _DEPLOY / "local" / "kafka.properties",
        NODE_ID=number_of(name),
        VOTERS=",".join(f"{n}@{address}" for n, address in enumerate(controllers, 1)),
        ADDRESS=plan.host(name),
        KAFKA_PORT=plan.port(name),
        CONTROLLER_PORT=plan.port("controller"),
        COPIES=plan.nodes,
        MIN_IN_SYNC=1 if alone else 2,
        # Others take over. A broker that only got no core for a while must not be treated as dead.
        SESSION_MS=3000 if alone else 6000,
        DATA=plan.data_of(name),
    )


def _cluster_id(plan: Plan) -> str:
    """The id that brokers format their logs with: 16 bytes in base64. A new log gets a new one: checkpoints of imports are bound to it."""
    kept = plan.data / "kafka-cluster-id"
    # A broker of a cluster that lost its log joins the others again.
    if plan.nodes > 1 and kept.exists():
        return kept.read_text()
    cluster_id = f"A{base64.urlsafe_b64encode(secrets.token_bytes(15)).decode()}Q"
    if plan.nodes > 1:
        kept.write_text(cluster_id)
    return cluster_id


def _cassandra(plan: Plan, name: str) -> list[str]:
    alone = plan.nodes == 1
    properties = {
        "jdk.attach.allowAttachSelf": "true",
        "logback.configurationFile": (_DEPLOY / "engines/cassandra/logback.xml").as_uri(),
        "cassandra.storagedir": plan.data_of(name),
        "cassandra.superuser_setup_delay_ms": 0,
        **_gossip(alone=alone),
        "cassandra-foreground": "yes",
        # For nodetool, on 127.0.0.1.
        "cassandra.jmx.local.port": plan.nodetool_port(name),
    }
    return [
        *(_alone(plan, name) if alone else _of_a_ring(plan, name)),
        *_JVM,
        "-XX:+UseG1GC",
        *(_class_data(CASSANDRA) if alone else ()),
        "-Xms512m",
        "-Xmx1g" if alone else "-Xmx768m",
        "-Xss512k",
        f"@{_DEPLOY / 'engines/cassandra/jvm17.options'}",
        *(f"-D{key}={value}" for key, value in properties.items()),
        "-cp",
        _classpath(CASSANDRA) if alone else f"{_rack(plan, name)}:{_classpath(CASSANDRA)}",
        _CASSANDRA_MAIN,
    ]


def _alone(plan: Plan, name: str) -> list[str]:
    config = _cassandra_config(plan, name).as_uri()
    return [
        "/bin/sh",
        "-ec",
        f'logs=$1; shift; {_LEAVE_OUT_UNWRITTEN_LOGS}exec "$@"',
        "cassandra",
        str(_commit_log(plan, name)),
        _java(),
        f"-Dcassandra.config={config}",
        "-Dcassandra.ring_delay_ms=0",
    ]


def _of_a_ring(plan: Plan, name: str) -> list[str]:
    """A node that was in the ring and has lost its data takes the place that it had, and copies what it held from the others.

    Without that, a node that comes back empty would be refused by the others: they know its address under another id.
    """
    return [
        "/bin/sh",
        "-ec",
        (
            "java=$1 data=$2 joined=$3 config=$4 replacing=$5 address=$6 logs=$7; shift 7; "
            'if [ -e "$joined" ] && ! [ -e "$data" ]; then mkdir "$data"; : > "$data/replaces"; fi; '
            f': > "$joined"; {_LEAVE_OUT_UNWRITTEN_LOGS}'
            'if [ -e "$data/replaces" ]; then'
            # Until it has heard by gossip what the ring is.
            ' set -- "-Dcassandra.config=$replacing" "-Dcassandra.replace_address_first_boot=$address" -Dcassandra.ring_delay_ms=3000 "$@"; '
            'else set -- "-Dcassandra.config=$config" -Dcassandra.ring_delay_ms=0 "$@"; fi; '
            'exec "$java" "$@"'
        ),
        "cassandra",
        _java(),
        str(plan.data_of(name)),
        str(plan.data / f"{name}-joined"),
        _cassandra_config(plan, name).as_uri(),
        _cassandra_config(plan, name, replacing=True).as_uri(),
        plan.host(name),
        str(_commit_log(plan, name)),
    ]


def _commit_log(plan: Plan, name: str) -> Path:
    return plan.data_of(name) / "commitlog"


def _cassandra_config(plan: Plan, name: str, *, replacing: bool = False) -> Path:
    alone = plan.nodes == 1
    storage = plan.port("storage")
    # Each of three: any of them may be the first to come back. But no node copies anything that is a seed of its own.
    seeds = [host for host in plan.hosts if not (replacing and host == plan.host(name))]
    tokens = "" if alone or replacing else f"initial_token: {_TOKENS[number_of(name) - 1]}"
    return _filled(
        plan,
        f"{name}-replacing" if replacing else name,
        _DEPLOY / "local" / "cassandra.yaml",
        ADDRESS=plan.host(name),
        CASSANDRA_PORT=plan.port(name),
        STORAGE_PORT=storage,
        SEEDS=",".join(f"{host}:{storage}" for host in seeds),
        SNITCH="SimpleSnitch" if alone else "GossipingPropertyFileSnitch",
        INITIAL_TOKEN=tokens,
        COPIES_ITS_RANGE="true" if replacing else "false",
        IN_A_RING="false" if alone else "true",
        DATA=plan.data_of(name),
    )


def _gossip(*, alone: bool) -> dict[str, int]:
    """A single node waits for no other.

    One of three answers clients only once it knows which others are up: before that it would refuse quorums.
    """
    if alone:
        return {"cassandra.skip_wait_for_gossip_to_settle": 0}
    # The defaults are for large rings: 5 s, then three looks in 3 s.
    return {
        "cassandra.gossip_settle_min_wait_ms": 1000,
        "cassandra.gossip_settle_interval_ms": 500,
    }


def _rack(plan: Plan, name: str) -> Path:
    """The directory, for the class path, of the file that tells a node its rack: each has one of its own, as in three zones."""
    directory = plan.configuration / name
    directory.mkdir(exist_ok=True)
    (directory / "cassandra-rackdc.properties").write_text(
        f"dc={DATACENTER}\nrack=rack{number_of(name)}\n"
    )
    return directory


def _cache(plan: Plan, name: str) -> list[str]:
    if plan.cache_server is None:
        raise Fault("the plan has no server for the shared cache")
    primary = f"{plan.host(CACHE)} {plan.port(CACHE)}"
    config = _filled(
        plan,
        name,
        _DEPLOY / "local" / "cache.conf",
        ADDRESS=plan.host(name),
        CACHE_PORT=plan.port(name),
        PRIMARY=f"replicaof {primary}" if name == CACHE_REPLICA else "",
        HOME=plan.configuration,
    )
    return [plan.cache_server, str(config)]


def _filled(plan: Plan, name: str, template: Path, **values: object) -> Path:
    text = template.read_text()
    for placeholder, value in values.items():
        text = text.replace(placeholder, str(value))
    path = plan.configuration / f"{name}{template.suffix}"
    path.write_text(text)
    return path


def _java() -> str:
    # scripts/fetch_engines links it to the Java 17 that it found.
    java = _ENGINES / "java"
    if not java.exists():
        raise Fault(f"no {java}: run `make up`, which fetches the engines")
    return str(java)


def _classpath(engine: str) -> str:
    return f"{_ENGINES / engine}/*"


def _class_data(engine: str) -> list[str]:
    """Options of `java` for the archive of the engine's classes, if `make engines` has made one: a start takes less CPU time.

    An archive of other jars or of another class path is ignored.
    """
    return [
        f"-XX:SharedArchiveFile={path}" for path in sorted(_ENGINES.glob(f"{engine}-*.jsa"))[:1]
    ]
