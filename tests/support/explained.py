"""The explanation of a post in a feed, as `fanfold explain` reads it from these engines."""

from __future__ import annotations

from uuid import UUID

from fanfold.core.clock import Clock
from fanfold.core.ports.engines import Engines
from fanfold.core.settings import Settings
from fanfold.ops.explain.read_facts import ReadFacts
from fanfold.ops.explain.reasons import Explanation, explain
from fanfold.ops.served_feed import served_feeds


async def explained(
    engines: Engines, viewer: str, post_id: UUID, *, settings: Settings, clock: Clock
) -> Explanation:
    async with served_feeds(settings, engines, clock=clock) as served:
        read = ReadFacts(engines=engines, served=served, settings=settings, clock=clock)
        return explain(await read(viewer, post_id))
