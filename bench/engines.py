"""The tests' engines, configured for measuring: with server defaults instead of a quick start and survival of `kill -9`."""

from __future__ import annotations

from pathlib import Path

from tests.support.engines import RealEngines
from tests.support.jars import CassandraFromJars, KafkaFromJars

# The tests want a quick start; a measurement needs the compilers and the collector of a server.
_JVM = {
    "-XX:+UseSerialGC": "-XX:+UseG1GC",
    "-XX:TieredStopAtLevel=1": "-XX:+TieredCompilation",
    "flush_local_schema_changes=false": "flush_local_schema_changes=true",
    "approximate_time_precision_ms=20": "approximate_time_precision_ms=2",
}
# With three replicas a periodic sync is enough, and it is the engine's default. (The tests have one replica, and kill it.)
_COMMIT_LOG = {
    "commitlog_sync: batch": "commitlog_sync: periodic\ncommitlog_sync_period: 10000ms",
    "concurrent_writes: 512": "concurrent_writes: 32",
}


class CassandraToMeasure(CassandraFromJars):
    """2 GB of heap, G1, full JIT, the commit log synced every ten seconds."""

    on_disk = True

    def command(self) -> list[str]:
        heap = {"-Xms768m": "-Xms2g", "-Xmx768m": "-Xmx2g"}
        return _checked(
            [_replaced(argument, _JVM | heap) for argument in super().command()], "-Xmx2g"
        )

    def filled(self, template: str, **values: object) -> Path:
        path = super().filled(template, **values)
        path.write_text(_replaced(path.read_text(), _COMMIT_LOG))
        _checked([path.read_text()], "commitlog_sync: periodic")
        return path


class KafkaToMeasure(KafkaFromJars):
    """512 MB of heap, G1, full JIT."""

    on_disk = True

    def command(self) -> list[str]:
        heap = {"-Xms256m": "-Xms512m", "-Xmx256m": "-Xmx512m"}
        return _checked(
            [_replaced(argument, _JVM | heap) for argument in super().command()], "-Xmx512m"
        )


def engines_to_measure() -> RealEngines:
    """Not started yet."""
    return RealEngines(KafkaToMeasure(), CassandraToMeasure())


def configuration() -> dict[str, str]:
    """The engines' versions and configuration, for the record."""
    return {
        "cassandra": "1 node, RF 1, 2 GB heap, G1, commit log periodic (10 s)",
        "kafka": "1 broker, 512 MB heap, G1, acks=all, no fsync per write (its default)",
    }


def _replaced(text: str, instead: dict[str, str]) -> str:
    for old, new in instead.items():
        text = text.replace(old, new)
    return text


def _checked(texts: list[str], wanted: str) -> list[str]:
    """Fail if the tests' configuration has changed: measuring on it unnoticed would be worse."""
    if not any(wanted in text for text in texts):
        raise RuntimeError(f"the engines of tests/support/jars.py no longer lead to {wanted}")
    return texts
