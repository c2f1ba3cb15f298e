"""Makes explanations: reads the facts, and derives the reasons from them."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

from console_service.explain.described import described
from console_service.explain.facts import Facts
from console_service.explain.read_facts import ReadFacts
from console_service.explain.reasons import Explanation, explain
from fanfold.core.clock import Clock
from fanfold.core.ports.engines import Tables
from fanfold.core.settings import Settings
from feed_service.served_feeds import served_feeds


async def explained(
    user_id: str, post_id: UUID, tables: Tables, *, settings: Settings, clock: Clock
) -> tuple[Facts, Explanation]:
    """Why the post is, or is not, in the user's feed. It changes nothing and wakes nobody. Raises `Unavailable`.

    The epoch of the cache must be known; else the tables alone are read.
    """
    async with served_feeds(tables, settings=settings, clock=clock) as served:
        read = ReadFacts(tables=tables, served=served, settings=settings, clock=clock)
        facts = await read(user_id, post_id)
    return facts, explain(facts)


class Explanations:
    """Explanations as JSON, one at a time: each reads a feed down to the post, `settings.feed_depth` posts at most."""

    def __init__(self, tables: Tables, *, settings: Settings, clock: Clock) -> None:
        self._tables = tables
        self._settings = settings
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()

    async def __call__(self, user_id: str, post_id: UUID) -> dict[str, Any]:
        """The explanation. Raises `Unavailable`."""
        async with self._one_at_a_time:
            if self._tables.cache_epoch is not None:
                await self._tables.cache_epoch.read()
            facts, explanation = await explained(
                user_id, post_id, self._tables, settings=self._settings, clock=self._clock
            )
        return described(facts, explanation)
