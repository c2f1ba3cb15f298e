"""Counts the rows of a table in pieces of the token ring. It blocks, so call it in a thread."""

from __future__ import annotations

from itertools import pairwise

from cassandra.concurrent import execute_concurrent_with_args

from fanfold.adapters.cassandra.connect import connect
from fanfold.core.settings import Settings

_PIECES = 512
_LOWEST = -(2**63)
_TIMEOUT_S = 60.0


def token_ranges(pieces: int) -> list[tuple[int, int]]:
    """(after, up to) bounds that cover the ring once. The lowest token is never used: Cassandra reserves it."""
    bounds = [_LOWEST + 2**64 * piece // pieces for piece in range(pieces)] + [2**63 - 1]
    return list(pairwise(bounds))


def rows_in(settings: Settings, table: str, partition_key: str) -> int:
    """The exact number, as long as there are no writes."""
    patient = settings.model_copy(update={"cassandra_timeout_s": _TIMEOUT_S})
    session = connect(patient, keyspace=settings.cassandra_keyspace)
    try:
        count = session.prepare(
            f"SELECT count(*) FROM {table} WHERE token({partition_key}) > ? AND token({partition_key}) <= ?"  # noqa: S608 - our own names
        )
        answers = execute_concurrent_with_args(session, count, token_ranges(_PIECES), concurrency=8)
        return sum(answer.result_or_exc.one()[0] for answer in answers)
    finally:
        session.cluster.shutdown()
