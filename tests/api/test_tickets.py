"""Tickets: what one opens, once, and everything that it doesn't. Decision 58."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute, iter_route_contexts

from fanfold.adapters.memory import memory_stores
from fanfold.core.ports import Revocation
from fanfold.core.ports.tickets import VALID_S, Ticket
from fanfold.core.settings import Settings
from fanfold.http.app import make_app
from fanfold.http.auth import Actor
from fanfold.http.guards import OWN
from fanfold.http.identity.bearer import BearerIdentity
from fanfold.http.identity.deny_list import DenyList
from fanfold.http.identity.identity import HeaderIdentity, Identity
from fanfold.http.identity.tickets import TicketDesk
from fanfold.http.params import UserIdPath
from fanfold.http.tickets import accepts_tickets, ticket_route
from tests.fuzz.services import EXISTING, feed_service, graph_service, post_service
from tests.support.clock import ManualClock
from tests.support.served import AppFactory
from tests.support.tokens import a_token, an_identity

EXPORT, STREAM = "/users/{user_id}/export", "/users/{user_id}/feed/stream"
ALICES = "/users/alice/export"
PROBES = {"/livez", "/readyz", "/metrics"}


class CountedTickets:
    """Tickets in memory, which count the lookups."""

    def __init__(self, clock: ManualClock) -> None:
        self._tickets = memory_stores(Settings(), clock=clock).tickets
        self.taken = 0

    async def keep(self, digest: bytes, ticket: Ticket) -> None:
        await self._tickets.keep(digest, ticket)

    async def take(self, digest: bytes) -> Ticket | None:
        self.taken += 1
        await asyncio.sleep(0)  # others may come between
        return await self._tickets.take(digest)


@dataclass
class Door:
    """Two routes that take tickets and one that doesn't, on a clock that the test moves."""

    client: httpx2.AsyncClient
    clock: ManualClock
    identity: Identity
    tickets: CountedTickets

    @property
    def now_s(self) -> float:
        return self.clock.now_ms() / 1000

    def shown(self, user: str = "alice", **claims: Any) -> dict[str, str]:
        """The header of a credential."""
        if isinstance(self.identity, HeaderIdentity):
            return {"X-User-Id": user}
        return {"Authorization": f"Bearer {a_token(user, now_s=self.now_s, **claims)}"}

    async def ask_ticket(
        self, user: str = "alice", path: str = ALICES, **claims: Any
    ) -> httpx2.Response:
        return await self.client.post(f"{path}/ticket", headers=self.shown(user, **claims))

    async def ticket(self, user: str = "alice", path: str = ALICES, **claims: Any) -> str:
        given = await self.ask_ticket(user, path, **claims)
        assert given.status_code == 200, given.text
        assert given.json()["url"] == f"{path}?ticket={given.json()['ticket']}"
        return str(given.json()["ticket"])

    async def use(self, ticket: str, path: str = ALICES, **headers: str) -> httpx2.Response:
        return await self.client.get(path, params={"ticket": ticket}, headers=headers)


def routes(desk: TicketDesk) -> list[APIRouter]:
    taking = APIRouter(dependencies=[*accepts_tickets(desk), *OWN])
    plain = APIRouter()

    async def says_who(user_id: UserIdPath, actor: Actor) -> str:
        return f"{user_id} by {actor}"

    for path in (EXPORT, STREAM):
        taking.add_api_route(path, says_who, methods=["GET"])
    plain.add_api_route("/users/{user_id}", says_who, methods=["GET"])
    common: dict[str, Any] = {"says": "Get one.", "tags": [], "own": OWN, "responses": {}}
    gives = [
        ticket_route(desk, path, name=name, **common)
        for path, name in ((EXPORT, "a"), (STREAM, "b"))
    ]
    return [taking, plain, *gives]


@pytest.fixture(params=["jwt"])
async def door(request: pytest.FixtureRequest) -> AsyncIterator[Door]:
    clock = ManualClock()
    identity: Identity = an_identity(clock) if request.param == "jwt" else HeaderIdentity()
    tickets = CountedTickets(clock)

    async def ready() -> None:
        return None

    app = make_app(
        title="a door", routers=routes(TicketDesk(tickets, clock)), ready=ready, identity=identity
    )
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        yield Door(client, clock, identity, tickets)


in_both_modes = pytest.mark.parametrize("door", ["jwt", "header"], indirect=True)


def refused(answer: httpx2.Response, kind: str = "invalid-ticket") -> bool:
    assert answer.status_code == 401, answer.text
    assert answer.headers["www-authenticate"].startswith("Bearer ")
    return bool(answer.json()["type"] == f"urn:fanfold:problem:{kind}")


@in_both_modes
@pytest.mark.parametrize("path", [EXPORT, STREAM])
async def test_a_ticket_opens_its_route_once_for_its_user(door: Door, path: str) -> None:
    own = path.format(user_id="alice")
    ticket = await door.ticket(path=own)
    opened = await door.use(ticket, own)
    assert (opened.status_code, opened.json()) == (200, "alice by alice")
    assert refused(await door.use(ticket, own))


@in_both_modes
async def test_of_many_requests_at_once_a_ticket_opens_one(door: Door) -> None:
    ticket = await door.ticket()
    answers = await asyncio.gather(*(door.use(ticket) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 7


@in_both_modes
async def test_a_ticket_is_valid_for_half_a_minute(door: Door) -> None:
    given = await door.ask_ticket()
    late, early = await door.ticket(), given.json()["ticket"]
    door.clock.advance(VALID_S - 0.001)
    assert (await door.use(early)).status_code == 200
    door.clock.advance(0.001)
    assert refused(await door.use(late))


@in_both_modes
@pytest.mark.parametrize(
    "other", ["/users/alice/feed/stream", "/users/bob/export", "/users/ALICE/export"]
)
async def test_a_ticket_is_for_one_route_of_one_user(door: Door, other: str) -> None:
    ticket = await door.ticket()
    assert refused(await door.use(ticket, other))
    assert refused(await door.use(ticket)), "and it is used up"


@in_both_modes
async def test_nobody_gets_a_ticket_for_another_user(door: Door) -> None:
    answer = await door.ask_ticket("bob")
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:fanfold:problem:not-yourself")


@in_both_modes
async def test_a_ticket_that_was_not_given_out_opens_nothing(door: Door) -> None:
    ticket = await door.ticket()
    swapped = ticket[:-1] + ("A" if ticket[-1] != "A" else "B")
    for forged in ("x" * 43, swapped, ticket.swapcase()):
        assert refused(await door.use(forged)), forged
    looked_up = door.tickets.taken
    for malformed in ("", "x" * 42, "x" * 44, "é" * 43, "../../etc", f"{ticket} "):
        assert refused(await door.use(malformed)), malformed
    twice = await door.client.get(ALICES, params=[("ticket", ticket)] * 2)
    assert twice.status_code == 422
    assert door.tickets.taken == looked_up, "no table is asked about what has no ticket's form"
    assert (await door.use(ticket)).status_code == 200


@in_both_modes
async def test_a_ticket_beside_another_credential_is_refused(door: Door) -> None:
    ticket = await door.ticket()
    assert refused(await door.use(ticket, **door.shown()))
    assert (await door.use(ticket)).status_code == 200


@in_both_modes
async def test_a_ticket_is_no_credential_of_other_routes_and_gets_no_ticket(door: Door) -> None:
    ticket = await door.ticket()
    assert (await door.use(ticket, "/users/alice")).status_code == 401
    again = await door.client.post(f"{ALICES}/ticket", params={"ticket": ticket})
    assert again.status_code == 401
    assert (await door.use(ticket)).status_code == 200


async def test_a_token_is_no_ticket(door: Door) -> None:
    token = a_token(now_s=door.now_s)
    assert refused(await door.use(token))


async def test_a_ticket_needs_the_scope_of_reads_and_gives_no_other(door: Door) -> None:
    answer = await door.ask_ticket(scope="fanfold:write")
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:fanfold:problem:missing-scope")
    ticket = await door.ticket(scope="fanfold:read")
    assert (await door.use(ticket)).status_code == 200


@pytest.mark.parametrize(
    "revocation", [Revocation("user", "alice", 10**15), Revocation("token", "jti-1", 0)]
)
async def test_a_ticket_ends_with_its_token_when_that_is_revoked(
    door: Door, revocation: Revocation
) -> None:
    tickets = [await door.ticket(jti="jti-1") for _ in range(2)]
    assert (await door.use(tickets[0])).status_code == 200
    assert isinstance(door.identity, BearerIdentity)
    door.identity.revoked = DenyList([revocation]).denies
    answer = await door.use(tickets[1])
    assert refused(answer, "unauthenticated")
    assert "revoked" in answer.json()["detail"]


async def test_a_ticket_ends_with_its_token_when_that_expires(door: Door) -> None:
    tickets = [await door.ticket(exp=door.now_s + 10) for _ in range(2)]
    door.clock.advance(9)
    assert (await door.use(tickets[0])).status_code == 200
    door.clock.advance(1)
    answer = await door.use(tickets[1])
    assert refused(answer, "unauthenticated")
    assert "expired" in answer.json()["detail"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("service", "taking"),
    [(post_service, set()), (graph_service, {f"GET {EXPORT}"}), (feed_service, {f"GET {STREAM}"})],
    ids=["post", "graph", "feed"],
)
async def test_two_routes_take_tickets_and_no_other(service: AppFactory, taking: set[str]) -> None:
    found = set()
    async with service() as app:
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            for context in iter_route_contexts(app.routes):
                path = str(context.path)
                if not isinstance(context.original_route, APIRoute) or path in PROBES:
                    continue
                for method in context.methods or ():
                    url = path.format(**EXISTING)
                    answer = await client.request(method, url, params={"ticket": "x" * 43})
                    assert answer.status_code == 401, f"{method} {path}"
                    if answer.json()["type"] == "urn:fanfold:problem:invalid-ticket":
                        found.add(f"{method} {path}")
    assert found == taking
