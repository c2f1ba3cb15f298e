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

    def restart(self) -> None:
        """End it at once, and start it with what it has saved."""
        self.kill()
        self.launch()
        self.wait()

    def answers(self) -> bool:
        return redis_answers("127.0.0.1", self.port)


@contextmanager
def running_redis() -> Iterator[str]:
    """Its URL, as `FANFOLD_CACHE` takes it."""
    if chosen_source() == "external":
        yield Settings().cache
        return
    with running_node() as node:
        yield url_of(node)


def url_of(node: Node) -> str:
    """The URL of a running server, as `FANFOLD_CACHE` takes it."""
    return f"redis://127.0.0.1:{node.port}"


@contextmanager
def running_node() -> Iterator[Node]:
    """A server of one's own, which may be killed and started again."""
    node: Node = RedisFromPath()
    if chosen_source() == "containers":
        from tests.support.containers import ValkeyContainer

        node = ValkeyContainer()
    # Ctrl-C between two fixtures can pass by the finalizers; `stop` may run twice.
    atexit.register(node.stop)
    try:
        node.launch()
        node.wait()
        yield node
    finally:
        node.stop()
        atexit.unregister(node.stop)
