"""`make up`, `make status` and `make down`: the local system."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from pathlib import Path

import httpx2
import pytest

from console_service.page import CONTENT_SECURITY_POLICY
from fanfold.http.identity.development import DevelopmentIssuer
from tests.e2e.test_readme import BIN, README, SHOWN_PORT, as_one_script, normalised, transcript
from tests.support.eventually import eventually
from tests.support.generated_clients import PYTHON, story_tokens, told
from tests.support.local_follower import Follower
from tests.support.local_system import LocalSystem

# A new clone fetches the generators of the clients once.
pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]


async def test_the_commands_of_the_readme_with_tokens_run_here(system: LocalSystem) -> None:
    steps = list(transcript(README.read_text(), "tokens"))
    key = f"export FANFOLD_JWT_DEVELOPMENT_KEY={shlex.quote(str(system.plan.development_key))}"
    script = as_one_script(steps, f'{key}; PATH="{BIN}:$PATH"')
    shell = await asyncio.create_subprocess_shell(
        script.replace(SHOWN_PORT, str(system.plan.gateway_port)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await shell.communicate()
    shown = "".join(step.output for step in steps)
    assert _without_request_ids(output.decode()) == _without_request_ids(shown)


def _without_request_ids(output: str) -> str:
    # The gateway gives each request an id of its own.
    return re.sub(r'"request_id":"[^"]*"', '"request_id":<request>', normalised(output))


async def test_the_generated_clients_tell_the_story_with_tokens(
    system: LocalSystem, clients: Path
) -> None:
    """Through Envoy, which verifies them too."""
    tokens = story_tokens(DevelopmentIssuer(system.plan.development_key))
    url = f"http://127.0.0.1:{system.plan.gateway_port}"
    for command in (PYTHON, clients / "python/story.py"), ("node", clients / "typescript/story.js"):
        assert await told(*command, url, *tokens) == "the story is told\n"


async def test_the_gateway_routes_by_path_and_answers_the_rest_with_problems(
    system: LocalSystem, gateway: httpx2.AsyncClient
) -> None:
    headers = {"X-User-Id": "carol"}
    registered = await gateway.put("/users/carol", json={"display_name": "C"}, headers=headers)
    assert registered.status_code == 200
    posted = await gateway.post("/posts", json={"content": "hi"}, headers=headers)
    assert posted.status_code == 201
    location = posted.headers["location"]

    async def routed() -> bool:
        found = [
            await gateway.get(path, headers=headers)
            for path in (
                location,
                f"{location}/fanout",
                "/users/carol/posts",
                "/users/carol/feed",
                "/users/carol/followers",
            )
        ]
        return [response.status_code for response in found] == [200] * 5

    await eventually(routed, within_s=30, what="every path has its service")
    described = (await gateway.get("/openapi.json")).json()["paths"]
    assert {"/posts", "/users/{user_id}/following", "/users/{user_id}/feed"} <= described.keys()
    assert (await gateway.get("/docs")).headers["content-type"] == "text/html; charset=utf-8"
    page = await gateway.get("/", headers={"Accept": "text/html"})
    assert page.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    loaded = re.findall(r'(?:src|href)="(/[^"]+)"', page.text + (await gateway.get("/docs")).text)
    assert {"/web/main.js", "/docs/static/swagger-ui-bundle.js"} <= set(loaded)
    assert {path: (await gateway.get(path)).status_code for path in loaded} == dict.fromkeys(
        loaded, 200
    )
    assert (await gateway.get("/web/me", headers=headers)).json() == {"user_id": "carol"}
    for path in ("/nothing", "/postscript", "/metrics", "/usersandmore"):
        unknown = await gateway.get(path, headers=headers)
        assert unknown.headers["content-type"].startswith("application/problem+json"), path
        assert unknown.json()["status"] == unknown.status_code == 404
        assert unknown.json()["type"] == "urn:fanfold:problem:no-such-route"
    # Without the header it is the service that refuses, in its own words.
    assert (await gateway.get("/users/carol/feed")).json()["status"] == 401


async def test_the_console_sees_every_service_of_the_system_and_what_they_count(
    system: LocalSystem, gateway: httpx2.AsyncClient
) -> None:
    author = Follower(gateway, "seen")
    await author.follow()
    await author.post(1)

    async def seen() -> bool:
        answer = await gateway.get("/ops/overview")
        assert answer.status_code == 200, answer.text
        overview = answer.json()
        values = {figure["name"]: figure["values"][-1] for figure in overview["figures"]}
        return bool(
            overview["healthy"]
            and overview["totals"]["delivery_ages"]
            and (values["lag"], values["streams"]) == (0, 0)
        )

    await eventually(seen, within_s=60, what="a healthy overview with deliveries")
    overview = (await gateway.get("/ops/overview")).json()
    services = {process["name"] for process in overview["processes"]}
    assert services == {"post", "graph", "feed", "console", "fanout-1", "fanout-2"}
    status = (await gateway.get("/ops/work")).json()
    assert status["log"] == f"Kafka at 127.0.0.1:{system.plan.port('kafka')}"
    events = await gateway.get("/ops/events", params={"topic": "posts.v1", "key": author.author})
    assert [event["type"] for event in events.json()["items"]] == ["PostCreated"]
    sizes = (await gateway.get("/ops/sizes")).json()
    followers = {user["user_id"]: user["followers"] for user in sizes["largest"]}
    assert followers[author.author] == 1
    post = json.loads(events.json()["items"][0]["value"])["post_id"]
    explained = await gateway.get("/ops/explain", params={"user": author.author, "post": post})
    assert [reason["reason"] for reason in explained.json()["reasons"]] == ["own"]
    for empty in ("/ops/fan-outs", "/ops/dead-letters"):
        assert (await gateway.get(empty)).json()["items"] == []


async def test_a_second_up_changes_nothing(system: LocalSystem) -> None:
    before = {name: state.pid for name, state in system.processes().items()}
    assert "is up already" in system.up()
    assert {name: state.pid for name, state in system.processes().items()} == before


def test_down_leaves_nothing_behind(system: LocalSystem) -> None:
    """`tests/faults/test_up_restore.py` starts it again, and finds the data."""
    assert "Fanfold is down" in system.down()
    assert system.left() == []
    assert not system.status()["healthy"]
    assert "not up" in system.down()
