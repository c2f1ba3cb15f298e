"""A Redis with one replica, and three sentinels that let it take over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.support.redis_cluster import ask, wait_for
from tests.support.redis_node import RedisFromPath

MASTER = "cache"
SENTINELS = 3
_CONFIGURATION = """\
bind 127.0.0.1
port {port}
dir {home}
sentinel monitor {master} 127.0.0.1 {master_port} 2
sentinel down-after-milliseconds {master} 700
sentinel failover-timeout {master} 2000
"""


class SentinelNode(RedisFromPath):
    """One sentinel, which writes what it learns into its configuration."""

    def __init__(self, master: RedisFromPath) -> None:
        super().__init__()
        self._master_port = master.port

    def command(self) -> list[str]:
        server, *_ = super().command()
        path = self.home / "sentinel.conf"
        if not path.exists():
            path.write_text(
                _CONFIGURATION.format(
                    port=self.port, home=self.home, master=MASTER, master_port=self._master_port
                )
            )
        return [server, str(path), "--sentinel"]


class WatchedRedis:
    """The running servers. `first` is the master at first, `second` its replica."""

    def __init__(self) -> None:
        self.first = RedisFromPath()
        self.second = RedisFromPath("--replicaof", "127.0.0.1", str(self.first.port))
        self.sentinels = [SentinelNode(self.first) for _ in range(SENTINELS)]

    @property
    def nodes(self) -> list[RedisFromPath]:
        return [self.first, self.second, *self.sentinels]

    @property
    def url(self) -> str:
        """As `FANFOLD_CACHE` takes it."""
        addresses = ",".join(f"127.0.0.1:{node.port}" for node in self.sentinels)
        return f"redis+sentinel://{addresses}/{MASTER}"

    def ready(self) -> bool:
        """Whether each sentinel knows the others and the replica, which is in step."""
        if b"master_link_status:up" not in ask(self.second, "INFO", "replication"):
            return False
        return all(self._knows_all(sentinel) for sentinel in self.sentinels)

    def _knows_all(self, sentinel: SentinelNode) -> bool:
        answer = ask(sentinel, "SENTINEL", "MASTER", MASTER)
        told = dict(zip(answer[::2], answer[1::2], strict=True))
        return (told[b"num-slaves"], told[b"num-other-sentinels"]) == (b"1", b"2")


@contextmanager
def watched_redis() -> Iterator[WatchedRedis]:
    """Servers of one's own."""
    with ExitStack() as stack:
        watched = WatchedRedis()
        for node in watched.nodes:
            stack.callback(node.stop)
            node.launch()
            node.wait()
        wait_for(watched.ready, "the sentinels know all")
        yield watched
