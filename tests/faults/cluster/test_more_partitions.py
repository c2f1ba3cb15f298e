"""More partitions, as docs/runbooks/more-partitions.md has it: new topics, a replay, and the same feeds."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import pytest

from fanfold.adapters.kafka.copy import Copied, copy_topics
from fanfold.adapters.kafka.log import KafkaLog
from fanfold.adapters.kafka.log_view import KafkaLogView
from fanfold.core.clock import SystemClock
from fanfold.core.errors import Fault
from fanfold.core.events import PROJECTED_TOPICS
from fanfold.core.ports.log import Record
from fanfold.core.settings import Settings
from fanfold.core.topics import load_topics
from tests.support.comparison import Comparison
from tests.support.engines import RealEngines, prepared, settings_for
from tests.support.logs import a_post
from tests.support.oracle import Oracle
from tests.support.real_stack import RealStack, fanfold, read_kafka, real_stack
from tests.support.stacks import Api

pytestmark = [pytest.mark.real, pytest.mark.timeout(280)]

THRESHOLD = 4
FANS = [f"fan{n}" for n in range(5)]
USERS = ["star", "bob", *FANS]


async def by_key(settings: Settings) -> dict[tuple[str, bytes | None], list[Record]]:
    """The projected topics' records in the log's order, by topic and key."""
    view, found = KafkaLogView(settings), defaultdict(list)
    for topic in PROJECTED_TOPICS:
        for record in await view.records(topic, await view.spans(topic)):
            found[topic, record.key].append(record)
    return {at: sorted(records, key=lambda r: r.offset) for at, records in found.items()}


def as_copied(log: dict[tuple[str, bytes | None], list[Record]]) -> object:
    """Everything but the positions."""
    return {
        at: [(record.value, record.headers, record.appended_at_ms) for record in records]
        for at, records in log.items()
    }


async def done(api: Api, method: str, path: str, actor: str, **request: object) -> str:
    answer = await api(method, path, actor=actor, **request)
    assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
    return str(answer.json()["post_id"]) if path == "/posts" else ""


async def published(api: Api, author: str, content: str) -> str:
    return await done(api, "POST", "/posts", author, json={"content": content})


async def history(stack: RealStack) -> None:
    """A celebrity, an author who is pushed, and a follow across a block that has ended: rebuilt in another order, it must stay."""
    api = stack.api
    for user in USERS:
        await done(api, "PUT", f"/users/{user}", user, json={"display_name": user.title()})
    for fan in FANS:
        await done(api, "PUT", f"/users/{fan}/following/star", fan)
    for fan in FANS[:2]:
        await done(api, "PUT", f"/users/{fan}/following/bob", fan)
    await stack.quiet()
    for method in ("PUT", "DELETE"):
        await done(api, method, "/users/fan0/blocked/bob", "fan0")
        await stack.quiet()
    await done(api, "PUT", "/users/fan0/following/bob", "fan0")
    await done(api, "PUT", "/users/fan1/muted/star", "fan1")
    posts = [await published(api, author, f"{author} {n}") for n in range(3) for author in USERS]
    await stack.quiet()
    await done(api, "DELETE", f"/posts/{posts[0]}", "star")
    await done(api, "PUT", f"/posts/{posts[1]}/like", "fan0")
    await stack.quiet()


async def differences(stack: RealStack, oracle: Oracle) -> list[str]:
    compared = await Comparison(stack.api, oracle).run(USERS)
    assert compared.feeds >= len(USERS)
    assert compared.sources == {"push", "pull"}
    return compared.wrong


async def test_topics_grow_while_posts_arrive_and_every_feed_stays_as_it_was(
    engines: RealEngines, tmp_path: Path
) -> None:
    settings = await prepared(settings_for(engines, pull_threshold=THRESHOLD, overlap_s=0.1))
    prefix = f"{settings.topic_prefix}g"
    grown = settings.model_copy(
        update={"topic_prefix": prefix, "cassandra_keyspace": prefix, "partitions": "many"}
    )
    copied = settings.model_copy(update={"topic_prefix": prefix})
    grow = ("topics", "grow", "--into", prefix, "--json")
    async with real_stack(settings, tmp_path) as stack:
        await history(stack)
        ran = await fanfold(settings, *grow)
        assert ran.returncode == 0, ran.stderr
        first = json.loads(ran.stdout)
        assert first["topics"][f"{prefix}.posts.v1"] == load_topics()["posts.v1"].partitions["many"]
        # Beside what is in use, as the past: nothing is appended for it.
        replayed = await fanfold(copied, "replay", "--into", prefix)
        assert replayed.returncode == 0, replayed.stderr
        await published(stack.api, "bob", "meanwhile")
        await published(stack.api, "star", "meanwhile")
        await done(stack.api, "DELETE", "/users/fan1/following/bob", "fan1")
        await stack.quiet()
    ran = await fanfold(settings, *grow)
    assert ran.returncode == 0, ran.stderr
    old = await by_key(settings)
    assert json.loads(ran.stdout)["records"] == 3
    assert first["records"] + 3 == sum(map(len, old.values()))
    assert as_copied(await by_key(grown)) == as_copied(old)

    oracle = Oracle(THRESHOLD).fold(await read_kafka(settings))
    await prepared(grown)
    async with real_stack(grown, tmp_path) as stack:
        await stack.quiet()
        assert await differences(stack, oracle) == []
        await published(stack.api, "bob", "in the new topics")
        await stack.quiet()
        new = await by_key(grown)
        assert len({record.partition for record in new["posts.v1", b"bob"]}) == 1
        assert await differences(stack, Oracle(THRESHOLD).fold(await read_kafka(grown))) == []
    refused = await fanfold(settings, *grow)
    assert (refused.returncode, "is in use" in refused.stderr) == (1, True), refused.stderr


async def test_a_copy_that_was_cut_off_is_not_continued(engines: RealEngines) -> None:
    settings = await prepared(settings_for(engines))
    new = settings.model_copy(update={"topic_prefix": f"{settings.topic_prefix}g"})
    async with KafkaLog(settings, clock=SystemClock(), source="test") as log:
        await log.append(a_post(by="bob"))

    def killed(_: Copied) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await copy_topics(settings, new, Copied(), killed)
    with pytest.raises(Fault, match="was cut off"):
        await copy_topics(settings, new, Copied(), lambda _: None)
