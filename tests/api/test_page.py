"""The page's routes: HTML to a browser, JSON to other clients, files with a strict policy, and nothing else."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from console_service.http import routers
from console_service.page import CONTENT_SECURITY_POLICY, WEB
from fanfold.core.settings import Settings
from fanfold.http.app import make_app
from fanfold.http.files import Files
from fanfold.http.readiness import readiness
from tests.api.test_ops import a_console

AS_A_BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    settings = Settings(auth="header", pull_threshold=1_500, post_max_chars=280)
    app = make_app(title="the page", routers=routers(settings, a_console()), ready=readiness({}))
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as opened:
        yield opened


async def test_a_browser_gets_the_page_and_another_client_gets_addresses(
    client: httpx2.AsyncClient,
) -> None:
    page = await client.get("/", headers=AS_A_BROWSER)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.text == (WEB / "index.html").read_text()
    other = await client.get("/", headers={"Accept": "application/json"})
    assert other.json() == {"page": "/", "documentation": "/docs"}
    assert (await client.get("/")).headers["content-type"] == "application/json"
    assert all("Accept" in answer.headers["vary"] for answer in (page, other))


@pytest.mark.parametrize(
    "path", ["/", "/web/main.js", "/web/vendor/preact.js", "/web/settings.json"]
)
async def test_every_file_has_a_policy_that_forbids_other_origins_and_frames(
    client: httpx2.AsyncClient, path: str
) -> None:
    headers = (await client.get(path, headers=AS_A_BROWSER)).headers
    assert headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-cache"
    sources = {
        source
        for directive in CONTENT_SECURITY_POLICY.split("; ")
        for source in directive.split()[1:]
    }
    assert sources == {"'none'", "'self'", "'script'"}


async def test_the_page_learns_the_settings_that_it_goes_by(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/web/settings.json")).json() == {
        "log": a_console().log,
        "auth": "header",
        "post_max_chars": 280,
        "pull_threshold": 1_500,
    }


async def test_the_page_learns_which_user_a_credential_names(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/web/me", headers={"X-User-Id": "ann"})).json() == {"user_id": "ann"}
    assert (await client.get("/web/me")).status_code == 401


async def test_a_file_that_has_not_changed_is_not_sent_again(client: httpx2.AsyncClient) -> None:
    first = await client.get("/web/style.css")
    assert first.headers["content-type"].startswith("text/css")
    again = await client.get("/web/style.css", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    for kept in ("cache-control", "etag", "vary", "content-security-policy"):
        assert again.headers[kept] == first.headers[kept]
    other = await client.get("/web/style.css", headers={"If-None-Match": '"another"'})
    assert (other.status_code, other.content) == (200, first.content)


@pytest.mark.parametrize("path", ["/", "/web/main.js", "/web/style.css", "/web/vendor/preact.js"])
async def test_a_file_is_compressed_for_a_client_that_accepts_it(
    client: httpx2.AsyncClient, path: str
) -> None:
    plain = await client.get(path, headers={**AS_A_BROWSER, "Accept-Encoding": "br"})
    small = await client.get(path, headers={**AS_A_BROWSER, "Accept-Encoding": "br, gzip"})
    assert "content-encoding" not in plain.headers
    assert small.headers["content-encoding"] == "gzip"
    assert small.content == plain.content
    assert int(small.headers["content-length"]) < 0.7 * int(plain.headers["content-length"])
    assert all("Accept-Encoding" in answer.headers["vary"] for answer in (plain, small))


async def test_a_file_that_has_changed_is_sent_as_it_is_now(tmp_path: Path) -> None:
    (tmp_path / "page.js").write_text("1;")
    files = Files(tmp_path, {"Cache-Control": "no-cache"})

    async def file(request: Request) -> Response:
        return await files.answer(request, "page.js")

    app = Starlette(routes=[Route("/", file)])
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as opened:
        first = await opened.get("/")
        (tmp_path / "page.js").write_text("2;")
        os.utime(tmp_path / "page.js", ns=(1, 1))
        changed = await opened.get("/", headers={"If-None-Match": first.headers["etag"]})
    assert (first.text, changed.text) == ("1;", "2;")


@pytest.mark.parametrize(
    "path", ["/web/", "/web/nothing.js", "/web/..%2fpage.py", "/web/%2e%2e/%2e%2e/pyproject.toml"]
)
async def test_nothing_else_is_served_from_there(client: httpx2.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/", "/web/main.js"])
async def test_the_page_can_only_be_read(
    client: httpx2.AsyncClient, method: str, path: str
) -> None:
    answer = await client.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
