"""How many statements Cassandra has executed so far, from its own table. It blocks, so call it in a thread."""

from __future__ import annotations

from fanfold.adapters.cassandra.connect import connect
from fanfold.core.settings import Settings

_EXECUTED = "SELECT value FROM system_views.cql_metrics WHERE name = ?"


class Statements:
    """A connection of its own. Each question is a statement too."""

    def __init__(self, settings: Settings) -> None:
        self._session = connect(settings, keyspace=settings.cassandra_keyspace)
        self._executed = self._session.prepare(_EXECUTED)

    def so_far(self) -> float:
        """Prepared statements, of all clients; the parts of a batch are not among them."""
        row = self._session.execute(self._executed, ("prepared_statements_executed",)).one()
        return float(row[0])

    def close(self) -> None:
        self._session.cluster.shutdown()
