"""The page `/docs`: every file that it loads comes from this server, is in this repository, and has a hash."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from deploy.gateway.configure import connection_manager
from fanfold.http.documentation import ALL_SERVICES, CONTENT_SECURITY_POLICY, STATIC
from tests.support.app import WriteSide
from tests.support.merged_openapi import DOCUMENT

ROOT = Path(__file__).parents[2]
PAGES = [STATIC / "docs.html", ROOT / "deploy/k8s/components/gateway/docs.html"]
LOADING = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}
# Of markup, also inside of another language, and of style sheets.
ELSEWHERE = re.compile(
    r"""<(?:script|link|img|iframe|source|object|embed)\b[^>]*\b(?:src|srcset|href|data)=["']?(?:https?:)?//"""
    r"""|url\(["']?(?:https?:)?//|@import\s+["']?(?:https?:)?//""",
    re.IGNORECASE,
)


class Loads(HTMLParser):
    """What a page loads, with the hash that it asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str | None] = {}
        self.inline = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if url := values.get(LOADING.get(tag, "")):
            self.found[url] = values.get("integrity")
        elif tag in ("script", "style"):
            self.inline += 1


def loads(page: str) -> Loads:
    parser = Loads()
    parser.feed(page)
    return parser


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_every_file_of_a_page_is_here_and_has_the_hash_that_the_page_asks_for(page: Path) -> None:
    loaded = loads(page.read_text())
    assert loaded.found.keys() == {
        f"/docs/static/{name}" for name in ("swagger-ui.css", "swagger-ui-bundle.js", "docs.js")
    }
    assert loaded.inline == 0
    for url, integrity in loaded.found.items():
        digest = hashlib.sha384((STATIC / Path(url).name).read_bytes()).digest()
        assert integrity == f"sha384-{base64.b64encode(digest).decode()}", url


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_a_page_forbids_every_other_origin_itself(page: Path) -> None:
    [policy] = re.findall(
        r'http-equiv="Content-Security-Policy" content="([^"]+)"', page.read_text()
    )
    assert f"{policy}; frame-ancestors 'none'" == CONTENT_SECURITY_POLICY
    sources = {source for directive in policy.split("; ") for source in directive.split()[1:]}
    assert sources == {"'none'", "'self'", "data:"}


async def test_a_service_serves_the_description_of_all_services(api: WriteSide) -> None:
    answer = await api.client.get(ALL_SERVICES, headers={"Accept-Encoding": "gzip"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    # Some 180 KB otherwise.
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.content == DOCUMENT.read_bytes()


def test_both_gateways_serve_that_description_as_their_own() -> None:
    envoy = yaml.safe_load((ROOT / "deploy/gateway/envoy.yaml").read_text())
    (host,) = connection_manager(envoy)["route_config"]["virtual_hosts"]
    (route,) = (found for found in host["routes"] if found["match"].get("path") == "/openapi.json")
    assert route["route"]["prefix_rewrite"] == ALL_SERVICES
    page = (ROOT / "deploy/k8s/components/gateway/docs.html").read_text()
    assert re.findall(r'class="openapi" href="([^"]+)"', page) == ["/openapi.json"]


async def test_a_service_serves_its_page_and_each_file(api: WriteSide) -> None:
    page = await api.client.get("/docs")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    for url in loads(page.text).found:
        served = await api.client.get(url)
        assert served.status_code == 200, url
        assert served.content == (STATIC / Path(url).name).read_bytes()
        again = await api.client.get(url, headers={"If-None-Match": served.headers["etag"]})
        assert again.status_code == 304


@pytest.mark.parametrize("name", ["nothing.js", "..%2fdocumentation.py", "%2e%2e", "%00"])
async def test_nothing_else_is_served_from_there(api: WriteSide, name: str) -> None:
    answer = await api.client.get(f"/docs/static/{name}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_file_has_one_method_and_says_so(api: WriteSide) -> None:
    answer = await api.client.post("/docs/static/docs.js")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


def test_swagger_ui_asks_no_validator() -> None:
    assert "validatorUrl: null" in (STATIC / "docs.js").read_text()


def test_the_release_that_was_copied_is_written_down_with_its_licence() -> None:
    release = json.loads((STATIC / "swagger-ui.json").read_text())
    assert release["license"] == "Apache-2.0"
    assert re.fullmatch(r"\d+\.\d+\.\d+", release["version"])
    assert "Apache License" in (STATIC / "swagger-ui.LICENSE").read_text()
    assert sum(path.stat().st_size for path in STATIC.iterdir()) < 2_000_000


def test_no_file_of_the_repository_loads_anything_from_another_origin() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    checked = [
        name
        for name in tracked
        if Path(name).suffix in {".html", ".js", ".css", ".yaml", ".py", ".md", ".svg", ".json"}
        # A program; its page's policy forbids it every other origin.
        and not name.endswith("swagger-ui-bundle.js")
    ]
    assert "deploy/gateway/envoy.yaml" in checked
    loading = {
        name: found[0]
        for name in checked
        if (ROOT / name).exists() and (found := ELSEWHERE.search((ROOT / name).read_text()))
    }
    assert loading == {}
