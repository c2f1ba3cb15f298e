"""Redis or Valkey as a child process of the test session, or in a container; chosen as Kafka and Cassandra are: see `tests/support/engines.py`.

It starts in a tenth of a second, so a test that needs no other engine has this one alone.
"""

from __future__ import annotations

import atexit
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from fanfold.core.settings import Settings
from tests.support.engines import Node, chosen_source
from tests.support.jars import JarNode
from tests.support.probes import redis_answers

SERVERS = ("redis-server", "valkey-server")
NOT_PERSISTENT = ("--save", "", "--appendonly", "no")
# A replica of the test gets its copy at once; by default others would be waited for.
NOT_WAITING = ("--repl-diskless-sync-delay", "0")


class RedisFromPath(JarNode):
    """A server from the PATH; `options` are those of its command line."""

    name = "redis"

    def __init__(self, *options: str) -> None:
        super().__init__()
        self.options: Sequence[str] = options

    def command(self) -> list[str]:
        found = next(filter(None, map(shutil.which, SERVERS)), None)
        if found is None:
            raise RuntimeError(f"no {' or '.join(SERVERS)}: run `make engines` (`make test` does)")
        own = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.home)]
        return [found, *own, *NOT_PERSISTENT, *NOT_WAITING, *self.options]

    def answers(self) -> bool:
        return redis_answers("127.0.0.1", self.port)


@contextmanager
def running_redis() -> Iterator[str]:
    """Its URL, as `FANFOLD_CACHE` takes it."""
    source = chosen_source()
    if source == "external":
        yield Settings().cache
        return
    node: Node = RedisFromPath()
    if source == "containers":
        from tests.support.containers import ValkeyContainer

        node = ValkeyContainer()
    # Ctrl-C between two fixtures can pass by the finalizers; `stop` may run twice.
    atexit.register(node.stop)
    try:
        node.launch()
        node.wait()
        yield f"redis://127.0.0.1:{node.port}"
    finally:
        node.stop()
        atexit.unregister(node.stop)
