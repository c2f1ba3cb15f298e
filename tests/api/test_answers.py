"""What holds for every answer, whichever route gives it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fanfold.http.answers import EndsWithClient, Head, KnownHosts, Private

GET: Scope = {
    "type": "http",
    "method": "GET",
    "path": "/",
    "query_string": b"",
    "headers": [],
    "http_version": "1.1",
}


async def ask(app: ASGIApp, method: str = "GET", **headers: str) -> httpx2.Response:
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.request(method, "/", headers=headers)


async def test_head_has_the_fields_of_get_and_no_body() -> None:
    app = Head(PlainTextResponse("hello"))
    got, head = await ask(app), await ask(app, "HEAD")
    assert head.status_code == 200
    assert head.headers == got.headers
    assert (got.text, head.text) == ("hello", "")


async def test_head_of_an_endless_stream_ends() -> None:
    async def endless() -> AsyncIterator[str]:
        while True:
            yield "more"
            await asyncio.sleep(0.01)

    async with asyncio.timeout(2):
        head = await ask(Head(StreamingResponse(endless())), "HEAD")
    assert (head.status_code, head.text) == (200, "")


async def test_no_cache_keeps_an_answer_and_no_browser_guesses_its_type() -> None:
    answer = await ask(Private(PlainTextResponse("hello")))
    assert answer.headers["cache-control"] == "private, no-store"
    assert answer.headers["vary"] == "X-User-Id, Authorization"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_no_cache_keeps_a_stream_whose_type_of_answer_would_let_it() -> None:
    stream = PlainTextResponse(
        "", headers={"Cache-Control": "no-cache"}, media_type="text/event-stream"
    )
    assert (await ask(Private(stream))).headers["cache-control"] == "private, no-store"


async def test_a_route_may_say_otherwise() -> None:
    app = Private(
        PlainTextResponse("hello", headers={"Cache-Control": "no-cache", "Vary": "Accept"})
    )
    answer = await ask(app)
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["vary"] == "Accept, X-User-Id, Authorization"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8080", 200),
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("[::1]:8080", 200),
        ("feed-service", 200),
        ("feeds.example", 200),
        ("feeds.example:443", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.evil.example:8080", 421),
        ("feeds.example.evil.example", 421),
        ("10.0.0.7", 421),
        ("", 421),
        ("evil example", 421),
    ],
)
async def test_only_known_hosts_are_served(host: str, status: int) -> None:
    answer = await ask(KnownHosts(PlainTextResponse("hello"), ["feeds.example"]), host=host)
    assert answer.status_code == status
    if status == 421:
        assert answer.headers["cache-control"] == "private, no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_any_host_is_served_where_a_gateway_checks() -> None:
    assert (await ask(KnownHosts(PlainTextResponse("hello"), ["*"]), host="a.example")).is_success


@pytest.mark.parametrize("hosts", [[], [b"a", b"b"], [b"a", b"a"]])
async def test_none_or_two_hosts_are_refused(hosts: list[bytes]) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    scope = {**GET, "headers": [(b"host", host) for host in hosts]}
    await KnownHosts(PlainTextResponse("hello"), ["*"])(scope, receive, send)
    assert sent[0]["status"] == 400


class Slow:
    """An application that notes how it ended."""

    def __init__(self, takes_s: float = 30) -> None:
        self._takes_s = takes_s
        self.began, self.ended = asyncio.Event(), ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.began.set()
        try:
            await asyncio.sleep(self._takes_s)
            self.ended = "answered"
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise


@pytest.mark.parametrize(("method", "ended"), [("GET", "cancelled"), ("POST", "answered")])
async def test_a_read_ends_with_its_client_and_a_write_is_finished(method: str, ended: str) -> None:
    app = Slow(takes_s=30 if method == "GET" else 0.3)
    messages: asyncio.Queue[Message] = asyncio.Queue()
    messages.put_nowait({"type": "http.request", "body": b"", "more_body": False})
    messages.put_nowait({"type": "http.disconnect"})

    async def send(_: Any) -> None: ...

    await EndsWithClient(app, after_s=0.05)({**GET, "method": method}, messages.get, send)
    assert app.ended == ended
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def test_a_read_that_is_stopped_by_the_server_is_not_taken_for_a_client_that_left() -> None:
    app = Slow()
    forever: asyncio.Future[Message] = asyncio.get_running_loop().create_future()

    async def receive() -> Message:
        return await forever

    async def send(_: Any) -> None: ...

    task = asyncio.create_task(EndsWithClient(app, after_s=0.01)(GET, receive, send))
    await app.began.wait()
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert app.ended == "cancelled"
