"""A bare program that writes the rows of fan-outs: no Kafka, no Faust, no reads. `python -m bench.bare_writes`.

Reads orders as JSON lines from stdin, answers each with one line. Two ways of writing:

* `batches`: the best that Python can do as far as we know: UNLOGGED batches of rows whose shared columns are
  serialised once, 64 in flight, on the driver's own callbacks without asyncio;
* `inserts`: what one writes first: a prepared INSERT a row, 256 in flight.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

from cassandra.cluster import Session

from bench.crowd import reader_id
from fanfold.adapters.cassandra.connect import connect
from fanfold.adapters.cassandra.packed import PackedBatch, PackedRows, Packing, length
from fanfold.adapters.cassandra.timestamps import at_creation
from fanfold.core.ids import new_post_id
from fanfold.core.settings import Settings

ROWS_IN_A_BATCH = 100
IN_FLIGHT = {"batches": 64, "inserts": 256}
TTL_S = 31 * 24 * 3600
# The same statement as the product's, so the rows are identical.
PUSH = (
    "INSERT INTO user_timeline (user_id, post_id, author_id) VALUES (?, ?, ?) "
    "USING TIMESTAMP ? AND TTL ?"
)


class Writer:
    """Sends statements without waiting, a bounded number at a time."""

    def __init__(self, session: Session, settings: Settings) -> None:
        self._session = session
        self._keyspace = settings.cassandra_keyspace
        self._push = session.prepare(PUSH, keyspace=self._keyspace)
        self._failures: list[BaseException] = []

    def write(self, how: str, posts: list[tuple[UUID, str]], readers: list[str]) -> int:
        """Returns the rows written once all are acknowledged. Raises the first failure."""
        most = IN_FLIGHT[how]
        room = threading.Semaphore(most)
        rows = 0
        for post_id, author_id in posts:
            made = getattr(self, f"_{how}")(post_id, author_id, readers)
            for statement, bound in made:
                room.acquire()
                future = self._session.execute_async(statement, bound, timeout=30)
                future.add_callbacks(*self._settled(room))
            rows += len(readers)
        for _ in range(most):
            room.acquire()
        if self._failures:
            raise self._failures[0]
        return rows

    def _settled(
        self, room: threading.Semaphore
    ) -> tuple[Callable[[Any], None], Callable[[BaseException], None]]:
        def failed(error: BaseException) -> None:
            self._failures.append(error)
            room.release()

        return lambda _: room.release(), failed

    def _batches(
        self, post_id: UUID, author_id: str, readers: list[str]
    ) -> Iterator[tuple[PackedBatch, None]]:
        packing = Packing(self._push)
        shared = packing.values(1, post_id, author_id, at_creation(post_id), TTL_S)
        start = packing.row_start
        for first in range(0, len(readers), ROWS_IN_A_BATCH):
            keys = [reader.encode() for reader in readers[first : first + ROWS_IN_A_BATCH]]
            wire = b"".join([start + length(len(key)) + key + shared for key in keys])
            rows = PackedRows(len(keys), wire)
            yield PackedBatch(rows, keyspace=self._keyspace, routing_key=keys[0]), None

    def _inserts(
        self, post_id: UUID, author_id: str, readers: list[str]
    ) -> Iterator[tuple[Any, tuple[Any, ...]]]:
        created = at_creation(post_id)
        for reader in readers:
            yield self._push, (reader, post_id, author_id, created, TTL_S)


def main() -> None:
    settings = Settings()
    session = connect(settings, keyspace=None)
    writer = Writer(session, settings)
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        now_ms = time.time_ns() // 1_000_000
        posts = [(new_post_id(now_ms), author) for author in order["authors"]]
        readers = [reader_id(number) for number in range(order["followers"])]
        started_s, cpu_s = time.perf_counter(), time.process_time()
        rows = writer.write(order["how"], posts, readers)
        answer = {
            "rows": rows,
            "elapsed_s": time.perf_counter() - started_s,
            "cpu_s": time.process_time() - cpu_s,
        }
        print(json.dumps(answer), flush=True)
    session.cluster.shutdown()


if __name__ == "__main__":
    main()
