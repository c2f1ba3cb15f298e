"""What the three consumers share: events come at least once, their effects are kept exactly once.

The next offset of each partition is stored in the consumer's own database, in the transaction that holds the effects of the records
before it. A consumer that is killed starts at the stored offsets; one that has lost a partition to another member, and does not know it
yet, finds the offset moved and leaves out what the other has done. Kafka's own offsets are not used, so `group` only shares partitions
out. Copy this file.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar, Protocol

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

logger = logging.getLogger(__name__)

Event = dict[str, Any]
_OFFSETS = (
    "CREATE TABLE IF NOT EXISTS offsets (topic, partition, next, PRIMARY KEY (topic, partition))"
)


class Record(Protocol):
    """What is used of a record of aiokafka."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...
    @property
    def value(self) -> bytes | None: ...


class Consumer:
    """A database that is made from topics. A subclass names them, creates its tables in `SCHEMA`, and changes them in `apply`."""

    TOPICS: ClassVar[tuple[str, ...]]
    SCHEMA: ClassVar[str]

    def __init__(self, database: Path) -> None:
        self.path = database
        with closing(self.open()) as db:
            # Readers see the last transaction while the next one is under way.
            db.execute("PRAGMA journal_mode = WAL")
            db.execute(_OFFSETS)
            db.executescript(self.SCHEMA)

    def open(self) -> sqlite3.Connection:
        """A connection of one thread, without implicit transactions."""
        db = sqlite3.connect(self.path, isolation_level=None, timeout=30)
        # A power cut may take the last transactions back, each with its offset: they are handled again.
        db.execute("PRAGMA synchronous = NORMAL")
        return db

    def apply(self, db: sqlite3.Connection, type_: str, event: Event) -> None:
        """Change the tables. Called once for each event, in order within a key; ignores types that it does not know."""
        raise NotImplementedError

    def next_offset(self, topic: str, partition: int) -> int:
        with closing(self.open()) as db:
            return _next(db, topic, partition)

    def handle(self, records: Sequence[Record]) -> None:
        """Apply records of one partition, in order. All or none of them; those that were applied already are left out."""
        with closing(self.open()) as db:
            db.execute("BEGIN IMMEDIATE")
            topic, partition = records[0].topic, records[0].partition
            stored = _next(db, topic, partition)
            for record in records:
                if record.offset < stored:
                    continue
                type_ = dict(record.headers).get("ce_type", b"").decode()
                if record.value is not None:
                    self.apply(db, type_, json.loads(record.value))
                stored = record.offset + 1
            db.execute("REPLACE INTO offsets VALUES (?, ?, ?)", (topic, partition, stored))
            db.execute("COMMIT")

    def load(
        self, topic: str, partition: int, events: Iterable[tuple[str, Event]], end: int
    ) -> None:
        """Begin a partition with the events of a snapshot that ends there: all or none. One that has begun is left as it is."""
        with closing(self.open()) as db:
            db.execute("BEGIN IMMEDIATE")
            if not _next(db, topic, partition):
                for type_, event in events:
                    self.apply(db, type_, event)
                db.execute("REPLACE INTO offsets VALUES (?, ?, ?)", (topic, partition, end))
            db.execute("COMMIT")


def _next(db: sqlite3.Connection, topic: str, partition: int) -> int:
    found = db.execute(
        "SELECT next FROM offsets WHERE topic = ? AND partition = ?", (topic, partition)
    ).fetchone()
    return found[0] if found else 0


class _StoredOffsets(ConsumerRebalanceListener):  # type: ignore[misc]
    """Starts each partition that this member is given where the database says."""

    def __init__(self, consumer: Consumer, kafka: AIOKafkaConsumer) -> None:
        self._consumer, self._kafka = consumer, kafka

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Nothing: what was handled is stored."""

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        for given in assigned:
            self._kafka.seek(given, self._consumer.next_offset(given.topic, given.partition))


async def consume(
    consumer: Consumer, *, bootstrap: str, group: str, prefix: str = "fanfold", **options: Any
) -> None:
    """Keep the consumer's database up to date until cancelled. Several members of a group may share one database.

    `options` are aiokafka's, such as those for TLS and a password.
    """
    kafka = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=group,
        enable_auto_commit=False,
        # Where the log has lost its first records: from the first that is left.
        auto_offset_reset="earliest",
        **options,
    )
    kafka.subscribe(
        [f"{prefix}.{topic}" for topic in consumer.TOPICS], listener=_StoredOffsets(consumer, kafka)
    )
    try:
        await kafka.start()
        while True:
            for records in (await kafka.getmany(timeout_ms=1000, max_records=500)).values():
                # Short, so it may block the loop; a slower one belongs into a thread.
                consumer.handle(records)
    finally:
        await kafka.stop()
