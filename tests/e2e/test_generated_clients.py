"""Clients that are generated from `schemas/openapi.json`, in Python and TypeScript, tell the demo's story to a running system."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from all_in_one.system import all_in_one
from fanfold.core.clock import SystemClock
from fanfold.core.settings import Settings
from fanfold.http.identity.development import DevelopmentIssuer, create_key
from tests.support.generated_clients import GENERATE, PYTHON, ROOT, story_tokens, told
from tests.support.served import listening

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),  # npm and pip fetch the generators once
    pytest.mark.skipif(shutil.which("npm") is None, reason="npm is missing: install Node.js"),
]


@pytest.fixture(params=["header", "jwt"])
async def where(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[list[str]]:
    """A fresh system's address, and the users' tokens where it verifies tokens."""
    key, tokens = tmp_path / "key.pem", list[str]()
    settings = Settings(cache="memory")
    if request.param == "jwt":
        create_key(key)
        tokens = story_tokens(DevelopmentIssuer(key))
        settings = Settings(cache="memory", auth="jwt", jwt_development_key=key)
    async with (
        all_in_one(settings, clock=SystemClock(), path=tmp_path / "log.sqlite") as system,
        listening(system.app) as port,
    ):
        yield [f"http://127.0.0.1:{port}", *tokens]


async def test_a_generated_python_client_tells_the_story(clients: Path, where: list[str]) -> None:
    story = await told(PYTHON, clients / "python" / "story.py", *where)
    assert story == "the story is told\n"


async def test_a_generated_typescript_client_tells_the_story(
    clients: Path, where: list[str]
) -> None:
    story = await told("node", clients / "typescript" / "story.js", *where)
    assert story == "the story is told\n"


def test_a_document_with_a_remark_is_refused(clients: Path, tmp_path: Path) -> None:
    broken = tmp_path / "openapi.json"
    text = (ROOT / "schemas" / "openapi.json").read_text()
    broken.write_text(text.replace('"operationId": "read_feed"', '"operationId": "read feed"'))
    done = subprocess.run(
        [GENERATE, tmp_path / "out", broken], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "operation-operationId-url-safe" in done.stdout


_FOLLOW = """
import { liveFeed } from "./live_feed.js";
const seen = [];
try {
  for await (const event of liveFeed(process.argv[2], { "X-User-Id": "ann" }, new AbortController().signal)) seen.push(event.data.posts);
} catch (error) {
  console.log(JSON.stringify([...seen, error.message]));
}
"""


async def test_the_helper_for_browsers_goes_on_after_a_503_and_ends_at_a_refusal(
    clients: Path,
) -> None:
    asked: list[tuple[str | None, str | None]] = []
    at_once = {"Retry-After": "0"}
    answers = iter(
        [
            Response("busy", 503, at_once),
            Response(_event(1), 200, at_once, "text/event-stream"),
            Response("too many", 429, at_once),
            Response(_event(2) + "data: half of an ev", 200, at_once, "text/event-stream"),
            Response("not yours", 403),
        ]
    )

    async def stream(request: Request) -> Response:
        asked.append((request.headers.get("X-User-Id"), request.headers.get("Last-Event-ID")))
        return next(answers)

    script = clients / "typescript" / "follow.mjs"
    script.write_text(_FOLLOW)
    async with listening(Starlette(routes=[Route("/stream", stream)])) as port:
        output = await told("node", script, f"http://127.0.0.1:{port}/stream")
    assert json.loads(output) == [1, 2, "403: not yours"]
    assert asked == [("ann", last) for last in (None, None, "id-1", "id-1", "id-2")]


def _event(posts: int) -> str:
    return f': a comment\n\nevent: level\ndata: {{"posts": {posts}}}\nid: id-{posts}\n\n'


def test_code_that_forgets_an_event_of_the_live_feed_has_a_type_error(clients: Path) -> None:
    wrong = clients / "typescript" / "wrong.ts"
    wrong.write_text(
        'import type { LiveFeedEvent } from "./live_feed.js";\n'
        "export const content = (event: LiveFeedEvent) => event.data.content;\n"
    )
    done = subprocess.run(
        [
            *("node_modules/.bin/tsc", "--noEmit", "--strict", "--skipLibCheck"),
            *("--module", "nodenext", "--target", "es2023", wrong.name),
        ],
        cwd=wrong.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "'content' does not exist" in done.stdout
