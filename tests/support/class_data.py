"""Archives of the classes that Kafka and Cassandra load: with them an engine starts in two thirds of the CPU time.

`python -m tests.support.class_data` makes those that are missing; `make engines` runs it. Without them engines start all the same.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.support.jars import CassandraFromJars, JarNode, KafkaFromJars, archive_of


class _Recorded(JarNode):
    """Writes the archive when it stops."""

    def class_data(self) -> Sequence[str]:
        # Hundreds of warnings name the classes that can't be archived.
        return f"-XX:ArchiveClassesAtExit={self.home}/classes.jsa", "-Xlog:disable"


class _RecordedKafka(_Recorded, KafkaFromJars):
    pass


class _RecordedCassandra(_Recorded, CassandraFromJars):
    pass


def make(node: JarNode) -> None:
    """Make the archive of an engine from one short run of it."""
    archive = archive_of(node.name)
    try:
        node.launch()
        node.wait()
        if node.process is not None:
            node.process.send_signal(signal.SIGTERM)
            node.process.wait(60)
        # Written whole or not at all, even if two processes make it at the same time.
        made = archive.with_suffix(f".{os.getpid()}")
        made.write_bytes((node.home / "classes.jsa").read_bytes())
        made.replace(archive)
        for old in set(archive.parent.glob(f"{node.name}-*.jsa")) - {archive}:
            old.unlink(missing_ok=True)
    finally:
        node.stop()


if __name__ == "__main__":
    missing = [
        node for node in (_RecordedKafka, _RecordedCassandra) if not archive_of(node.name).exists()
    ]
    if missing:
        print("==> archiving the classes of the engines (once; a quarter of a minute)")
        with ThreadPoolExecutor() as threads:
            list(threads.map(lambda node: make(node()), missing))
