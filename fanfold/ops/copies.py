"""Which copies an installation with several brokers and nodes lacks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from fanfold.core.errors import Unavailable
from fanfold.core.settings import Settings

_MOST_PARTITIONS = 5


@dataclass(frozen=True, slots=True)
class Copies:
    """Brokers by id, partitions as `topic/partition`, Cassandra's nodes by address. `unknown` names an engine that does not answer at all."""

    brokers_down: tuple[int, ...] = ()
    under_replicated: tuple[str, ...] = ()
    nodes_down: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether nothing lacks a copy."""
        return self == Copies()

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> Iterator[str]:
        """For a person: one line for each kind."""
        yield f"brokers down            {_listed(self.brokers_down)}"
        some = self.under_replicated[:_MOST_PARTITIONS]
        more = "…" if len(self.under_replicated) > len(some) else ""
        partitions = f"{len(self.under_replicated)} {' '.join(some)} {more}".rstrip()
        yield f"under-replicated        {partitions}"
        yield f"Cassandra nodes down    {_listed(self.nodes_down)}"
        for reason in self.unknown:
            yield f"copies not known        {reason}"


async def read_copies(settings: Settings) -> Copies | None:
    """Ask both engines; None where neither keeps copies. Never raises `Unavailable`: what is missing is in the answer."""
    if max(settings.kafka_replication, settings.cassandra_replication) == 1:
        return None
    # Imported here, because the drivers take long to import, and one copy needs none of this.
    from fanfold.adapters.cassandra.nodes import nodes_down
    from fanfold.adapters.kafka.replicas import read_log_copies

    log, nodes = await asyncio.gather(
        read_log_copies(settings),
        asyncio.to_thread(nodes_down, settings),
        return_exceptions=True,
    )
    unknown = []
    for answer in (log, nodes):
        if isinstance(answer, Unavailable):
            unknown.append(str(answer))
        elif isinstance(answer, BaseException):
            raise answer
    return Copies(
        brokers_down=() if isinstance(log, BaseException) else log.brokers_down,
        under_replicated=() if isinstance(log, BaseException) else log.under_replicated,
        nodes_down=() if isinstance(nodes, BaseException) else nodes,
        unknown=tuple(unknown),
    )


def _listed(found: tuple[object, ...]) -> str:
    return " ".join(map(str, found)) or "none"
