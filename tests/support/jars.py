"""Kafka and Cassandra as child processes of the test session, from the jars in `.cache/engines/`."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import psutil

from tests.support.probes import cassandra_answers, free_port, kafka_answers, wait_until

ROOT = Path(__file__).parents[2]
# As Java names them in the archives of classes.
JARS = (ROOT / ".cache" / "engines").resolve()
TEMPLATES = ROOT / "deploy" / "engines"
START_WITHIN_S = 120.0
# Quick to start on two cores: one thread of garbage collection, and no profiling compiler. Out of memory, an
# engine would linger half alive: better gone.
JVM = [
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-XX:+ExitOnOutOfMemoryError",
]
LOG_TAIL_LINES = 20
# Ends an engine ($2) whose test process ($1) was killed, and removes its files ($3): no finalizer ran.
WATCH = 'while kill -0 "$1"; do kill -0 "$2" || exit 0; sleep 3; done; kill -9 "$2"; rm -rf "$3"'
MEMORY = Path("/dev/shm")


class JarNode(ABC):
    """One JVM in a temporary directory that holds its configuration, its data and its log."""

    name: str
    on_disk = False

    def __init__(self) -> None:
        self.port = free_port()
        directory = None if self.on_disk else directory_in_memory()
        self.home = Path(tempfile.mkdtemp(prefix=f"fanfold-{self.name}-", dir=directory))
        self.log = self.home / "engine.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None
        self.failed = False

    @abstractmethod
    def command(self) -> list[str]:
        """What to run; called before each start, writes the configuration that it names."""

    @abstractmethod
    def answers(self) -> bool: ...

    def launch(self) -> None:
        if self.process is not None and self.process.poll() is None:
            raise RuntimeError(f"{self.name} is running already")
        command = self.command()
        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C goes to pytest, which stops the engine when its tests are done.
            self.process = subprocess.Popen(
                command,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._unwatch()
        self._watcher = subprocess.Popen(
            [
                *("/bin/sh", "-c", WATCH, "watch"),
                *(str(os.getpid()), str(self.process.pid), str(self.home)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _unwatch(self) -> None:
        if self._watcher is not None:
            self._watcher.kill()
            self._watcher.wait()
            self._watcher = None

    def wait(self) -> None:
        if wait_until(self.answers, within_s=START_WITHIN_S, gone=self.is_gone):
            return
        self.failed = True
        tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])
        self.kill()
        raise RuntimeError(f"{self.name} did not start; its log is kept: {self.log}\n{tail}")

    def is_gone(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process = None
        self._unwatch()

    def stop(self) -> None:
        self.kill()
        if not self.failed:
            shutil.rmtree(self.home, ignore_errors=True)

    def classpath(self) -> str:
        jars = JARS / self.name
        if not any(jars.glob("*.jar")):
            raise RuntimeError(f"no jars in {jars}: run `make engines` (`make test` does)")
        return f"{jars}/*"

    def class_data(self) -> Sequence[str]:
        """Options of `java` about the archive of its classes; see `class_data.py`."""
        archive = archive_of(self.name)
        return [f"-XX:SharedArchiveFile={archive}"] if archive.exists() else []

    def filled(self, template: str, **values: object) -> Path:
        text = (TEMPLATES / self.name / template).read_text()
        for placeholder, value in {**values, "DATA": self.home / "data"}.items():
            text = text.replace(placeholder, str(value))
        path = self.home / template
        path.write_text(text)
        return path


class KafkaFromJars(JarNode):
    name = "kafka"

    def __init__(self) -> None:
        super().__init__()
        self.controller_port = free_port()

    def command(self) -> list[str]:
        config = self.filled(
            "server.properties", KAFKA_PORT=self.port, CONTROLLER_PORT=self.controller_port
        )
        java = f"{java_program()} {' '.join(JVM)} -Xmx256m -Dorg.apache.logging.log4j.level=WARN"
        class_data = " ".join(self.class_data())
        # Once only: formatting starts a JVM of its own.
        formatted = "true" if any(self.home.rglob("meta.properties")) else "false"
        # One pid for both steps: the shell becomes the broker.
        return [
            "/bin/sh",
            "-ec",
            (
                f'export CLASSPATH="$1"; {formatted} || {java} kafka.tools.StorageTool format'
                ' -t fanfoldfanfoldfanfoldQ -c "$2";'
                f' exec {java} {class_data} -Xms256m kafka.Kafka "$2"'
            ),
            "kafka",
            self.classpath(),
            str(config),
        ]

    def answers(self) -> bool:
        return kafka_answers("127.0.0.1", self.port)


class CassandraFromJars(JarNode):
    name = "cassandra"

    def __init__(self) -> None:
        super().__init__()
        self.storage_port = free_port()

    def command(self) -> list[str]:
        config = self.filled(
            "cassandra.yaml", CASSANDRA_PORT=self.port, STORAGE_PORT=self.storage_port
        )
        # Alone in its ring, it has nobody to wait for.
        properties = {
            "jdk.attach.allowAttachSelf": "true",
            "cassandra.config": config.as_uri(),
            "logback.configurationFile": (TEMPLATES / "cassandra" / "logback.xml").as_uri(),
            "cassandra.storagedir": self.home / "data",
            "cassandra.superuser_setup_delay_ms": 0,
            "cassandra.ring_delay_ms": 0,
            "cassandra.skip_wait_for_gossip_to_settle": 0,
            "cassandra-foreground": "yes",
            # Its clock for timeouts would wake it 500 times a second.
            "cassandra.approximate_time_precision_ms": 20,
            # Two thirds of the time of a migration: else each statement writes the system tables to disk. Before a
            # SIGKILL, `schema_on_disk` does.
            "cassandra.test.flush_local_schema_changes": "false",
        }
        return [
            java_program(),
            *JVM,
            *self.class_data(),
            "-Xms768m",
            "-Xmx768m",
            "-Xss512k",
            f"@{TEMPLATES / 'cassandra' / 'jvm17.options'}",
            *(f"-D{key}={value}" for key, value in properties.items()),
            "-cp",
            self.classpath(),
            "org.apache.cassandra.service.CassandraDaemon",
        ]

    def answers(self) -> bool:
        return cassandra_answers("127.0.0.1", self.port)


def archive_of(engine: str) -> Path:
    """For exactly these jars, where they are now, and this Java: any other archive is ignored when an engine starts."""
    program = (JARS / "java").resolve()
    made_of = (TEMPLATES / engine / "jars.sha256").read_bytes()
    made_of += f"{JARS} {program} {program.stat().st_mtime_ns}".encode()
    return JARS / f"{engine}-{hashlib.sha256(made_of).hexdigest()[:12]}.jsa"


def directory_in_memory() -> Path | None:
    """If this machine has plenty. A SIGKILL loses nothing there, as it loses nothing of the kernel's buffers; and no write waits."""
    try:
        free = shutil.disk_usage(MEMORY).free
    except OSError:
        return None
    plenty = free > 4 * 2**30 and psutil.virtual_memory().available > 8 * 2**30
    return MEMORY if plenty else None


def java_program() -> str:
    # Left by scripts/fetch_engines: the Java 17, wherever it was found.
    java = JARS / "java"
    if not java.exists():
        raise RuntimeError(f"no {java}: run `make engines` (`make test` does)")
    return str(java)


def nodetool(port: int, *words: str) -> str:
    """What `nodetool` says of the node with this port. Raises `CalledProcessError` where it fails."""
    options = TEMPLATES / "cassandra" / "jvm17.options"
    return subprocess.run(
        [
            *(java_program(), f"@{options}", "-cp", f"{JARS / 'cassandra'}/*"),
            *("org.apache.cassandra.tools.NodeTool", "-h", "127.0.0.1", "-p", str(port), *words),
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
