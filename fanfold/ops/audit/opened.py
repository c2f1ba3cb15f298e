"""An audit and its repair, put together over the engines of a command."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from console_service.explain.read_facts import ReadFacts
from fanfold.adapters.telling_stores import stores_of_worker
from fanfold.core.clock import Clock
from fanfold.core.errors import Fault
from fanfold.core.ports.engines import Engines
from fanfold.core.settings import Settings
from fanfold.ops.audit.audit import Audit
from fanfold.ops.audit.cached import CachedValues
from fanfold.ops.audit.repair import Repair
from fanfold.ops.looked_at import LookedAt, looked_at
from fanout_service.keep_pulled import KeepPulled
from feed_service.served_feeds import served_feeds


@asynccontextmanager
async def to_mend(data: Path, *, clock: Clock, source: str) -> AsyncIterator[LookedAt]:
    """The engines, for a command that writes. Raises `Fault` for the embedded stack, whose tables only a new start can mend."""
    async with looked_at(data, clock=clock, source=source) as at:
        if at.is_copy:
            raise Fault("`make run` rebuilds its tables from the log at each start: restart it")
        yield at


@asynccontextmanager
async def an_audit(
    engines: Engines, settings: Settings, *, clock: Clock, repair: bool
) -> AsyncIterator[Audit]:
    """An audit of these engines."""
    async with served_feeds(engines.tables, settings=settings, clock=clock) as served:
        yield Audit(
            engines=engines,
            settings=settings,
            clock=clock,
            served=served,
            facts=ReadFacts(tables=engines.tables, served=served, settings=settings, clock=clock),
            cached=CachedValues(engines, served.shared),
            repair=a_repair(engines, settings, clock=clock) if repair else None,
        )


def a_repair(engines: Engines, settings: Settings, *, clock: Clock) -> Repair:
    """A repair of these engines, which tells the shared cache as a worker does."""
    return Repair(
        stores=stores_of_worker(engines, name="audit", clock=clock),
        cache=engines.cache,
        pulled_authors=KeepPulled(authors=engines.stores.pulled_authors, clock=clock),
        settings=settings,
    )
