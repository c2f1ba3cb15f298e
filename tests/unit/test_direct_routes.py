"""A route that is called directly answers every request as FastAPI would."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import product
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlencode
from uuid import UUID

import httpx2
import pytest
from fastapi import APIRouter, Body, Depends, FastAPI, Header, Query, Response
from pydantic import BaseModel, ConfigDict
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request

from fanfold.core import tracing
from fanfold.core.errors import Unavailable
from fanfold.http.app import make_app
from fanfold.http.auth import Actor
from fanfold.http.direct_routes import DirectRoutes, direct_routes
from fanfold.http.params import Cursor, Limit, PostIdPath, UserIdPath
from fanfold.http.problems import Forbidden
from tests.fuzz.services import POST_ID, feed_service, graph_service, post_service

Asked = (
    tuple[str, str, Sequence[tuple[str, str]]] | tuple[str, str, Sequence[tuple[str, str]], bytes]
)
"""Method, target, headers, and a body."""

ALICE = ("X-User-Id", "alice")


class TooLoud(Forbidden):
    kind = "too-loud"
    title = "Too loud"


async def _answers(app: FastAPI, requests: Sequence[Asked]) -> list[tuple[Any, ...]]:
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    found = []
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        for method, target, headers, *body in requests:
            named = [*headers, ("X-Request-Id", "the-same")]
            answer = await client.request(
                method, target, headers=named, content=body[0] if body else None
            )
            found.append((answer.status_code, sorted(answer.headers.items()), answer.content))
    return found


def _class(layer: Middleware) -> Any:
    return layer.cls


async def _assert_the_same(app: FastAPI, requests: Sequence[Asked]) -> set[int]:
    """Compare the answers with those of FastAPI alone. Returns all statuses."""
    direct = await _answers(app, requests)
    _assert_equal(requests, direct, await _answers(_by_fastapi(app), requests))
    return {status for status, *_ in direct}


def _by_fastapi(app: FastAPI) -> FastAPI:
    app.user_middleware = [one for one in app.user_middleware if _class(one) is not DirectRoutes]
    app.middleware_stack = None
    return app


def _assert_equal(
    requests: Sequence[Asked], direct: Sequence[Any], by_fastapi: Sequence[Any]
) -> None:
    for asked, ours, theirs in zip(requests, direct, by_fastapi, strict=True):
        assert ours == theirs, asked


def _feed_requests() -> Iterator[Asked]:
    after = ("Fanfold-After", f"posts.v1/0/0;post:bob:{POST_ID}")
    users = ("alice", "bob", "..", "a b", "ü", "x" * 65, "nobody")
    credentials: Sequence[list[tuple[str, str]]] = (
        [ALICE],
        [],
        [ALICE, ALICE],
        [("X-User-Id", "no id!")],
        [ALICE, after],
    )
    bad_after = [ALICE, ("Fanfold-After", "nonsense")]
    queries: Sequence[dict[str, str]] = (
        *({}, {"limit": "0"}, {"limit": "7"}, {"limit": "x", "ranking": "best", "explain": "?"}),
        *({"limit": ""}, {"cursor": ""}, {"cursor": "junk"}, {"ranking": "chronological"}),
        *({"explain": "true"}, {"explain": "true", "ranking": "chronological"}, {"other": "1"}),
        *({"since": str(POST_ID)}, {"since": "junk"}, {"limit": "1\0"}),
    )
    for user, path in product(users, ("feed", "feed/new", "posts")):
        target = f"/users/{quote(user)}/{path}"
        for headers in (*credentials, bad_after):
            yield "GET", target, headers
        if user in ("alice", "x" * 65):
            yield from (("GET", f"{target}?{urlencode(query)}", [ALICE]) for query in queries)
    for method in ("HEAD", "POST", "DELETE", "OPTIONS"):
        yield method, "/users/alice/feed?limit=2", [ALICE]
    for target in ("/users/alice/feed?limit=1&limit=2", "/users//feed", "/users/a/b/feed", "/none"):
        yield "GET", target, [ALICE]


async def test_reads_of_the_feed_service_are_answered_as_fastapi_answers_them() -> None:
    async with feed_service() as app:
        paths = ("/users/{user_id}/feed", "/users/{user_id}/feed/new", "/users/{user_id}/posts")
        assert {f"GET {path}" for path in paths} <= set(direct_routes(app))
        statuses = await _assert_the_same(app, [*_feed_requests()])
    assert {200, 401, 403, 404, 405, 422} <= statuses


async def _assert_same_writes(
    service: Callable[[], AbstractAsyncContextManager[FastAPI]], requests: Sequence[Asked]
) -> set[int]:
    """Compare the answers of two new services, but for ids, times and offsets. Returns all statuses."""
    async with service() as app:
        direct = await _answers(app, requests)
    async with service() as app:
        by_fastapi = await _answers(_by_fastapi(app), requests)
    _assert_equal(requests, [*map(_masked, direct)], [*map(_masked, by_fastapi)])
    return {status for status, *_ in direct}


def _masked(answer: tuple[Any, ...]) -> tuple[Any, ...]:
    status, headers, content = answer
    return (
        status,
        [(name, _CHANGING.sub("?", text)) for name, text in headers],
        _CHANGING.sub("?", content.decode()),
    )


_CHANGING = re.compile(
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT[\d:.]+Z|(?<=/)\d+/\d+"
)
_JSON = ("Content-Type", "application/json")
_BODIES = (
    b'{"content": "hi"}',
    '{"content": "Gr\u00fc\u00dfe \u2603 \\ud83d\\ude00 </script> \\u2028"}'.encode(),
    *(
        b"",
        b"{}",
        b"[]",
        b"null",
        b"1",
        b'"text"',
        b"{",
        b"nul",
        b"NaN",
        b"\xef\xbb\xbf{}",
        b"\xff",
        b" ",
    ),
    *(
        b'{"content": 1}',
        b'{"content": null}',
        b'{"content": ["a"]}',
        b'{"content": {}}',
        b'{"content": true}',
    ),
    *(
        b'{"content": ""}',
        b'{"content": "  "}',
        b'{"content": "\\u0000"}',
        b'{"content": "\\ud800"}',
    ),
    *(
        b'{"content": "a", "content": "b"}',
        b'{"content": "a", "more": 1}',
        b'{"more": 1}',
        b'{"a b": 1e400}',
    ),
    *(b'{"content": "%s"}' % (b"a" * 2_001), b"[" * 3_000, b'{"content": 1%s}' % (b"0" * 200)),
    *(b'{"content": %s1%s}' % (b"[" * 100, b"]" * 100), b'"%s"' % (b"a" * 70_000)),
)


def _post_requests() -> Iterator[Asked]:
    post = f"/posts/{POST_ID}"
    for body, (method, target) in product(_BODIES, (("POST", "/posts"), ("PATCH", post))):
        yield method, target, [ALICE, _JSON], body
    good = _BODIES[0]
    for name in (
        "text/plain",
        "application/json; charset=utf-8",
        "application/ld+json",
        "json",
        "",
    ):
        yield "POST", "/posts", [ALICE, ("Content-Type", name)], good
    keys = ("key", "key", "key-2", "", "a b", "x" * 256)
    yield from (("POST", "/posts", [ALICE, _JSON, ("Idempotency-Key", key)], good) for key in keys)
    yield "POST", "/posts", [ALICE, _JSON, ("Idempotency-Key", "key")], _BODIES[1]
    yield "POST", "/posts", [ALICE, _JSON, ("Idempotency-Key", "a b")], b'{"more": 1}'
    for actor in ([], [ALICE, ALICE], [("X-User-Id", "no id!")], [("X-User-Id", "bob")], [ALICE]):
        for body in (good, b"{}"):
            yield "POST", "/posts?a=1", [*actor, _JSON], body
            yield "PATCH", post, [*actor, _JSON], body
        for target in (
            f"{post}/like",
            "/posts/no-id/like",
            f"/posts/{str(POST_ID)[:-4]}dead/like",
            post,
        ):
            yield from ((method, target, actor) for method in ("PUT", "DELETE", "DELETE"))
    yield "POST", post, [ALICE, _JSON], good
    yield "PUT", f"{post}/like?a=1&a=2", [ALICE]


def _graph_requests() -> Iterator[Asked]:
    kinds, targets = (
        ("following", "muted", "blocked"),
        ("bob", "alice", "nobody", "..", "x" * 65, "a b", "ü"),
    )
    for kind, method, target in product(kinds, ("PUT", "DELETE", "PUT"), targets):
        for actor in ([ALICE], [("X-User-Id", "bob")], []):
            yield method, f"/users/alice/{kind}/{quote(target)}", actor
    yield "PUT", "/users/alice/following/bob", [ALICE, _JSON], b"{}"
    yield "PUT", "/users/alice/following/bob", [ALICE, _JSON], b"{"
    yield "POST", "/users/alice/following/bob", [ALICE]
    yield from [("DELETE", "/users/alice", [ALICE])] * 2
    yield "PUT", "/users/alice/following/bob", [ALICE]


async def test_writes_of_the_post_service_are_answered_as_fastapi_answers_them() -> None:
    async with post_service() as app:
        of_post, like = ("PATCH", "DELETE"), ("PUT", "DELETE")
        expected = {f"{method} /posts/{{post_id}}" for method in of_post}
        expected |= {f"{method} /posts/{{post_id}}/like" for method in like}
        assert {"POST /posts", *expected} <= set(direct_routes(app))
    statuses = await _assert_same_writes(post_service, [*_post_requests()])
    assert {200, 201, 204, 400, 401, 403, 404, 405, 413, 415, 422} <= statuses


async def test_writes_of_the_graph_service_are_answered_as_fastapi_answers_them() -> None:
    async with graph_service() as app:
        expected = {
            f"{method} /users/{{user_id}}/{kind}/{{target_id}}"
            for method, kind in product(("PUT", "DELETE"), ("following", "muted", "blocked"))
        }
        assert expected <= set(direct_routes(app))
    statuses = await _assert_same_writes(graph_service, [*_graph_requests()])
    assert {204, 400, 401, 403, 404, 405, 422} <= statuses


called: list[str] = []


async def _shared(request: HTTPConnection, tone: Literal["low", "high"] = "low") -> str:
    called.append("shared")
    return f"{tone} {request.url.path}"


async def _loud(shared: Annotated[str, Depends(_shared)], loud: bool = False) -> None:
    called.append("loud")
    if loud:
        raise TooLoud(shared)


async def _whole(
    user_id: UserIdPath,
    *,
    request: Request,
    shared: Annotated[str, Depends(_shared)],
    needed: int,
    some_name: Annotated[str | None, Header()] = None,
    other: Annotated[float, Query(alias="else")] = 0.5,
    post: UUID | None = None,
    cursor: Cursor = None,
    limit: Limit = 3,
) -> Response:
    called.append("whole")
    if needed == 0:
        raise Unavailable("no engine")
    if needed == 1:
        raise RuntimeError("a bug")
    found = (user_id, shared, needed, some_name, other, post, cursor, limit, request.method)
    return Response(repr(found), status_code=202, headers={"Some": "header"})


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid")

    number: int
    texts: list[str] = []


async def _with_body(user_id: UserIdPath, body: _Given, needed: int) -> Response:
    called.append("body")
    return Response(repr((user_id, body, needed)))


async def _opened() -> AsyncIterator[int]:
    yield 7


def _shapes() -> Iterator[Asked]:
    queries: Sequence[dict[str, str]] = (
        *({}, {"needed": "2"}, {"needed": "x"}, {"needed": "0"}, {"needed": "1"}),
        *({"needed": "2", "else": "1.5", "post": str(POST_ID), "limit": "100", "cursor": ""},),
        *({"needed": "2", "else": "x", "post": "x", "limit": "101", "tone": "middle"},),
        *({"needed": "2", "tone": "high"}, {"needed": "2", "loud": "1"}, {"loud": "1"}),
        *(
            {"tone": "middle", "loud": "1"},
            {"loud": "maybe", "needed": "2"},
            {"tone": "high", "loud": "true", "needed": "x"},
        ),
    )
    headers = ([ALICE], [ALICE, ("some-name", "hi")], [ALICE, ("some_name", "no")])
    for query, sent in product(queries, headers):
        yield "GET", f"/shapes/alice?{urlencode(query)}", sent


@pytest.fixture(autouse=True)
async def nothing_called() -> None:
    called.clear()


def _an_app(*routes: tuple[str, Any], methods: Sequence[str] = ("GET",)) -> FastAPI:
    router = APIRouter(dependencies=[Depends(_loud)])
    for path, function in routes:
        router.add_api_route(path, function, methods=[*methods])

    async def ready() -> None: ...

    return make_app(title="shapes", routers=[router], ready=ready)


async def test_every_shape_of_parameter_and_guard_is_read_as_fastapi_reads_it() -> None:
    app = _an_app(("/shapes/{user_id}", _whole))
    assert "GET /shapes/{user_id}" in direct_routes(app)
    assert await _assert_the_same(app, [*_shapes()]) == {202, 403, 422, 500, 503}


async def test_a_body_is_read_and_refused_with_parameters_and_guards_as_fastapi_does_it() -> None:
    app = _an_app(("/shapes/{user_id}", _with_body), methods=("PUT", "PATCH"))
    assert {f"{method} /shapes/{{user_id}}" for method in ("PUT", "PATCH")} <= set(
        direct_routes(app)
    )
    bodies = (
        *(
            b'{"number": 1}',
            b'{"number": "7", "texts": ["a"]}',
            b'{"number": 1.5}',
            b"{}",
            b"",
            b"null",
        ),
        *(b"[1]", b'{"number": 1, "texts": "a"}', b'{"number": 1, "texts": [1], "more": 2}', b"{"),
    )
    queries = ("needed=2", "", "needed=x", "needed=2&loud=1", "loud=1", "tone=middle")
    users = ("alice", "x" * 65)
    requests: list[Asked] = [
        (method, f"/shapes/{user}?{query}", [ALICE, _JSON], body)
        for method, user, query, body in product(("PUT", "PATCH"), users, queries, bodies)
    ]
    assert await _assert_the_same(app, requests) == {200, 400, 403, 422}


async def test_bodies_of_other_shapes_are_left_to_fastapi() -> None:
    async def may_be_absent(body: _Given | None = None) -> Response:
        return Response(repr(body))

    async def embedded(body: Annotated[_Given, Body(embed=True)]) -> Response:
        return Response(repr(body))

    async def two(one: _Given, other: _Given) -> Response:
        return Response(repr((one, other)))

    async def of_a_list(body: list[_Given]) -> Response:
        return Response(repr(body))

    async def of_bytes(request: Request, body: Annotated[bytes, Body()]) -> Response:
        return Response(repr((request.method, body)))

    shapes = (may_be_absent, embedded, two, of_a_list, of_bytes)
    app = _an_app(*((f"/{shape.__name__}", shape) for shape in shapes), methods=("PUT",))
    assert direct_routes(app) == ["GET /metrics"]


async def test_a_shared_dependency_is_called_once_and_guards_come_first() -> None:
    app = _an_app(("/shapes/{user_id}", _whole))
    await _answers(app, [("GET", "/shapes/alice?needed=2", [ALICE])])
    assert called == ["shared", "loud", "whole"]


async def test_what_only_fastapi_can_call_is_left_to_it() -> None:
    async def a_model(user_id: UserIdPath) -> dict[str, str]:
        return {"user_id": user_id}

    def in_a_thread(user_id: UserIdPath) -> Response:
        return Response(user_id)

    async def several(tags: Annotated[list[str], Query()]) -> Response:
        return Response(repr(tags))

    async def closed_afterwards(number: Annotated[int, Depends(_opened)]) -> Response:
        return Response(str(number))

    async def a_file(path: str) -> Response:
        return Response(path)

    app = _an_app(
        ("/model/{user_id}", a_model),
        ("/thread/{user_id}", in_a_thread),
        ("/several", several),
        ("/closed", closed_afterwards),
        ("/files/{path:path}", a_file),
    )
    assert direct_routes(app) == ["GET /metrics"]
    paths = ("/model/a", "/thread/a", "/several?tags=a", "/closed", "/files/a/b")
    assert await _assert_the_same(app, [("GET", path, []) for path in paths]) == {200}


async def test_of_two_routes_for_a_path_the_first_one_answers() -> None:
    async def first(user_id: UserIdPath) -> dict[str, str]:
        return {"first": user_id}

    async def second(post_id: PostIdPath, _actor: Actor) -> Response:
        return Response("second")

    app = _an_app(("/both/{user_id}", first), ("/both/{post_id}", second))
    assert "GET /both/{post_id}" in direct_routes(app)
    assert await _assert_the_same(app, [("GET", f"/both/{POST_ID}", [ALICE])]) == {200}


async def test_while_traces_are_recorded_fastapi_calls_every_route() -> None:
    class _Recorded:
        provider = None

        def __getattr__(self, _name: str) -> Any:
            return lambda *_args, **_how: None

    tracing.use(_Recorded())
    try:
        app = _an_app(("/shapes/{user_id}", _whole))
    finally:
        tracing.use(None)
    assert DirectRoutes not in map(_class, app.user_middleware)
