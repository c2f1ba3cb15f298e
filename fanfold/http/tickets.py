"""How a route takes tickets: the route that gives one out, and the dependency that takes it in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Depends
from fastapi.security import APIKeyQuery
from pydantic import BaseModel, Field
from starlette.requests import HTTPConnection

from fanfold.core.clock import rfc3339
from fanfold.core.ports.tickets import VALID_S
from fanfold.http.auth import READS, ActingCredential
from fanfold.http.identity.tickets import TICKET_PARAMETER, TicketDesk
from fanfold.http.openapi import Responses, Rfc3339
from fanfold.http.params import UserIdPath


class TicketGiven(BaseModel):
    """A credential for one request."""

    ticket: str
    url: str = Field(
        description="The address that the ticket opens, once, with the ticket in its query; more parameters may be added.",
        examples=["/users/alice/export?ticket=Jx0…"],
    )
    expires_at: Rfc3339


class AcceptsTicket(APIKeyQuery):
    """The first dependency of a route that a ticket opens too."""

    def __init__(self, desk: TicketDesk) -> None:
        super().__init__(
            name=TICKET_PARAMETER,
            scheme_name="Ticket",
            description=f"A ticket in place of a token, for `EventSource` and links: for one request, within {VALID_S} s.",
            auto_error=False,
        )
        self._desk = desk

    async def __call__(self, request: HTTPConnection) -> None:
        """Take in the ticket of the request, if it has one."""
        await self._desk.accept(request)


def accepts_tickets(desk: TicketDesk) -> list[Any]:
    """The first dependencies of a router whose routes a ticket opens too."""
    return [Depends(AcceptsTicket(desk))]


@dataclass(frozen=True, slots=True)
class GivesTickets:
    """What the ticket route of one path does."""

    desk: TicketDesk
    path: str

    async def give_ticket(self, user_id: UserIdPath, credential: ActingCredential) -> TicketGiven:
        """Give out a ticket to the user of the path."""
        path = self.path.format(user_id=user_id)
        given = await self.desk.give(credential, path)
        return TicketGiven(
            ticket=given.text,
            url=f"{path}?{TICKET_PARAMETER}={given.text}",
            expires_at=rfc3339(given.expires_at_ms),
        )


def ticket_route(
    desk: TicketDesk,
    path: str,
    *,
    name: str,
    says: str,
    tags: list[Any],
    own: list[Any],
    responses: Responses,
) -> APIRouter:
    """The route below `path` that gives out tickets for it. `own` is the guard of the user id; it needs the scope of reads."""
    router = APIRouter(tags=tags, dependencies=[*READS, *own], responses=responses)
    router.add_api_route(
        f"{path}/ticket",
        GivesTickets(desk, path).give_ticket,
        methods=["POST"],
        name=name,
        description=says,
    )
    return router
