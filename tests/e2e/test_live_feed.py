"""A live feed of a real server process: what arrives, how it goes on after a restart, and how it ends."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from tests.support.eventually import eventually
from tests.support.metrics_page import SERVICES, names_in, names_of
from tests.support.probes import free_port

ALICE = {"X-User-Id": "alice"}


SEEN_AT_ZERO = (
    'fanfold_fanout_dead_letters_total{cause="rejected",source="foreign"}',
    'fanfold_fanout_events_total{result="dead_letter",topic="posts.v1"}',
    'fanfold_fanout_retries_total{topic="posts.v1"}',
    'fanfold_feed_incomplete_total{source="timeline"}',
    'fanfold_http_requests_total{method="POST",route="/posts",status="503"}',
    'fanfold_http_refused_total{bound="cpu",kind="write"}',
    'fanfold_shared_cache_failures_total{call="push",cause="unavailable"}',
    'fanfold_shared_cache_off_seconds_total{cause="away"}',
    "fanfold_cassandra_statements_in_flight",
)


@dataclass
class Client:
    """An `EventSource` in few lines: it applies what it gets, and remembers the last id."""

    base: str
    held: dict[str, str] = field(default_factory=dict)
    last_id: str | None = None
    levels: int = 0
    ended: bool = False

    async def follow(self, *, headers: bool = True) -> None:
        """Without `headers`, the last id is in the query, as for a new `EventSource`."""
        known, self.ended = self.last_id, False
        header = {"Last-Event-ID": known} if known and headers else {}
        query = {"last_event_id": known} if known and not headers else {}
        async with (
            httpx2.AsyncClient(base_url=self.base, timeout=30, headers=ALICE | header) as http,
            http.stream("GET", "/users/alice/feed/stream", params=query) as answer,
        ):
            assert answer.status_code == 200
            event: dict[str, str] = {}
            async for line in answer.aiter_lines():
                if line:
                    name, _, value = line.partition(": ")
                    event[name] = value
                    continue
                self._apply(event)
                event = {}
        self.ended = True

    def _apply(self, event: dict[str, str]) -> None:
        data = json.loads(event.get("data", "null"))
        match event.get("event"):
            case "post":
                self.held[data["post_id"]] = data["content"]
            case "removed":
                del self.held[data["post_id"]]
            case "level":
                self.levels += 1
        self.last_id = event.get("id", self.last_id)

    def shown(self) -> list[str]:
        return [self.held[post_id] for post_id in sorted(self.held, reverse=True)]


@asynccontextmanager
async def a_server(log: Path, port: int) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fanfold", "dev", "--port", str(port), "--data", str(log)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def call(base: str, method: str, path: str, actor: str, **kwargs: Any) -> Any:
    async with httpx2.AsyncClient(base_url=base) as http:
        answer = await http.request(method, path, headers={"X-User-Id": actor}, **kwargs)
    assert answer.status_code < 300, answer.text
    return answer.json() if answer.content else None


async def ready(base: str) -> bool:
    try:
        async with httpx2.AsyncClient(base_url=base) as http:
            return (await http.get("/readyz")).status_code == 200
    except httpx2.TransportError:
        return False


async def metrics(base: str) -> str:
    async with httpx2.AsyncClient(base_url=base) as http:
        return (await http.get("/metrics")).text


async def shows(client: Client, contents: list[str], *, first: int = 2) -> None:
    async def holds() -> bool:
        return client.shown()[:first] == contents

    await eventually(holds, within_s=30, what=f"{contents}, not {client.shown()}")


async def test_a_live_feed_follows_a_server_through_its_restart_and_ends_with_it(
    tmp_path: Path,
) -> None:
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    client = Client(base)
    async with a_server(tmp_path / "log.sqlite", port) as server:
        await eventually(lambda: ready(base), within_s=30, what="the server")
        following = asyncio.create_task(client.follow())
        await shows(client, ["New movie announcement!", "Hello world!"])
        sent_at = time.monotonic()
        await call(base, "POST", "/posts", "bob", json={"content": "new"})
        await shows(client, ["new", "New movie announcement!"])
        assert time.monotonic() - sent_at < 5
        # `make run` has a shared cache in memory, so the stream saw that something had changed.
        served = await metrics(base)
        assert 'fanfold_feed_stream_looks_total{cause="change"}' in served
        assert names_in(served) == names_of(*SERVICES)
        # Nothing of these has happened, and an alert would see the first.
        for series in SEEN_AT_ZERO:
            assert f"{series} 0.0\n" in served, series
        assert "fanfold_delivery_last_slice_age_seconds_count 0.0\n" not in served
        assert 'fanfold_fanout_lag_records{topic="posts.v1"} 0.0\n' in served
        await call(base, "PUT", "/users/alice/muted/nova", "alice")
        await shows(client, ["new", "Hello world!"])
        # A client that listens doesn't keep a server from stopping.
        server.send_signal(signal.SIGTERM)
        stopping_at = time.monotonic()
        assert await asyncio.wait_for(server.wait(), timeout=8) == 0
        assert time.monotonic() - stopping_at < 5
        await asyncio.wait_for(following, timeout=5)
        assert client.ended
    async with a_server(tmp_path / "log.sqlite", port):
        await eventually(lambda: ready(base), within_s=30, what="the server again")
        # While the client was away: an unmute, and a deletion.
        gone = next(post_id for post_id, content in client.held.items() if content == "new")
        await call(base, "DELETE", f"/posts/{gone}", "bob")
        await call(base, "DELETE", "/users/alice/muted/nova", "alice")
        following = asyncio.create_task(client.follow())
        await shows(client, ["New movie announcement!", "Hello world!"])
        page = await call(base, "GET", "/users/alice/feed?ranking=chronological", "alice")
        assert client.shown() == [item["content"] for item in page["items"]]
        following.cancel()
        await call(base, "PUT", "/users/alice/muted/nova", "alice")
        following = asyncio.create_task(client.follow(headers=False))
        await shows(client, ["Hello world!"])
        following.cancel()
