"""The routes of leaving, and of exporting what the tables hold about oneself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Depends, Response
from fastapi.responses import StreamingResponse

from fanfold.core.clock import Clock
from fanfold.core.ports.engines import Engines
from fanfold.core.settings import Settings
from fanfold.http.guards import OWN, write_guards
from fanfold.http.identity.tickets import TicketDesk
from fanfold.http.openapi import NOT_OWN, WRITTEN, Responses
from fanfold.http.params import UserIdPath
from fanfold.http.positions import no_content
from fanfold.http.tickets import accepts_tickets, ticket_route
from graph_service.export import Export
from graph_service.export_slots import ExportSlots
from graph_service.leave import leave

NDJSON = "application/x-ndjson"
EXPORT = "/users/{user_id}/export"

_LEFT: Responses = {204: WRITTEN}
_EXPORTED: Responses = {
    200: {"content": {NDJSON: {"schema": {"type": "string"}}}},
    429: {"description": "The user has too many exports under way."},
}


@dataclass(frozen=True, slots=True, eq=False)
class LeavingRoutes:
    """What each route does, over the ports. A user who has left may use both."""

    engines: Engines
    clock: Clock
    exports: ExportSlots = field(default_factory=ExportSlots)

    async def export_slot(self, user_id: UserIdPath) -> AsyncIterator[None]:
        """A slot until the answer has ended. Refuses before it starts, when it still can."""
        with self.exports.taken(user_id):
            yield

    async def leave_for_good(self, user_id: UserIdPath) -> Response:
        """Leave, for good: posts are hidden at once and follows end both ways. Leaving again changes nothing."""
        position = await leave(
            user_id, log=self.engines.log, users=self.engines.stores.users, clock=self.clock
        )
        return no_content(position)

    async def export_user(self, user_id: UserIdPath) -> StreamingResponse:
        """Export all that the tables hold about oneself, one JSON object a line, each with its `kind`.

        First `profile`, then `post` (deleted ones too), `following`, `follower`, `mute`, `block` (`active: false` where
        it has ended) and `like`; last `end`, or `incomplete` if the tables stopped answering. Also after leaving.
        """
        export = Export(stores=self.engines.stores, clock=self.clock)
        user, profile = await export.begin(user_id)

        async def lines() -> AsyncIterator[bytes]:
            yield profile
            async for page in export.rest(user):
                yield page

        headers = {"Content-Disposition": 'attachment; filename="fanfold-export.ndjson"'}
        return StreamingResponse(lines(), media_type=NDJSON, headers=headers)


def routers(
    engines: Engines, *, clock: Clock, settings: Settings, after: list[Any]
) -> list[APIRouter]:
    """The routes over these engines. `after`: the dependencies of reads."""
    do = LeavingRoutes(engines, clock)
    tickets = TicketDesk(engines.stores.tickets, clock)
    reads = APIRouter(
        tags=["graph"],
        dependencies=[*accepts_tickets(tickets), *OWN, *after],
        responses=NOT_OWN,
    )
    gives = ticket_route(
        tickets,
        EXPORT,
        name="give_export_ticket",
        says="Get a ticket for one's own export. A link can send no header, and downloads it with the ticket.",
        tags=["graph"],
        own=OWN,
        responses=NOT_OWN,
    )
    # Leaving is idempotent, so it is not refused to a user who has left.
    writes = APIRouter(
        tags=["graph"],
        dependencies=[*OWN, *write_guards(engines, settings).clock_only()],
        responses=NOT_OWN,
    )
    writes.add_api_route(
        "/users/{user_id}",
        do.leave_for_good,
        methods=["DELETE"],
        status_code=204,
        responses=_LEFT,
    )
    reads.add_api_route(
        EXPORT,
        do.export_user,
        methods=["GET"],
        dependencies=[Depends(do.export_slot)],
        response_class=StreamingResponse,
        responses=_EXPORTED,
    )
    return [writes, reads, gives]
