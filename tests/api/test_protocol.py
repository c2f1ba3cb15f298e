"""What a connection may do to the server, spoken byte by byte over a real socket."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from fanfold.http.protocol import BoundedProtocol, Bounds
from tests.support.own_time import own_s
from tests.support.served import listening

QUICK = Bounds(head_s=0.3, body_s=0.3, unread_s=0.3, connections=20)
PATIENT = Bounds(unwanted_bytes=QUICK.head_bytes)


@dataclass
class Served:
    """A server that answers each request with what it understood of it."""

    port: int
    seen: list[dict[str, Any]]
    release: asyncio.Event
    """Until it is set, `/slow` has no answer."""
    sent: asyncio.Event = field(default_factory=asyncio.Event)
    """`talk` has sent everything."""

    async def talk(self, *pieces: bytes, pause_s: float = 0.02) -> bytes:
        """Send pieces with a pause between them; what comes back until the server closes, or what 30 s make of it: nothing."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        answer = asyncio.create_task(reader.read())
        try:
            for piece in pieces:
                if answer.done():
                    break
                writer.write(piece)
                await asyncio.wait({answer}, timeout=pause_s)
            self.sent.set()
            async with asyncio.timeout(30):
                return await answer
        except (TimeoutError, ConnectionError):
            return b""
        finally:
            writer.close()


@asynccontextmanager
async def a_server(bounds: Bounds) -> AsyncIterator[Served]:
    seen: list[dict[str, Any]] = []
    release = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["path"] == "/slow":
            await release.wait()
        body, more = b"", scope["path"] != "/early"
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                seen.append({"path": scope["path"], "gone": True})
                return
            body += message["body"]
            more = message.get("more_body", False)
        seen.append({"path": scope["path"], "headers": dict(scope["headers"]), "body": body})
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"] == "/much":
            for _ in range(1000):
                await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
        await send({"type": "http.response.body", "body": b"ok " + body})

    async with listening(app, bounds) as port:
        yield Served(port, seen, release)


@pytest.fixture
async def patient() -> AsyncIterator[Served]:
    async with a_server(PATIENT) as served:
        yield served


@pytest.fixture
async def server() -> AsyncIterator[Served]:
    async with a_server(QUICK) as served:
        yield served


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def problem_of(answer: bytes) -> dict[str, Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    assert b"Cache-Control: private, no-store\r\nX-Content-Type-Options: nosniff" in head
    document: dict[str, Any] = json.loads(body)
    assert document["status"] == status_of(answer)
    return document


CLOSE = b"Connection: close\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\n" + CLOSE + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "name",
    [b"X-User-Id", b"Authorization", b"Host", b"Idempotency-Key", b"Content-Type", b"Expect"],
)
async def test_a_trailer_field_never_becomes_a_header(patient: Served, name: bytes) -> None:
    answer = await patient.talk(CHUNKED + b"2\r\nhi\r\n0\r\n%s: bob\r\n\r\n" % name)
    assert status_of(answer) == 200
    assert patient.seen[0]["body"] == b"hi"
    assert b"bob" not in patient.seen[0]["headers"].values()


LONG = b"a" * 300_000


@pytest.mark.parametrize(
    "around",
    [
        b"2\r\nhi\r\n0\r\nX: " + LONG + b"\r\n\r\n",
        b"2\r\nhi\r\n0\r\n" + LONG + b": b\r\n\r\n",
        b"2\r\nhi\r\n0\r\n" + b"a: b\r\n" * 50_000 + b"\r\n",
        b"2;" + LONG + b"\r\nhi\r\n0\r\n\r\n",
        b'2;a="' + LONG + b'"\r\nhi\r\n0\r\n\r\n',
        b"0" * 300_000 + b"2\r\nhi\r\n0\r\n\r\n",
        b"1;" + b"a" * 50 + b"\r\nh\r\n",
        b"1\r\nh\r\n" * 8,
    ],
    ids=["a value", "a name", "fields", "an extension", "quoted", "zeros", "each", "chunks"],
)
async def test_what_surrounds_a_body_is_bounded_as_a_head_is(
    patient: Served, around: bytes
) -> None:
    answer = await patient.talk(CHUNKED + around * (1 if len(around) > 100 else 2_000))
    assert problem_of(answer)["type"] == "urn:fanfold:problem:head-too-large"
    assert not any("body" in request for request in patient.seen)


async def test_a_body_of_chunks_of_one_byte_is_a_body(patient: Served) -> None:
    answer = await patient.talk(CHUNKED + b"1\r\na\r\n" * 5_000 + b"0\r\n\r\n")
    assert status_of(answer) == 200
    assert patient.seen[0]["body"] == b"a" * 5_000


@pytest.mark.parametrize(
    "coding",
    [
        b"gzip, chunked",
        b"identity, chunked",
        b"chunked, chunked",
        b"chunked, gzip",
        b"gzip",
        b"identity",
        b"xchunked",
        b"chunked;a=b",
        b"",
    ],
)
async def test_a_body_has_no_coding_but_chunks(patient: Served, coding: bytes) -> None:
    body = b"2\r\nhi\r\n0\r\n\r\n"
    answer = await patient.talk(CHUNKED.replace(b"chunked", coding) + body)
    assert problem_of(answer)["status"] in {400, 501}
    assert patient.seen == []
    assert status_of(await patient.talk(CHUNKED.replace(b"chunked", b"Chunked") + body)) == 200


async def test_chunks_in_http_1_0_are_refused(patient: Served) -> None:
    head = CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0")
    answer = await patient.talk(head + b"2\r\nhi\r\n0\r\n\r\n")
    assert problem_of(answer)["type"] == "urn:fanfold:problem:not-http"
    assert patient.seen == []


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    "head_and_body",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        b"Content-Length: 0\r\nContent-Length: 40\r\n\r\n",
        b"Content-Length: +0\r\n\r\n",
        b"Content-Length: 0, 0\r\n\r\n",
        b"Content-Length: 18446744073709551616\r\n\r\n",
        b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n0\n\n",
        b"Transfer-Encoding: chunked\r\n\r\n1\r\naXX0\r\n\r\n",
        b"A: b\rc\r\n\r\n",
        b"A: b\0c\r\n\r\n",
        b"A: b\n\n",
    ],
)
async def test_a_request_with_two_readings_is_refused_with_what_follows_it(
    patient: Served, head_and_body: bytes
) -> None:
    answer = await patient.talk(b"POST / HTTP/1.1\r\nHost: x\r\n" + head_and_body + SMUGGLED)
    assert problem_of(answer)["type"] == "urn:fanfold:problem:not-http"
    assert not any("body" in request for request in patient.seen)


@pytest.mark.parametrize(
    ("target", "host", "path"),
    [
        (b"http://evil.example/a", b"evil.example", "/a"),
        (b"HTTP://evil.example:8080/a?b=http://c/", b"evil.example:8080", "/a"),
        (b"https://[::1]:1/a", b"[::1]:1", "/a"),
        (b"http://evil.example", b"evil.example", "/"),
        (b"http://evil.example?b", b"evil.example", "/"),
        (b"//evil.example/a", b"x", "//evil.example/a"),
        (b"/http://evil.example/", b"x", "/http://evil.example/"),
        (b"*", b"x", "*"),
    ],
)
async def test_the_host_of_a_request_for_a_whole_url_is_that_of_the_url(
    patient: Served, target: bytes, host: bytes, path: str
) -> None:
    await patient.talk(b"GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n" % (target, CLOSE))
    assert patient.seen[0]["path"] == path
    assert patient.seen[0]["headers"][b"host"] == host


@pytest.mark.parametrize(
    "target", [b"ftp://a/", b"http://", b"http:///a", b"http://me@x/", b"a/b", b"mailto:a@b"]
)
async def test_another_target_than_a_path_or_a_url_is_refused(
    patient: Served, target: bytes
) -> None:
    answer = await patient.talk(b"GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n" % (target, CLOSE))
    assert problem_of(answer)["type"] == "urn:fanfold:problem:not-http"
    assert patient.seen == []


OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
SECOND = b"DELETE /hidden HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("in_a_packet_of_its_own", [False, True])
@pytest.mark.parametrize("chunked", [False, True])
async def test_an_offered_upgrade_is_ignored_and_the_body_stays_a_body(
    server: Served, chunked: bool, in_a_packet_of_its_own: bool
) -> None:
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(SECOND), SECOND) if chunked else SECOND
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(SECOND)
    head = b"POST /shown HTTP/1.1\r\nHost: x\r\n" + OFFER + framing + b"\r\n\r\n"
    last = b"GET /last HTTP/1.1\r\nHost: x\r\n" + CLOSE + b"\r\n"
    pieces = (head, body, last) if in_a_packet_of_its_own else (head + body + last,)
    answer = await server.talk(*pieces)
    assert answer.count(b"HTTP/1.1 200") == 2
    assert [request["path"] for request in server.seen] == ["/shown", "/last"]
    assert server.seen[0]["body"] == SECOND


async def test_a_proxy_request_is_refused(server: Served) -> None:
    answer = await server.talk(b"CONNECT example:443 HTTP/1.1\r\nHost: x\r\n\r\nabc")
    assert problem_of(answer)["status"] == 405
    assert server.seen == []


async def test_an_answer_to_http_1_0_without_a_length_ends_with_the_connection(
    server: Served,
) -> None:
    answer = await server.talk(b"POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert body == b"ok hi"


async def test_what_is_not_http_is_answered_by_a_problem_document(server: Served) -> None:
    answer = await server.talk(b"\x16\x03\x01 hello\r\n\r\n")
    assert problem_of(answer)["type"] == "urn:fanfold:problem:not-http"


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 40_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 200 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n"
        + b"".join(b"A%d: %s\r\n" % (n, b"b" * 400) for n in range(90))
        + b"\r\n",
    ],
    ids=["one field", "the path", "many fields", "all together"],
)
async def test_a_head_that_is_too_large_is_refused(server: Served, head: bytes) -> None:
    answer = await server.talk(head)
    assert problem_of(answer)["type"] == "urn:fanfold:problem:head-too-large"
    assert status_of(answer) == 431
    assert server.seen == []


async def test_a_field_without_an_end_is_refused_long_before_it_ends(server: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    answer = asyncio.create_task(reader.read())
    writer.write(b"GET / HTTP/1.1\r\nX: ")
    began = time.process_time()
    async with asyncio.timeout(30):
        while not answer.done():
            writer.write(b"a" * 65536)
            await asyncio.wait({answer}, timeout=0.01)
    assert status_of(await answer) == 431
    # Six megabytes of a field took the parser more than a second.
    assert time.process_time() - began < 1
    writer.close()


async def test_a_head_within_the_bounds_is_served(server: Served) -> None:
    head = b"".join(b"A%d: %s\r\n" % (n, b"b" * 300) for n in range(90))
    answer = await server.talk(b"GET / HTTP/1.1\r\nHost: x\r\n" + CLOSE + head + b"\r\n")
    assert status_of(answer) == 200


@pytest.mark.parametrize(
    "pieces",
    [
        (b"GET / HT",),
        (b"GET / HTTP/1.1\r\n", *[b"A: b\r\n"] * 30),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc",),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n", *[b"a"] * 30),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",),
    ],
    ids=["half a head", "a dripped head", "half a body", "a dripped body", "no end"],
)
async def test_a_slow_client_is_answered_408_and_let_go(
    server: Served, pieces: tuple[bytes, ...]
) -> None:
    began = own_s()
    answer = await server.talk(*pieces)
    assert problem_of(answer)["type"] == "urn:fanfold:problem:too-slow"
    assert status_of(answer) == 408
    assert own_s() - began < 1.5
    assert not any("body" in request for request in server.seen)


async def test_a_connection_without_a_request_is_closed_without_an_answer(server: Served) -> None:
    began = own_s()
    assert await server.talk() == b""
    assert own_s() - began < 1.5


@pytest.mark.slow
async def test_an_answer_that_nobody_reads_ends(server: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    writer.write(b"GET /much HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.sleep(1.0)
    received = 0
    writer.transport.resume_reading()  # type: ignore[attr-defined]
    try:
        async with asyncio.timeout(5):
            while piece := await reader.read(1 << 20):
                received += len(piece)
    except ConnectionError:
        pass
    writer.close()
    assert received < 1000 * 65536


async def test_a_connection_above_the_limit_gets_an_answer_to_retry() -> None:
    async with a_server(replace(QUICK, connections=2, head_s=5)) as server:
        idle = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)]
        await asyncio.sleep(0.05)
        answer = await server.talk(b"")
        assert problem_of(answer)["type"] == "urn:fanfold:problem:too-many-connections"
        assert b"retry-after: 1" in answer
        for _, writer in idle:
            writer.close()
        await asyncio.sleep(0.05)
        assert (
            status_of(await server.talk(b"GET / HTTP/1.1\r\nHost: x\r\n" + CLOSE + b"\r\n")) == 200
        )


async def test_pipelined_requests_are_answered_in_order(server: Served) -> None:
    requests = [b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(20)]
    last = b"GET /last HTTP/1.1\r\nHost: x\r\n" + CLOSE + b"\r\n"
    answer = await server.talk(b"".join(requests) + last)
    assert answer.count(b"HTTP/1.1 200") == 21
    assert [request["path"] for request in server.seen] == [*(f"/{n}" for n in range(20)), "/last"]


async def test_a_bad_request_behind_a_good_one_leaves_the_good_answer_whole(
    server: Served,
) -> None:
    answer = await server.talk(b"GET /good HTTP/1.1\r\nHost: x\r\n\r\nnonsense\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert server.seen[0]["path"] == "/good"


async def test_a_client_that_is_still_sending_gets_the_refusal(server: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200)
    await asyncio.sleep(0.1)
    for _ in range(5):
        writer.write(b"A: b\r\n" * 100)
        await asyncio.sleep(0.02)
    async with asyncio.timeout(30):
        assert status_of(await reader.read()) == 431
    writer.close()


async def test_a_client_that_does_not_wait_for_answers_has_a_bounded_number_of_requests(
    patient: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 0

    def waiting(self: BoundedProtocol, cycle: RequestResponseCycle, app: Any) -> None:
        nonlocal most
        most = max(most, len(self.pipeline))
        HttpToolsProtocol._start_asgi_task(self, cycle, app)

    monkeypatch.setattr(BoundedProtocol, "_start_asgi_task", waiting)
    requests = b"GET / HTTP/1.1\r\nA: %s\r\n\r\n" % (b"b" * 480) * 3_000
    reader, writer = await asyncio.open_connection("127.0.0.1", patient.port)
    writer.write(requests + b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n")
    answered = 0
    while piece := await reader.read(1 << 20):
        answered += piece.count(b"ok ")
    writer.close()
    assert answered == 3_001
    # What one read of the socket holds, at most a quarter of a megabyte.
    assert most < 1_000


@pytest.mark.parametrize(
    "second",
    [b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\naX", b"nonsense\r\n\r\n"],
    ids=["in its body", "in its head"],
)
async def test_a_refusal_is_no_answer_to_a_request_before_it(
    patient: Served, second: bytes
) -> None:
    slow = b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"
    talking = asyncio.create_task(patient.talk(slow, slow + second))
    await patient.sent.wait()
    # For the server to read it.
    await asyncio.sleep(0.1)
    patient.release.set()
    answer = await talking
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 4" not in answer
    assert answer.endswith(b"0\r\n\r\n")


EARLY = b"POST /early HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


async def test_a_request_has_one_answer_whatever_comes_of_its_body(patient: Served) -> None:
    answer = await patient.talk(EARLY, b"1\r\naXX")
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.count(b"HTTP/1.1 ") == 1


async def test_a_body_that_nobody_wants_ends_the_connection(patient: Served) -> None:
    small, large = (b"%x\r\n%s\r\n" % (size, b"a" * size) for size in (1_000, 40_000))
    last = b"0\r\n\r\nGET /last HTTP/1.1\r\nHost: x\r\n" + CLOSE + b"\r\n"
    assert (await patient.talk(EARLY, small, last)).count(b"HTTP/1.1 200") == 2
    assert (await patient.talk(EARLY, large, last)).count(b"HTTP/1.1 200") == 1
    assert [request["path"] for request in patient.seen] == ["/early", "/last", "/early"]
