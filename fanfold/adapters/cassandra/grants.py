"""What each service's role may do. A cluster that asks for no password needs none of it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fanfold.adapters.cassandra.migrate import operator_session
from fanfold.core.errors import Fault
from fanfold.core.settings import Settings

_NAME = "[a-z][a-z0-9_]{0,47}"
_READER = re.compile(_NAME)
_WRITER = re.compile(f"(?P<role>{_NAME})(:(?P<table>{_NAME}))?")


async def grant(settings: Settings, *, read: Sequence[str], write: Sequence[str]) -> list[str]:
    """Let all of these roles read the keyspace, and the writers write it; one line for each.

    A writer is `role`, for every table, or `role:table`. Idempotent; takes nothing away. Raises `Fault` for what is no
    name, for a role or a table that there isn't, and for a connection that may not grant; `Unavailable` when Cassandra is
    away.
    """
    keyspace = settings.cassandra_keyspace
    statements = [*(_read(keyspace, role) for role in read), *_write(keyspace, write)]
    async with operator_session(settings, keyspace=keyspace) as cql:
        for _, statement in statements:
            await cql.run(statement)
    return [line for line, _ in statements]


def _read(keyspace: str, role: str) -> tuple[str, str]:
    if not _READER.fullmatch(role):
        raise Fault(f"role {role!r}: expected lower-case letters, digits and _")
    return f"{role} may read {keyspace}", f"GRANT SELECT ON KEYSPACE {keyspace} TO {role}"


def _write(keyspace: str, writers: Sequence[str]) -> list[tuple[str, str]]:
    statements = []
    for writer in writers:
        found = _WRITER.fullmatch(writer)
        if found is None:
            raise Fault(
                f"writer {writer!r}: expected role or role:table, of lower-case letters, digits and _"
            )
        role, table = found["role"], found["table"]
        what = f"{keyspace}.{table}" if table else keyspace
        on = f"TABLE {what}" if table else f"KEYSPACE {what}"
        statements += [
            _read(keyspace, role),
            (f"{role} may write {what}", f"GRANT MODIFY ON {on} TO {role}"),
        ]
    return statements
