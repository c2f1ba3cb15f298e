"""Tickets: for browsers, whose `EventSource` and links can send no header. Decision 58 has the reasons.

A user who shows a credential is given a random text, which opens one route of theirs once, within half a minute. The answer is that of the
credential: it ends when the token does, or is revoked.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from starlette.requests import HTTPConnection

from fanfold.core.clock import Clock
from fanfold.core.ports.tickets import VALID_S, Ticket, Tickets
from fanfold.http.identity.credentials import READ, Credential
from fanfold.http.identity.identity import Identity
from fanfold.http.problems import Unauthenticated

TICKET_PARAMETER = "ticket"

_BYTES = 32
_FORM = re.compile(r"[A-Za-z0-9_-]{43}")
_ONLY_READS = frozenset({READ})
_PRESENTED = "fanfold.presented"


class InvalidTicket(Unauthenticated):
    """A ticket that opens nothing, or nothing any more. The answer doesn't say which rule it breaks."""

    kind = "invalid-ticket"
    title = "The ticket is not valid"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, challenge='Bearer realm="fanfold"')


class GivenTicket(NamedTuple):
    """A new ticket, and when it expires."""

    text: str
    expires_at_ms: int


# Compared by identity: FastAPI hashes a dependency at each request.
@dataclass(frozen=True, slots=True, eq=False)
class TicketDesk:
    """Gives out tickets, and takes them in."""

    tickets: Tickets
    clock: Clock

    async def give(self, credential: Credential, path: str) -> GivenTicket:
        """A ticket for one request of this path, as the credential's user."""
        text, now_ms = secrets.token_urlsafe(_BYTES), self.clock.now_ms()
        ticket = Ticket(
            user_id=credential.user_id,
            path=path,
            issued_s=credential.issued_s,
            expires_s=credential.expires_s,
            token_id=credential.token_id,
            made_at_ms=now_ms,
        )
        await self.tickets.keep(_digest(text), ticket)
        return GivenTicket(text, now_ms + VALID_S * 1000)

    async def accept(self, request: HTTPConnection) -> None:
        """Take in the ticket of a request that has one, before the credential is asked for. Answers 401 to a wrong one.

        A ticket that is sent to another path, or after its token has ended, is used up.
        """
        text = request.query_params.get(TICKET_PARAMETER)
        if text is None:
            return
        identity: Identity = request.app.state.identity
        if identity.header in request.headers:
            raise InvalidTicket(f"Send a ticket, or {identity.header}, and not both.")
        ticket = await self.tickets.take(_digest(text)) if _FORM.fullmatch(text) else None
        if ticket is None or not self._opens(ticket, request.scope["path"]):
            raise InvalidTicket(
                f"Get a new ticket: each is for one request of one address, within {VALID_S} s."
            )
        credential = Credential(
            user_id=ticket.user_id,
            scopes=_ONLY_READS,
            issued_s=ticket.issued_s,
            expires_s=ticket.expires_s,
            token_id=ticket.token_id,
        )
        identity.refuse_ended(credential)
        request.scope[_PRESENTED] = credential

    def _opens(self, ticket: Ticket, path: str) -> bool:
        return ticket.path == path and self.clock.now_ms() < ticket.made_at_ms + VALID_S * 1000


def presented(connection: HTTPConnection) -> Credential | None:
    """The credential of the request's ticket, if its route has taken one in."""
    credential: Credential | None = connection.scope.get(_PRESENTED)
    return credential


def _digest(text: str) -> bytes:
    return sha256(text.encode()).digest()
