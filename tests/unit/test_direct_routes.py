"""A route that is called directly answers every request as FastAPI would."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import product
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlencode
from uuid import UUID

import httpx2
import pytest
from fastapi import APIRouter, Depends, FastAPI, Header, Query, Response
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request

from fanfold.core import tracing
from fanfold.core.errors import Unavailable
from fanfold.http.app import make_app
from fanfold.http.auth import Actor
from fanfold.http.direct_routes import DirectRoutes, direct_routes
from fanfold.http.params import Cursor, Limit, PostIdPath, UserIdPath
from fanfold.http.problems import Forbidden
from tests.fuzz.services import POST_ID, feed_service

Asked = tuple[str, str, Sequence[tuple[str, str]]]
"""Method, target and headers."""

ALICE = ("X-User-Id", "alice")


class TooLoud(Forbidden):
    kind = "too-loud"
    title = "Too loud"


async def _answers(app: FastAPI, requests: Sequence[Asked]) -> list[tuple[Any, ...]]:
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    found = []
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        for method, target, headers in requests:
            named = [*headers, ("X-Request-Id", "the-same")]
            answer = await client.request(method, target, headers=named)
            found.append((answer.status_code, sorted(answer.headers.items()), answer.content))
    return found


def _class(layer: Middleware) -> Any:
    return layer.cls


async def _assert_the_same(app: FastAPI, requests: Sequence[Asked]) -> set[int]:
    """Compare the answers with those of FastAPI alone. Returns all statuses."""
    direct = await _answers(app, requests)
    app.user_middleware = [one for one in app.user_middleware if _class(one) is not DirectRoutes]
    app.middleware_stack = None
    for asked, by_us, by_fastapi in zip(
        requests, direct, await _answers(app, requests), strict=True
    ):
        assert by_us == by_fastapi, asked
    return {status for status, *_ in direct}


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
        expected = {"/users/{user_id}/feed", "/users/{user_id}/feed/new", "/users/{user_id}/posts"}
        assert expected <= set(direct_routes(app))
        statuses = await _assert_the_same(app, [*_feed_requests()])
    assert {200, 401, 403, 404, 405, 422} <= statuses


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


def _an_app(*routes: tuple[str, Any], **how: Any) -> FastAPI:
    router = APIRouter(dependencies=[Depends(_loud)])
    for path, function in routes:
        router.add_api_route(path, function, methods=["GET"], **how)

    async def ready() -> None: ...

    return make_app(title="shapes", routers=[router], ready=ready)


async def test_every_shape_of_parameter_and_guard_is_read_as_fastapi_reads_it() -> None:
    app = _an_app(("/shapes/{user_id}", _whole))
    assert "/shapes/{user_id}" in direct_routes(app)
    assert await _assert_the_same(app, [*_shapes()]) == {202, 403, 422, 500, 503}


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
    assert direct_routes(app) == ["/metrics"]
    paths = ("/model/a", "/thread/a", "/several?tags=a", "/closed", "/files/a/b")
    assert await _assert_the_same(app, [("GET", path, []) for path in paths]) == {200}


async def test_of_two_routes_for_a_path_the_first_one_answers() -> None:
    async def first(user_id: UserIdPath) -> dict[str, str]:
        return {"first": user_id}

    async def second(post_id: PostIdPath, _actor: Actor) -> Response:
        return Response("second")

    app = _an_app(("/both/{user_id}", first), ("/both/{post_id}", second))
    assert "/both/{post_id}" in direct_routes(app)
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
