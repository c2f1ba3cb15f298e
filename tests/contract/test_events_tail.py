"""`fanfold events tail`, the same on both stacks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fanfold.core.clock import SystemClock, rfc3339
from fanfold.core.data_format import LOG_FILE
from fanfold.core.events import UserMuted, UserUnfollowed, from_ms
from fanfold.core.ports.log import EventLog, Position
from fanfold.ops.command_line import app
from tests.support.logs import STACKS, a_follow, a_post, own_topics

Tail = Callable[..., Awaitable[list[dict[str, Any]]]]


@dataclass(frozen=True)
class Running:
    """A log that is being written, and the directory that the command is given."""

    log: EventLog
    data: Path


@asynccontextmanager
async def opened(
    stack: str, request: pytest.FixtureRequest, path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Running]:
    clock = SystemClock()
    if stack == "sqlite":
        from fanfold.adapters.sqlite.log import SqliteLog

        async with SqliteLog(path / LOG_FILE, clock=clock, source="test") as log:
            yield Running(log, path)
        return
    from fanfold.adapters.kafka.log import KafkaLog

    async with own_topics(request.getfixturevalue("engines")) as settings:
        monkeypatch.setenv("FANFOLD_KAFKA_BOOTSTRAP", settings.kafka_bootstrap)
        monkeypatch.setenv("FANFOLD_TOPIC_PREFIX", settings.topic_prefix)
        async with KafkaLog(settings, clock=clock, source="test") as kafka:
            yield Running(kafka, path)


@pytest.fixture(params=STACKS)
async def running(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Running]:
    async with opened(request.param, request, tmp_path, monkeypatch) as started:
        yield started


@pytest.fixture
def tail(running: Running) -> Tail:
    async def invoke(*options: str) -> list[dict[str, Any]]:
        arguments = ["events", "tail", "--json", "--data", str(running.data), *options]
        done = await asyncio.to_thread(CliRunner().invoke, app, arguments)
        assert done.exit_code == 0, (done.output, done.exception)
        return [json.loads(line) for line in done.stdout.splitlines()]

    return invoke


def a_later_ms() -> int:
    """The next millisecond."""
    now_ms = then_ms = SystemClock().now_ms()
    while now_ms == then_ms:
        now_ms = SystemClock().now_ms()
    return now_ms


@pytest.mark.slow
async def test_it_starts_anywhere_and_shows_what_is_chosen(running: Running, tail: Tail) -> None:
    log = running.log
    post = a_post(by="bob", content="Hello 🌍")
    first = await log.append(post)
    between_ms = a_later_ms()
    between = rfc3339(between_ms)
    follow = a_follow(of="bob", by="alice")
    second = await log.append(follow)
    await log.append(a_follow(of="carl", by="alice"))
    await log.append(UserMuted(user_id="alice", target_id="bob", muted_at=from_ms(between_ms)))
    assert isinstance(first, Position)
    assert isinstance(second, Position)

    found = {
        record["position"]: record for record in await tail("--from", "beginning", "--no-follow")
    }
    assert len(found) == 3  # the private topic was not asked for
    shown = found[str(first)]
    assert shown["value"] == json.loads(post.model_dump_json())
    assert (shown["type"], shown["key"]) == ("fanfold.PostCreated.v1", "bob")
    assert shown["headers"]["ce_id"] == str(post.post_id)

    async def types(*options: str) -> list[str]:
        return sorted(
            record["type"].split(".")[1] for record in await tail("--no-follow", *options)
        )

    assert await types("--from", "beginning", "--key", "bob") == ["PostCreated", "UserFollowed"]
    assert await types("--from", "beginning", "--type", "PostCreated") == ["PostCreated"]
    assert (
        await types("--from", "beginning", "--limit", "2", "--topic", "graph.v1")
        == ["UserFollowed"] * 2
    )
    assert await types("--from", "beginning", "--topic", "ties.v1") == ["UserMuted"]
    assert await types("--from", between) == ["UserFollowed", "UserFollowed"]
    assert await types("--from", "end") == []


@pytest.mark.slow
async def test_it_starts_at_an_offset_of_each_partition(running: Running, tail: Tail) -> None:
    positions = [await running.log.append(a_follow(of="bob", by=f"u{n}")) for n in range(4)]
    assert all(positions)
    start = str(positions[2]).rpartition("/")[2]
    options = ("--topic", "graph.v1", "--key", "bob", "--no-follow")
    shown = await tail(*options, "--from", start)
    assert [record["value"]["follower_id"] for record in shown] == ["u2", "u3"]
    assert await tail(*options, "--from", "1000000") == []


async def test_it_shows_what_is_appended_while_it_waits(running: Running, tail: Tail) -> None:
    waiting = asyncio.ensure_future(tail("--from", "end", "--limit", "2"))
    appended: list[str] = []
    async with asyncio.timeout(40):
        while not waiting.done():
            appended.append(str(await running.log.append(a_follow(by=f"u{len(appended)}"))))
            await asyncio.wait({waiting}, timeout=0.05)
    shown = [record["position"] for record in await waiting]
    assert len(shown) == 2
    assert set(shown) <= set(appended)


@pytest.mark.slow
async def test_it_begins_with_a_snapshot_and_goes_on_in_the_log(
    running: Running, tail: Tail, tmp_path: Path
) -> None:
    post, into = a_post(by="bob"), str(tmp_path / "snapshot")
    log, arguments = running.log, ["events", "snapshot", "--into", into, "--json"]

    async def snapshot() -> dict[str, Any]:
        command = [*arguments, "--data", str(running.data)]
        done = await asyncio.to_thread(CliRunner().invoke, app, command)
        assert done.exit_code == 0, (done.output, done.exception)
        made: dict[str, Any] = json.loads(done.stdout)
        return made

    at = from_ms(SystemClock().now_ms())
    await log.append_many([post, a_follow(of="bob", by="u1"), a_follow(of="bob", by="u2")])
    await log.append(UserMuted(user_id="alice", target_id="bob", muted_at=at))
    first = await snapshot()
    await log.append(UserUnfollowed(follower_id="u1", followee_id="bob", unfollowed_at=at))
    second = await snapshot()
    assert [(made["read"], made["kept"]) for made in (first, second)] == [(3, 3), (1, 2)]
    last = await log.append(a_follow(of="bob", by="u3"))

    shown = await tail("--from-snapshot", into, "--no-follow")
    assert [record["value"].get("follower_id") for record in shown] == [None, "u2", "u3"]
    assert shown[0]["value"] == json.loads(post.model_dump_json())
    assert shown[-1]["position"] == str(last)
    (of_log,) = await tail("--from", "beginning", "--no-follow", "--type", "PostCreated")
    assert {**shown[0], "headers": None} == {**of_log, "headers": None}
    assert shown[0]["headers"].items() <= of_log["headers"].items()
