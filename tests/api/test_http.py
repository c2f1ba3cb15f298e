"""What holds for answers whatever their route: ids of requests, validators, compression, and no type without a body."""

from __future__ import annotations

import gzip
import json
import logging
import threading
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse

from fanfold.core.json_logs import JsonLines
from fanfold.http.app import make_app
from fanfold.http.compression import IN_THE_LOOP_BYTES, LEAST_BYTES, accepts_gzip
from tests.support.app import WriteSide


async def test_an_answer_names_the_request_as_the_client_did(api: WriteSide) -> None:
    for path, status in (("/users/alice", 404), ("/nothing/here", 404), ("/users", 422)):
        answer = await api("GET", path, headers={"X-Request-Id": "trace-1.A_b"})
        assert answer.status_code == status
        assert answer.headers["x-request-id"] == answer.json()["request_id"] == "trace-1.A_b"


@pytest.mark.parametrize("sent", [None, "", "x" * 65, "a b", 'a"b', "ä", "a\tb"])
async def test_a_text_that_is_no_id_is_replaced_by_a_fresh_one(
    api: WriteSide, sent: str | None
) -> None:
    headers = {} if sent is None else {"X-Request-Id": sent.encode()}
    found = set()
    for _ in range(2):
        answer = await api("GET", "/users/alice", headers=headers)
        assert answer.headers["x-request-id"] == answer.json()["request_id"]
        found.add(answer.headers["x-request-id"])
    assert len(found) == 2
    assert all(len(request_id) == 32 and request_id.isalnum() for request_id in found)


async def test_two_ids_are_none(api: WriteSide) -> None:
    sent = [("X-User-Id", "alice"), ("X-Request-Id", "one"), ("X-Request-Id", "two")]
    answer = await api.client.get("/users/alice", headers=sent)
    assert answer.headers["x-request-id"] not in {"one", "two"}


async def test_a_log_line_about_a_request_names_it(
    api: WriteSide, caplog: pytest.LogCaptureFixture
) -> None:
    api.tables.away = True
    lines: list[dict[str, Any]] = []

    class Formatted(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(json.loads(JsonLines().format(record)))

    handler = Formatted()
    logging.getLogger().addHandler(handler)
    try:
        await api("GET", "/users/alice", headers={"X-Request-Id": "seen-in-the-log"})
    finally:
        logging.getLogger().removeHandler(handler)
    [line] = [line for line in lines if line["message"] == "an engine did not answer"]
    assert line["request_id"] == "seen-in-the-log"


async def test_an_answer_without_a_body_has_no_type(api: WriteSide) -> None:
    await api.registered("alice", "bob")
    answer = await api("PUT", "/users/alice/following/bob")
    assert answer.status_code == 204
    assert "content-type" not in answer.headers
    assert "content-length" not in answer.headers


@pytest.mark.parametrize("path", ["/posts/{post}", "/users/alice"])
async def test_a_client_that_has_the_present_answer_is_told_so(api: WriteSide, path: str) -> None:
    await api.registered("alice", "bob")
    post = await api.posted()
    await api.project()
    path = path.format(post=post)
    first = await api("GET", path)
    tag = first.headers["etag"]
    assert first.headers["cache-control"] == "private, no-cache"
    for known in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
        again = await api("GET", path, headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b""), known
        assert again.headers["etag"] == tag
        assert again.headers["cache-control"] == "private, no-cache"
        assert "content-type" not in again.headers
    for other in ('"other"', tag.strip('W/"'), ""):
        assert (await api("GET", path, headers={"If-None-Match": other})).status_code == 200
    head = await api("HEAD", path, headers={"If-None-Match": tag})
    assert head.status_code == 304
    # Another viewer sees something else, and so does this one after a change.
    await api("PUT", f"/posts/{post}/like")
    await api("PUT", "/users/bob/following/alice", actor="bob")
    await api.project()
    assert (await api("GET", path, headers={"If-None-Match": tag})).status_code == 200
    for viewer in ("alice", "bob"):
        answer = await api("GET", path, actor=viewer)
        assert (
            await api("GET", path, actor=viewer, headers={"If-None-Match": answer.headers["etag"]})
        ).status_code == 304


async def test_a_refusal_and_other_answers_have_no_validator_and_are_not_kept(
    api: WriteSide,
) -> None:
    await api.registered("alice")
    for path in ("/users/nobody", "/users/alice/following"):
        answer = await api("GET", path, headers={"If-None-Match": "*"})
        assert answer.status_code in {200, 404}
        assert "etag" not in answer.headers
        assert answer.headers["cache-control"] == "private, no-store"


def a_client(router: APIRouter) -> httpx2.AsyncClient:
    async def ready() -> None: ...

    app = make_app(title="test", routers=[router], ready=ready)
    transport = httpx2.ASGITransport(app=app)
    return httpx2.AsyncClient(transport=transport, base_url="http://test")


def text_of(size: int) -> APIRouter:
    router = APIRouter()

    @router.get("/text")
    async def text() -> Response:
        return Response(b'"' + b"x" * (size - 2) + b'"', media_type="application/json")

    @router.get("/stream")
    async def stream() -> StreamingResponse:
        async def parts() -> Any:
            for _ in range(4):
                yield b"x" * size

        return StreamingResponse(parts(), media_type="application/json")

    @router.get("/plain")
    async def plain() -> Response:
        return Response(b"x" * size, media_type="text/plain")

    return router


async def raw(client: httpx2.AsyncClient, path: str, accepted: str | None = "gzip") -> Any:
    """The answer with its body as sent."""
    headers = {"Accept-Encoding": accepted} if accepted is not None else {"Accept-Encoding": ""}
    async with client.stream("GET", path, headers=headers) as answer:
        body = b"".join([part async for part in answer.aiter_raw()])
    return answer.headers, body


@pytest.mark.parametrize("size", [LEAST_BYTES, IN_THE_LOOP_BYTES, IN_THE_LOOP_BYTES + 1])
async def test_a_long_answer_is_compressed_for_a_client_that_accepts_it(size: int) -> None:
    async with a_client(text_of(size)) as client:
        headers, body = await raw(client, "/text")
        assert headers["content-encoding"] == "gzip"
        assert int(headers["content-length"]) == len(body) < size
        assert "Accept-Encoding" in headers["vary"]
        plain_headers, plain = await raw(client, "/text", "br, identity")
        assert "content-encoding" not in plain_headers
        assert "Accept-Encoding" in plain_headers["vary"]
        assert gzip.decompress(body) == plain
        assert len(plain) == size
        head = await client.head("/text", headers={"Accept-Encoding": "gzip"})
        assert head.headers["content-length"] == headers["content-length"]
        assert head.content == b""


async def test_a_short_answer_another_type_and_a_stream_are_sent_as_they_are() -> None:
    async with a_client(text_of(LEAST_BYTES - 1)) as client:
        assert "content-encoding" not in (await raw(client, "/text"))[0]
    async with a_client(text_of(LEAST_BYTES)) as client:
        for path in ("/stream", "/plain"):
            assert "content-encoding" not in (await raw(client, path))[0], path


async def test_a_large_answer_is_compressed_outside_the_event_loops_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads: list[threading.Thread] = []
    compress = gzip.compress

    def noted(*args: Any, **kwargs: Any) -> bytes:
        threads.append(threading.current_thread())
        return compress(*args, **kwargs)

    monkeypatch.setattr(gzip, "compress", noted)
    for size in (IN_THE_LOOP_BYTES, IN_THE_LOOP_BYTES + 1):
        async with a_client(text_of(size)) as client:
            await raw(client, "/text")
    assert threads[0] is threading.current_thread()
    assert threads[1] is not threading.current_thread()


@pytest.mark.parametrize(
    ("field", "accepted"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("*", True),
        ("gzip; q=1", True),
        ("", False),
        ("gzip;q=0", False),
        ("gzip;q=0.000, *", False),
        ("*;q=0", False),
        ("identity", False),
        ("xgzip", False),
    ],
)
def test_gzip_is_accepted_as_the_field_says(field: str, accepted: bool) -> None:
    assert accepts_gzip(field) == accepted
