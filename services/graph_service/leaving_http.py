"""The routes of leaving and of taking along what is held about oneself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse

from fanfold.core.clock import Clock
from fanfold.core.ports.engines import Engines
from fanfold.core.settings import Settings
from fanfold.http.auth import Actor
from fanfold.http.openapi import WRITTEN
from fanfold.http.params import UserIdPath
from fanfold.http.positions import say_where
from fanfold.http.problems import needs
from fanfold.http.readiness import refuse_clock_skew
from graph_service.acting import refuse_others
from graph_service.export import Export
from graph_service.leave import leave

NDJSON = "application/x-ndjson"


@dataclass(frozen=True, slots=True)
class LeavingRoutes:
    """What each route does, over the ports. Neither is refused to who has left."""

    engines: Engines
    clock: Clock
    settings: Settings

    async def leave_for_good(self, user_id: UserIdPath, actor: Actor, response: Response) -> None:
        """Leave, for good: posts are hidden at once and follows end both ways. Leaving again changes nothing."""
        refuse_others(user_id, actor)
        refuse_clock_skew(self.engines.log, max_skew_s=self.settings.max_clock_skew_s)
        position = await leave(
            user_id,
            log=self.engines.log,
            stores=self.engines.stores,
            clock=self.clock,
        )
        say_where(response, position)

    async def export_user(self, user_id: UserIdPath, actor: Actor) -> StreamingResponse:
        """All that the tables hold about oneself, one JSON object a line, each with its `kind`.

        First `profile`, then `post` (deleted ones too), `following`, `follower`, `mute`, `block` (`active: false` where
        it has ended) and `like`; last `end`, or `incomplete` if the tables stopped answering. Also after leaving.
        """
        refuse_others(user_id, actor)
        export = Export(stores=self.engines.stores, clock=self.clock)
        with needs("the tables"):
            user, profile = await export.begin(user_id)

        async def lines() -> AsyncIterator[bytes]:
            yield profile
            async for page in export.rest(user):
                yield page

        headers = {
            "Cache-Control": "no-store",
            "Content-Disposition": 'attachment; filename="fanfold-export.ndjson"',
        }
        return StreamingResponse(lines(), media_type=NDJSON, headers=headers)


def router(engines: Engines, *, clock: Clock, settings: Settings) -> APIRouter:
    """The routes over these engines."""
    do = LeavingRoutes(engines, clock, settings)
    api = APIRouter(tags=["graph"])
    own: dict[int | str, dict[str, Any]] = {403: {"description": "Someone else's."}}
    api.add_api_route(
        "/users/{user_id}",
        do.leave_for_good,
        methods=["DELETE"],
        status_code=204,
        responses={204: WRITTEN, **own},
    )
    api.add_api_route(
        "/users/{user_id}/export",
        do.export_user,
        methods=["GET"],
        response_class=StreamingResponse,
        responses={200: {"content": {NDJSON: {"schema": {"type": "string"}}}}, **own},
    )
    return api
