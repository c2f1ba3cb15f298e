"""A process that was frozen does not do what its clients have given up and repeated elsewhere."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import httpx2
import pytest
from fastapi import APIRouter

from fanfold.core.events import Event, UserLeft, from_ms
from fanfold.core.ports.log import EventLog, Position
from fanfold.http import stale_writes
from fanfold.http.admission import Admission
from fanfold.http.app import make_app
from fanfold.http.positions import append
from tests.support.served import listening

HEAD = b"%s /leave HTTP/1.1\r\nHost: a\r\nX-User-Id: bob\r\nContent-Length: 0\r\n\r\n"


class Kept:
    """A log that keeps what was appended."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def append(self, event: Event) -> Position:
        self.events.append(event)
        return Position("users.v1", 0, len(self.events))


@asynccontextmanager
async def a_service(log: Kept) -> AsyncIterator[int]:
    router = APIRouter()

    @router.api_route("/leave", methods=["GET", "POST"])
    async def leave() -> str:
        await append(cast("EventLog", log), UserLeft(user_id="bob", left_at=from_ms(0)))
        return "left"

    async def ready() -> None:
        return

    app = make_app(title="t", routers=[router], ready=ready)
    async with listening(Admission(app, most=8, wait_s=1)) as port:
        yield port


async def asked(port: int, method: str = "POST") -> httpx2.Response:
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        return await client.request(method, "/leave", headers={"X-User-Id": "bob"})


@pytest.mark.parametrize(("method", "done"), [(b"POST", 0), (b"GET", 1)])
async def test_a_write_is_not_begun_when_its_client_has_hung_up(method: bytes, done: int) -> None:
    log = Kept()
    async with a_service(log) as port:
        # The server runs in this thread: it finds the request and the end of its connection together, as after a freeze.
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(HEAD % method)
        assert (await asked(port)).status_code == 200
    assert len(log.events) == done + 1


async def test_nothing_is_appended_for_a_request_that_began_long_ago(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = Kept()
    async with a_service(log) as port:
        monkeypatch.setattr(stale_writes, "LATEST_APPEND_S", -1)
        refused = await asked(port)
        monkeypatch.setattr(stale_writes, "LATEST_APPEND_S", 3_600)
        assert (refused.status_code, log.events) == (503, [])
        assert refused.headers["retry-after"]
        assert (await asked(port)).status_code == 200
    assert len(log.events) == 1
