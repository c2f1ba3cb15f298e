"""Answers that go on for long end with the token that opened them; short ones and writes are finished."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx2
import pytest
from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from starlette.responses import Response

from fanfold.http.app import make_app
from fanfold.http.auth import Actor
from fanfold.http.identity.credentials import Credential
from fanfold.http.identity.identity import Identity
from tests.fuzz.services import feed_service, graph_service
from tests.support.clock import ManualClock
from tests.support.eventually import eventually
from tests.support.own_time import own_s
from tests.support.served import AppFactory, listening
from tests.support.tokens import a_token, an_identity

# It stands still: a token that a slow machine brings late is as young as ever, and its answer ends so long after it began.
CLOCK = ManualClock()


async def pieces(many: int, pause_s: float) -> AsyncIterator[bytes]:
    for n in range(many):
        yield b"%d\n" % n
        await asyncio.sleep(pause_s)


def an_app_of_long_answers() -> APIRouter:
    router = APIRouter()

    @router.get("/long")
    async def long(_actor: Actor) -> Response:
        return StreamingResponse(pieces(1000, 0.02))

    @router.get("/short")
    async def short(_actor: Actor) -> Response:
        await asyncio.sleep(1.5)
        return Response("whole")

    @router.post("/write")
    async def write(_actor: Actor) -> Response:
        return StreamingResponse(pieces(30, 0.05))

    return router


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[httpx2.AsyncClient, Identity]]:
    async def ready() -> None:
        return None

    identity = an_identity(CLOCK)
    app = make_app(title="long", routers=[an_app_of_long_answers()], ready=ready, identity=identity)
    async with (
        listening(app) as port,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as client,
    ):
        yield client, identity


def now_s() -> float:
    return CLOCK.now_ms() / 1000


def short_lived(seconds: float) -> dict[str, str]:
    """A token with this much time left when its answer begins."""
    return {"Authorization": f"Bearer {a_token(now_s=now_s(), exp=now_s() + seconds)}"}


async def open_answers(identity: Identity, count: int) -> None:
    """Return when so many are open."""

    async def as_many() -> bool:
        return identity.open_answers.count == count

    await eventually(as_many, within_s=30, every_s=0.01, what=f"{count} open answers")


@pytest.mark.slow
async def test_a_long_answer_ends_when_its_token_expires_and_not_before() -> None:
    async with serving() as (client, identity):
        began_s, asked_s = own_s(), time.monotonic()
        answer = await client.get("/long", headers=short_lived(1))
        took_s, lasted_s = own_s() - began_s, time.monotonic() - asked_s
        assert answer.status_code == 200
        # It ended cleanly, in the middle.
        assert answer.text.endswith("\n")
        assert 1 < len(answer.text.splitlines()) < 1000
        # Not before, by the clock; soon after, by the time that this process had.
        assert lasted_s > 1 - 0.1
        assert took_s < 8
        assert (await client.get("/long", headers=short_lived(-1))).status_code == 401
        assert identity.open_answers.count == 0


@pytest.mark.slow
async def test_a_short_answer_and_a_write_are_finished() -> None:
    async with serving() as (client, _):
        headers = short_lived(1)
        short, write = await asyncio.gather(
            client.get("/short", headers=headers), client.post("/write", headers=headers)
        )
        assert short.text == "whole"
        assert len(write.text.splitlines()) == 30


async def test_a_long_answer_ends_when_its_token_is_revoked() -> None:
    async with serving() as (client, identity):

        def revoked(credential: Credential) -> bool:
            return credential.token_id == "bad"

        async def lines(token_id: str) -> int:
            token = a_token(now_s=now_s(), jti=token_id)
            answer = await client.get("/long", headers={"Authorization": f"Bearer {token}"})
            return len(answer.text.splitlines())

        good, bad = (asyncio.create_task(lines(token_id)) for token_id in ("good", "bad"))
        await open_answers(identity, 2)
        identity.open_answers.end_revoked(revoked)
        identity.open_answers.end_revoked(revoked)
        assert await bad < 1000
        assert not good.done()
        good.cancel()
        await asyncio.gather(good, return_exceptions=True)


async def test_a_client_that_hangs_up_leaves_nothing_open() -> None:
    async with serving() as (client, identity):
        async with client.stream("GET", "/long", headers=short_lived(600)) as answer:
            assert answer.status_code == 200
        await open_answers(identity, 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("service", "path"),
    [(feed_service, "/users/alice/feed/stream"), (graph_service, "/users/alice/export")],
    ids=["stream", "export"],
)
@pytest.mark.parametrize("by", ["token", "ticket"])
async def test_the_routes_that_go_on_are_watched(
    service: AppFactory, path: str, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with service() as app:
        identity = an_identity(CLOCK)
        app.state.identity = identity
        watched: list[str] = []
        opened = identity.open_answers.opened

        def noted(credential: Credential, end: Callable[[], None]) -> Callable[[], None]:
            watched.append(credential.user_id)
            return opened(credential, end)

        monkeypatch.setattr(identity.open_answers, "opened", noted)
        async with listening(app) as port, httpx2.AsyncClient(timeout=10) as client:
            url = f"http://127.0.0.1:{port}{path}"
            began_s, asked_s = own_s(), time.monotonic()
            headers = short_lived(1.2)
            if by == "ticket":
                given = await client.post(f"{url}/ticket", headers=headers)
                url, headers = f"http://127.0.0.1:{port}{given.json()['url']}", {}
            answer = await client.get(url, headers=headers)
            lasted_s = time.monotonic() - asked_s
            assert answer.status_code == 200
            assert watched == ["alice"]
            if "stream" in path:
                assert "level" in answer.text
                assert lasted_s > 1.2 - 0.1
                assert own_s() - began_s < 9
            else:
                assert answer.text.splitlines()[-1].startswith('{"kind":"end"')
