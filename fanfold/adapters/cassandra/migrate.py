"""The schema of `schemas/cassandra/`: numbered files, applied once each, in order.

Every statement is `IF NOT EXISTS`, so a file that was half applied when its runner died is simply applied again.
Two runners at once take turns: the first to insert a file's row, by a lightweight transaction, applies the file.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cassandra.cluster import Session

from fanfold.adapters.cassandra.connect import connect
from fanfold.adapters.cassandra.driver_errors import DRIVER_ERRORS, translated
from fanfold.core.errors import Fault, TablesUnavailable
from fanfold.core.settings import Settings
from fanfold.core.topics import SCHEMAS

CREATE_KEYSPACE = """
CREATE KEYSPACE IF NOT EXISTS {keyspace}
WITH replication = {{'class': 'NetworkTopologyStrategy', '{datacenter}': {replication}}}
"""
# Two nodes that create a table at once would give it two ids and disagree for ever; this id is the same on both.
CREATE_MIGRATIONS = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version int PRIMARY KEY, name text, checksum text, runner uuid, applied boolean
) WITH id = {table_id}
"""
READ = "SELECT name, checksum, applied FROM schema_migrations WHERE version = %s"
# The claim of a runner that died expires.
CLAIM = """
INSERT INTO schema_migrations (version, name, checksum, runner, applied)
VALUES (%s, %s, %s, %s, false) IF NOT EXISTS USING TTL 60
"""
# It writes all columns, so that none keeps the claim's TTL, and is conditional, so that it is later than the claim.
FINISH = """
UPDATE schema_migrations SET name = %s, checksum = %s, applied = true, runner = %s
WHERE version = %s IF runner = %s
"""
RECORD_PARTITIONS = """
INSERT INTO topic_partitions (topic, partitions) VALUES (%s, %s) IF NOT EXISTS
"""
RECORDED_PARTITIONS = "SELECT topic, partitions FROM topic_partitions"

KEYSPACE_NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")
POLL_S = 0.2
# Changing the schema is slow on a loaded ring, and only an operator waits for it.
TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Migration:
    """One file. The checksum covers only what is executed, so comments may change."""

    version: int
    name: str
    statements: tuple[str, ...]

    @property
    def checksum(self) -> str:
        return hashlib.sha256(";".join(self.statements).encode()).hexdigest()


def load_migrations(directory: Path = SCHEMAS / "cassandra") -> list[Migration]:
    """All migrations in order. Raises `Fault` if their numbers aren't 1, 2, 3 and so on."""
    paths = sorted(directory.glob("*.cql"))
    migrations = [_load(path) for path in paths]
    if [migration.version for migration in migrations] != list(range(1, len(paths) + 1)):
        raise Fault(f"{directory}: migrations must be numbered from 0001 without a gap")
    return migrations


async def migrate(settings: Settings, migrations: list[Migration] | None = None) -> list[str]:
    """Create the keyspace and apply the missing migrations. Returns one line for each.

    Idempotent, and safe while another process does the same. Raises `Fault` when a file that was applied has changed,
    `Unavailable` when Cassandra doesn't answer.
    """
    keyspace = settings.cassandra_keyspace
    if not KEYSPACE_NAME.fullmatch(keyspace):
        raise Fault(f"keyspace {keyspace!r}: expected lower-case letters, digits and _")
    async with operator_session(settings, keyspace=None) as cql:
        await cql.change(
            CREATE_KEYSPACE.format(
                keyspace=keyspace,
                datacenter=settings.cassandra_datacenter,
                replication=settings.cassandra_replication,
            )
        )
        await cql.change(f"USE {keyspace}")
        table_id = uuid.uuid5(uuid.NAMESPACE_DNS, f"{keyspace}.schema_migrations.fanfold")
        await cql.change(CREATE_MIGRATIONS.format(table_id=table_id))
        wanted = load_migrations() if migrations is None else migrations
        applied = [file.name for file in wanted if await _applied_now(cql, file)]
    return [f"applied {name}" for name in applied] or [f"keyspace {keyspace} is up to date"]


async def record_partitions(settings: Settings, counts: dict[str, int]) -> None:
    """Record each topic's partition count for life. Raises `Fault` if another count is recorded; idempotent."""
    async with operator_session(settings, keyspace=settings.cassandra_keyspace) as cql:
        for topic, partitions in counts.items():
            applied, *existing = (await cql.run(RECORD_PARTITIONS, topic, partitions))[0]
            if not applied and existing != [topic, partitions]:
                raise Fault(
                    f"topic {topic} has {partitions} partitions, but was created with {existing[1]}:"
                    " the count is fixed for life; more partitions means a new topic and a replay"
                )


async def recorded_partitions(settings: Settings) -> dict[str, int]:
    """The recorded partition count of every topic, by physical name."""
    async with operator_session(settings, keyspace=settings.cassandra_keyspace) as cql:
        return dict(await cql.run(RECORDED_PARTITIONS))


class Cql:
    """Runs an operator's few statements, each in a thread."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def run(self, cql: str, *values: Any) -> list[Any]:
        result = await asyncio.to_thread(
            self._session.execute, cql, values or None, timeout=TIMEOUT_S
        )
        return list(result)

    async def change(self, cql: str) -> None:
        """Change the schema, and return once all nodes agree on it."""
        result = await asyncio.to_thread(self._session.execute, cql, timeout=TIMEOUT_S)
        if not result.response_future.is_schema_agreed:
            raise TablesUnavailable(
                "Cassandra: the nodes don't agree on the schema yet; run it again"
            )


@asynccontextmanager
async def operator_session(settings: Settings, *, keyspace: str | None) -> AsyncIterator[Cql]:
    """A session for an operator's few statements. Raises `Unavailable`, or `Fault` for an error that a retry can't fix."""
    try:
        session = await asyncio.to_thread(connect, settings, keyspace=keyspace)
        try:
            yield Cql(session)
        finally:
            await asyncio.to_thread(session.cluster.shutdown)
    except DRIVER_ERRORS as error:
        raise translated(error) from error


async def _applied_now(cql: Cql, migration: Migration) -> bool:
    """Apply the migration. False if it was applied already, or another runner applied it meanwhile."""
    runner = uuid.uuid4()
    row = (migration.name, migration.checksum)
    while not (await cql.run(CLAIM, migration.version, *row, runner))[0][0]:
        held = await cql.run(READ, migration.version)
        if held and held[0][2]:
            name, checksum, _ = held[0]
            if checksum != migration.checksum:
                raise Fault(f"{name} was changed after it was applied: add a new migration instead")
            return False
        await asyncio.sleep(POLL_S)
    for statement in migration.statements:
        await cql.change(statement)
    await cql.run(FINISH, *row, runner, migration.version, runner)
    return True


def _load(path: Path) -> Migration:
    # No literal in a migration contains "--" or ";".
    code = re.sub(r"--.*", "", path.read_text())
    statements = tuple(" ".join(part.split()) for part in code.split(";") if part.strip())
    return Migration(version=int(path.name[:4]), name=path.name, statements=statements)
