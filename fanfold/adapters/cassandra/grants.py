"""Grants to the services' roles. A cluster without passwords needs none."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from fanfold.adapters.cassandra.migrate import Cql, operator_session
from fanfold.core.errors import Fault
from fanfold.core.settings import Settings

_NAME = "[a-z][a-z0-9_]{0,47}"
_READER = re.compile(_NAME)
_WRITER = re.compile(f"(?P<role>{_NAME})(:(?P<table>{_NAME}))?")
# Cassandra names the resources of a permission so: all keyspaces, a keyspace, a table.
_ALL = "data"
_HELD = "SELECT resource, permissions FROM system_auth.role_permissions WHERE role = %s"

Rights = dict[str, set[str]]
"""The permissions of one role, by resource."""


async def grant(settings: Settings, *, read: Sequence[str], write: Sequence[str]) -> list[str]:
    """Let all of these roles read the keyspace and the writers write it, and nothing more there; one line for each change asked for.

    A writer is `role`, for every table, or `role:table`; a role may be named with several tables. Any other right of these
    roles on the keyspace, its tables or all keyspaces is revoked, after the grants, so that a running service keeps what
    it needs. Other roles are left alone. Idempotent. Raises `Fault` for what is no name, for a role or a table that there
    isn't, and for a connection that may not grant; `Unavailable` when Cassandra is away.
    """
    keyspace = settings.cassandra_keyspace
    wanted = wanted_rights(keyspace, read=read, write=write)
    lines = []
    async with operator_session(settings, keyspace=keyspace) as cql:
        for role, rights in wanted.items():
            for resource, permission in _each(rights):
                await cql.run(f"GRANT {permission} ON {_on(resource)} TO {role}")
                verb = "read" if permission == "SELECT" else "write"
                lines.append(f"{role} may {verb} {_shown(resource)}")
            for resource, permission in _each(surplus(keyspace, await _held(cql, role), rights)):
                await cql.run(f"REVOKE {permission} ON {_on(resource)} FROM {role}")
                lines.append(f"{role} may no longer {permission} {_shown(resource)}")
    return lines


def wanted_rights(keyspace: str, *, read: Sequence[str], write: Sequence[str]) -> dict[str, Rights]:
    """The rights that were asked for, by role. Raises `Fault` for what is no name."""
    wanted: dict[str, Rights] = {}
    whole = f"{_ALL}/{keyspace}"
    for role in read:
        if not _READER.fullmatch(role):
            raise Fault(f"role {role!r}: expected lower-case letters, digits and _")
        wanted.setdefault(role, defaultdict(set))[whole].add("SELECT")
    for writer in write:
        found = _WRITER.fullmatch(writer)
        if found is None:
            raise Fault(
                f"writer {writer!r}: expected role or role:table, of lower-case letters, digits and _"
            )
        rights = wanted.setdefault(found["role"], defaultdict(set))
        rights[whole].add("SELECT")
        rights[f"{whole}/{found['table']}" if found["table"] else whole].add("MODIFY")
    return wanted


def surplus(keyspace: str, held: Mapping[str, set[str]], wanted: Mapping[str, set[str]]) -> Rights:
    """The rights on the keyspace, its tables or all keyspaces that are held and not wanted."""
    whole = f"{_ALL}/{keyspace}"
    return {
        resource: permissions - wanted.get(resource, set())
        for resource, permissions in held.items()
        if resource in {_ALL, whole} or resource.startswith(f"{whole}/")
    }


async def _held(cql: Cql, role: str) -> Rights:
    held = await cql.run(_HELD, role)
    # A set that has become empty is read as none.
    return {resource: set(permissions or ()) for resource, permissions in held}


def _each(rights: Mapping[str, set[str]]) -> Iterator[tuple[str, str]]:
    # SELECT before MODIFY, as a reader of the lines expects it.
    for resource, permissions in rights.items():
        for permission in sorted(permissions, reverse=True):
            yield resource, permission


def _on(resource: str) -> str:
    _, *names = resource.split("/")
    return ("ALL KEYSPACES", f"KEYSPACE {'.'.join(names)}", f"TABLE {'.'.join(names)}")[len(names)]


def _shown(resource: str) -> str:
    return ".".join(resource.split("/")[1:]) or "all keyspaces"
