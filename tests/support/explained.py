"""The explanation of a post in a feed, as `fanfold explain` reads it from these engines."""

from __future__ import annotations

from uuid import UUID

from console_service.explain import explanations
from console_service.explain.reasons import Explanation
from fanfold.core.clock import Clock
from fanfold.core.ports.engines import Engines
from fanfold.core.settings import Settings


async def explained(
    engines: Engines, viewer: str, post_id: UUID, *, settings: Settings, clock: Clock
) -> Explanation:
    _, explanation = await explanations.explained(
        viewer, post_id, engines.tables, settings=settings, clock=clock
    )
    return explanation
