"""Every route of every service with every kind of credential, where `FANFOLD_AUTH=jwt`: a route that lets one through fails here."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts

from fanfold.core.clock import SystemClock
from tests.architecture.test_guards import FOR_OTHERS_TOO, WITHOUT_CREDENTIAL
from tests.fuzz.services import EXISTING, feed_service, graph_service, post_service
from tests.support.served import AppFactory, listening
from tests.support.tokens import a_token, an_identity, claims, private_key, signed

BODIES: dict[str, Any] = {
    "POST /posts": {"content": "hello"},
    "PATCH /posts/{post_id}": {"content": "hello again"},
    "PUT /users/{user_id}": {"display_name": "Alice"},
    "PUT /users/{user_id}/following": {"user_ids": [EXISTING["target_id"]]},
}
QUERIES = {
    "/posts": f"?ids={EXISTING['post_id']}",
    "/users": f"?ids={EXISTING['target_id']}",
    "/users/{user_id}/relationships": f"?ids={EXISTING['target_id']}",
    "/users/{user_id}/feed/new": f"?since={EXISTING['post_id']}",
}
"""What a path needs, by any method."""
AUTHORS_ALONE = {
    "PATCH /posts/{post_id}",
    "DELETE /posts/{post_id}",
    "GET /posts/{post_id}/fanout",
}
"""Routes without a user id in their path that only the author of alice's post may use."""


class Served:
    """A service on a socket, which accepts the tokens of the test's issuer."""

    def __init__(self, app: FastAPI, port: int, client: httpx2.AsyncClient) -> None:
        self.port = port
        self._client = client
        self.routes = [
            (method, str(context.path))
            for context in iter_route_contexts(app.routes)
            if isinstance(context.original_route, APIRoute)
            for method in context.methods or ()
            if f"{method} {context.path}" not in WITHOUT_CREDENTIAL
        ]

    async def ask(self, method: str, path: str, headers: list[tuple[str, str]]) -> httpx2.Response:
        """The answer's head; its body only if it ends at once."""
        sent = BODIES.get(f"{method} {path}")
        url = f"http://127.0.0.1:{self.port}{path.format(**EXISTING)}{QUERIES.get(path, '')}"
        async with self._client.stream(method, url, headers=headers, json=sent) as answer:
            if "event-stream" not in answer.headers.get("content-type", ""):
                await answer.aread()
            return answer

    async def in_a_trailer(self, method: str, path: str, token: str) -> int:
        """The status of a request whose token comes after the body."""
        body = json.dumps(BODIES.get(f"{method} {path}", {})).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(
            f"{method} {path.format(**EXISTING)} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
            f"Trailer: Authorization\r\n\r\n{len(body):x}\r\n".encode()
            + body
            + f"\r\n0\r\nAuthorization: Bearer {token}\r\nX-User-Id: alice\r\n\r\n".encode()
        )
        try:
            async with asyncio.timeout(10):
                return int((await reader.readline()).split()[1])
        finally:
            writer.close()


@pytest.fixture(params=[post_service, graph_service, feed_service])
async def served(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    service: AppFactory = request.param
    opened: AbstractAsyncContextManager[FastAPI] = service()
    async with opened as app:
        app.state.identity = an_identity(SystemClock())
        async with listening(app) as port, httpx2.AsyncClient(timeout=10) as client:
            yield Served(app, port, client)


def refused_credentials(now_s: float) -> dict[str, list[tuple[str, str]]]:
    """Headers that must be answered 401 everywhere, by what is wrong with them."""
    right = a_token(now_s=now_s)
    another = {"key": private_key("ES256", "another one")}

    def bearer(token: str) -> list[tuple[str, str]]:
        return [("Authorization", f"Bearer {token}"), ("X-User-Id", "alice")]

    return {
        "none": [],
        "a user id alone": [("X-User-Id", "alice")],
        "malformed": bearer(right[:-20]),
        "another scheme": [("Authorization", f"Basic {right}")],
        "two headers": [("Authorization", f"Bearer {right}")] * 2,
        "expired": bearer(a_token(now_s=now_s - 1000)),
        "not yet": bearer(a_token(now_s=now_s, nbf=int(now_s) + 60)),
        "audience": bearer(a_token(now_s=now_s, aud="other")),
        "issuer": bearer(a_token(now_s=now_s, iss="https://other.example/")),
        "key": bearer(signed(claims(now_s=now_s), **another)),
        "unknown key": bearer(signed(claims(now_s=now_s), headers={"kid": "other"})),
        "type": bearer(signed(claims(now_s=now_s), headers={"typ": "JWT"})),
        "lifetime": bearer(a_token(now_s=now_s, exp=int(now_s) + 8000)),
    }


@pytest.mark.slow
async def test_every_route_refuses_every_credential_that_is_not_right(served: Served) -> None:
    now_s = time.time()
    for method, path in served.routes:
        for wrong, headers in refused_credentials(now_s).items():
            answer = await served.ask(method, path, headers)
            where = f"{method} {path}: {wrong}"
            assert answer.status_code == 401, where
            assert answer.headers["content-type"] == "application/problem+json", where
            assert answer.headers["www-authenticate"].startswith("Bearer "), where
            assert answer.json()["type"] == "urn:fanfold:problem:unauthenticated", where
        if method not in {"GET", "HEAD"}:
            trailer = await served.in_a_trailer(method, path, a_token(now_s=now_s))
            assert trailer == 401, f"{method} {path}: trailer"


@pytest.mark.slow
async def test_every_route_needs_the_scope_of_its_method(served: Served) -> None:
    now_s = time.time()
    for method, path in served.routes:
        # A ticket is for a read.
        reads = method == "GET" or path.endswith("/ticket")
        needed, other = ("fanfold:read", "fanfold:write")[:: 1 if reads else -1]
        for scope in (None, "", other, "fanfold:admins", needed.upper(), f"{needed}:all"):
            token = a_token(now_s=now_s, scope=scope)
            answer = await served.ask(method, path, [("Authorization", f"Bearer {token}")])
            where = f"{method} {path}: {scope}"
            assert answer.status_code == 403, where
            assert answer.json()["type"] == "urn:fanfold:problem:missing-scope", where
            challenge = answer.headers["www-authenticate"]
            assert f'error="insufficient_scope", scope="{needed}"' in challenge, where


@pytest.mark.slow
async def test_every_route_is_for_its_user_and_an_admin_is_no_other_user(served: Served) -> None:
    now_s = time.time()
    for method, path in served.routes:
        name = f"{method} {path}"
        private = path.startswith("/users/{user_id}") and name not in FOR_OTHERS_TOO
        for scope in ("fanfold:read fanfold:write", "fanfold:admin"):
            token = a_token("bob", now_s=now_s, scope=scope)
            # The header of another user changes nothing.
            headers = [("Authorization", f"Bearer {token}"), ("X-User-Id", "alice")]
            answer = await served.ask(method, path, headers)
            if private or name in AUTHORS_ALONE:
                assert answer.status_code == 403, f"{name}: {answer.status_code}"
                assert answer.json()["type"] != "urn:fanfold:problem:missing-scope", name
            else:
                assert answer.status_code < 300, f"{name}: {answer.status_code}"


@pytest.mark.slow
async def test_every_route_serves_its_user(served: Served) -> None:
    now_s = time.time()
    # What ends a thing comes last.
    routes = sorted(served.routes, key=lambda route: (route[0] == "DELETE", -len(route[1])))
    for scope in ("fanfold:read fanfold:write", "fanfold:admin"):
        for method, path in routes:
            if scope != "fanfold:admin" and method == "DELETE" and path.count("/") == 2:
                continue  # leaving, or the post: once, at the end
            token = a_token(now_s=now_s, scope=scope)
            answer = await served.ask(method, path, [("Authorization", f"Bearer {token}")])
            assert answer.status_code < 300, f"{method} {path}: {answer.status_code}"
            # A client may keep an answer with a validator, and must ask before each use.
            kept = "private, no-cache" if "etag" in answer.headers else "private, no-store"
            assert answer.headers["cache-control"] == kept, f"{method} {path}"
            assert "Authorization" in answer.headers["vary"], f"{method} {path}"
