"""`make up`, `make status` and `make down`: the local system, and what kill -9 does to it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator
from typing import Any
from uuid import UUID

import httpx2
import pytest

from deploy.local.plan import CACHE, ROOT
from deploy.local.supervisor import Supervisor
from fanfold.adapters.redis.link import checked
from fanfold.core.cache_keys import entry_number, feed_key
from fanfold.core.errors import CacheUnavailable
from fanfold.core.read_settings import read_settings
from tests.e2e.test_readme import BIN, README, SHOWN_PORT, as_one_script, normalised, transcript
from tests.support.eventually import eventually
from tests.support.jars import JARS
from tests.support.local_system import LocalSystem, a_local_system
from tests.support.shared_caches import plain_link

pytestmark = pytest.mark.real

POSTS_A_KILL = 12
# Temporary answers: of the gateway (its rate limits too), of a service, or because a request with this key is still in flight.
RETRIED = {409, 429, 502, 503, 504}


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSystem]:
    if not JARS.exists():
        pytest.skip("`make up` starts the engines from their jars: `scripts/fetch_engines jars`")
    running = a_local_system(tmp_path_factory.mktemp("a system") / "of its own", workers=2)
    running.up()
    try:
        yield running
    finally:
        running.down()


@pytest.fixture
async def gateway(system: LocalSystem) -> AsyncIterator[httpx2.AsyncClient]:
    """A client that sends a token of the user in `X-User-Id`, as a test sets it."""
    tokens: dict[str, str] = {}

    async def with_token(request: httpx2.Request) -> None:
        if (user_id := request.headers.pop("X-User-Id", None)) is not None:
            if user_id not in tokens:
                tokens[user_id] = system.token(user_id)
            request.headers["Authorization"] = f"Bearer {tokens[user_id]}"

    async with httpx2.AsyncClient(
        base_url=system.plan.system().gateway, timeout=15, event_hooks={"request": [with_token]}
    ) as client:
        yield client


class Follower:
    """One author, one follower, and every post that was acknowledged."""

    def __init__(self, client: httpx2.AsyncClient, name: str) -> None:
        self.client = client
        self.author, self.reader = f"{name}-author", f"{name}-reader"
        self.acknowledged: list[str] = []

    async def follow(self) -> None:
        for name in (self.author, self.reader):
            await self.until(200, "PUT", f"/users/{name}", name, json={"display_name": name})
        path = f"/users/{self.reader}/following/{self.author}"
        # Until the author's registration is in the tables.
        await self.until(204, "PUT", path, self.reader, retried=RETRIED | {404})

    async def post(self, n: int) -> None:
        answer = await self.until(
            201,
            "POST",
            "/posts",
            self.author,
            headers={"Idempotency-Key": f"key-{n}"},
            json={"content": f"post {n}"},
        )
        self.acknowledged.append(answer.json()["post_id"])

    async def until(
        self,
        status: int,
        method: str,
        path: str,
        actor: str,
        *,
        retried: Collection[int] = RETRIED,
        **request: Any,
    ) -> httpx2.Response:
        """Retry while the answer is temporary, as a client should."""
        headers = {"X-User-Id": actor, **request.pop("headers", {})}
        answers: list[httpx2.Response] = []

        async def answered() -> bool:
            try:
                answers.append(await self.client.request(method, path, headers=headers, **request))
            except httpx2.TransportError:
                return False
            assert answers[-1].status_code in {status, *retried}, answers[-1].text
            return answers[-1].status_code == status

        await eventually(answered, within_s=60, every_s=0.2, what=f"{method} {path}")
        return answers[-1]

    async def feed(self) -> list[str]:
        """The whole chronological feed, page by page."""
        found: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            page = (
                await self.until(
                    200,
                    "GET",
                    f"/users/{self.reader}/feed",
                    self.reader,
                    params={"ranking": "chronological", "limit": "100", **cursor},
                )
            ).json()
            found += [item["post_id"] for item in page["items"]]
            if page["next_cursor"] is None:
                return found
            cursor = {"cursor": page["next_cursor"]}

    async def has_everything_once(self) -> bool:
        return Counter(await self.feed()) == Counter(self.acknowledged)


def status(system: LocalSystem) -> dict[str, Any]:
    shown = subprocess.run(
        [sys.executable, "-m", "deploy.local.status", "--json", f"--data={system.plan.home}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    found: dict[str, Any] = json.loads(shown.stdout)
    assert shown.returncode == (0 if found["healthy"] else 1)
    return found


async def idle(system: LocalSystem) -> bool:
    found = await asyncio.to_thread(status, system)
    return bool(found["healthy"] and found["work"]["lag"] == 0)


async def test_every_process_comes_back_after_kill9_and_no_acknowledged_post_is_lost(
    system: LocalSystem, gateway: httpx2.AsyncClient
) -> None:
    bob = Follower(gateway, "killed")
    await bob.follow()
    for at, name in enumerate(system.plan.names):
        posting = [
            asyncio.create_task(bob.post(n))
            for n in range(at * POSTS_A_KILL, (at + 1) * POSTS_A_KILL)
        ]
        started_s = time.monotonic()
        pid = system.kill(name)

        async def is_back(name: str = name, pid: int = pid) -> bool:
            return await asyncio.to_thread(system.is_back, name, instead_of=pid)

        await eventually(is_back, within_s=90, what=f"{name} is back")
        print(f"{name} is back after {time.monotonic() - started_s:.1f} s")
        await asyncio.gather(*posting)
        print(f"   its posts are in after {time.monotonic() - started_s:.1f} s")

    async def is_idle() -> bool:
        return await idle(system)

    await eventually(is_idle, within_s=60, every_s=0.5, what="healthy, and no lag")
    assert (
        len(set(bob.acknowledged)) == len(bob.acknowledged) == POSTS_A_KILL * len(system.plan.names)
    )
    await eventually(bob.has_everything_once, within_s=5, what="each post once in the feed")
    work = status(system)["work"]
    assert (work["dead_letters"], work["posts_unplanned"], work["fanouts"]) == (0, 0, [])


async def test_a_readers_feed_is_in_the_shared_cache_and_is_there_again_after_the_cache_was_killed(
    system: LocalSystem, gateway: httpx2.AsyncClient
) -> None:
    assert system.plan.cache_server, "install redis-server"
    hal = Follower(gateway, "cached")
    await hal.follow()

    async def read_and_cached() -> bool:
        if not await hal.has_everything_once():
            return False
        return await cached_posts(system, hal.reader) == set(hal.acknowledged)

    await hal.post(1)
    await eventually(read_and_cached, within_s=20, what="the post in the list")
    await hal.post(2)
    await eventually(read_and_cached, within_s=20, what="two posts in the list")
    pid = system.kill(CACHE)
    await hal.post(3)

    async def is_back() -> bool:
        return await asyncio.to_thread(system.is_back, CACHE, instead_of=pid)

    await eventually(is_back, within_s=30, what="the cache is back")
    await hal.post(4)
    # The worker's outage ends with the next write that it tells, or after a minute.
    await eventually(read_and_cached, within_s=90, what="four posts in the list")


async def cached_posts(system: LocalSystem, user_id: str) -> set[str]:
    """The posts in the list that is cached of a reader; none while the list or the cache is away."""
    settings = read_settings(cache=system.plan.system().settings["cache"])
    try:
        async with plain_link(settings) as link:
            (elements,) = checked(await link.ask(("LRANGE", feed_key(user_id), 0, -1)))
    except CacheUnavailable:
        return set()
    # The last element is not a post. A post may be there twice: delivered, and copied at the follow.
    return {str(UUID(int=entry_number(entry))) for entry in elements[:-1]}


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

    await eventually(routed, within_s=10, what="every path has its service")
    documents = [
        (await gateway.get(f"/openapi/{name}.json")).json()["info"]["title"]
        for name in ("posts", "users", "feeds")
    ]
    assert documents == ["Fanfold: posts", "Fanfold: users and follows", "Fanfold: feeds"]
    assert (await gateway.get("/docs")).headers["content-type"] == "text/html; charset=utf-8"
    for path in ("/nothing", "/postscript", "/metrics", "/usersandmore"):
        unknown = await gateway.get(path, headers=headers)
        assert unknown.headers["content-type"].startswith("application/problem+json"), path
        assert unknown.json()["status"] == unknown.status_code == 404
        assert unknown.json()["type"] == "urn:fanfold:problem:no-such-route"
    # Without the header it is the service that refuses, in its own words.
    assert (await gateway.get("/users/carol/feed")).json()["status"] == 401


async def test_a_second_up_changes_nothing(system: LocalSystem) -> None:
    before = {name: state.pid for name, state in system.processes().items()}
    assert "is up already" in system.up()
    assert {name: state.pid for name, state in system.processes().items()} == before


async def test_down_leaves_nothing_behind_and_the_next_up_finds_the_data(
    system: LocalSystem, gateway: httpx2.AsyncClient
) -> None:
    dora = Follower(gateway, "yesterday")
    await dora.follow()
    await dora.post(1)

    assert "Fanfold is down" in system.down()
    assert system.left() == []
    assert not status(system)["healthy"]
    assert "not up" in system.down()
    system.up()

    await eventually(dora.has_everything_once, within_s=20, what="yesterday's post")
    await dora.post(2)
    await eventually(dora.has_everything_once, within_s=20, what="today's post")


async def test_without_its_supervisor_nothing_goes_on_unattended_and_up_starts_it_again(
    system: LocalSystem, gateway: httpx2.AsyncClient
) -> None:
    eve = Follower(gateway, "unattended")
    await eve.follow()
    await eve.post(1)
    os.kill(Supervisor(str(system.plan.socket)).pid(), signal.SIGKILL)

    async def nothing_left() -> bool:
        return await asyncio.to_thread(system.left) == []

    await eventually(nothing_left, within_s=10, what="every process has ended")
    system.up()
    await eventually(eve.has_everything_once, within_s=20, what="the earlier post")
