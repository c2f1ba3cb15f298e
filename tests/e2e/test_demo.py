"""The story of the source documents, on both stacks, through the API."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from all_in_one import demo
from tests.support.collector import Collector, running_collector
from tests.support.eventually import eventually
from tests.support.metrics_page import names_in, names_of
from tests.support.stacks import Stack

TRACE = "0af7651916cd43dd8448eb211c80319c"
CLIENTS_SPAN = "b7ad6b7169203331"
TRACED = {"traceparent": f"00-{TRACE}-{CLIENTS_SPAN}-01"}


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """Where the services send their traces."""
    with running_collector() as running:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", running.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        yield running


@pytest.fixture
def stack_settings(collector: Collector) -> dict[str, float]:
    return {"pull_threshold": demo.PULL_THRESHOLD, "overlap_s": demo.OVERLAP_S}


async def test_alice_reads_bob_by_push_and_the_celebrity_by_pull(
    stack: Stack, collector: Collector
) -> None:
    await stack.log.append_many(demo.graph(_now_ms()))
    await stack.quiet()
    assert await delivery(stack, "bob") == (demo.BOB_FOLLOWERS, "push")
    assert await delivery(stack, "nova") == (demo.NOVA_FOLLOWERS, "pull")

    bob = await post(stack, "bob", "Hello world!", headers=TRACED)
    nova = await post(stack, "nova", "New movie announcement!")

    await eventually(lambda: shown(stack, [nova, bob]), within_s=30, what="both posts in the feed")
    feed = await get(stack, "/users/alice/feed", "alice", headers=TRACED)
    assert [(i["author"], i["content"], i["source"]) for i in feed["items"]] == [
        ("Nova Star", "New movie announcement!", "pull"),
        ("Bob", "Hello world!", "push"),
    ]
    assert feed["complete"]
    assert feed["next_cursor"] is None

    await stack.quiet()
    pushed = await get(stack, f"/posts/{bob}/fanout", "bob")
    assert (pushed["strategy"], pushed["status"]) == (
        "push",
        "done",
    )
    assert (pushed["planned"], pushed["delivered"]) == (1_000, 1_000)
    pulled = await get(stack, f"/posts/{nova}/fanout", "nova")
    assert (pulled["strategy"], pulled["status"]) == ("pull", "done")
    assert (pulled["planned"], pulled["delivered"]) == (0, 0)
    await has_the_metrics_of_the_page(stack)
    await has_one_trace(stack, collector)


async def test_every_follower_has_the_post_and_nobody_else(stack: Stack) -> None:
    await stack.log.append_many(demo.graph(_now_ms()))
    await stack.quiet()
    await post(stack, "bob", "Hello world!")
    await stack.quiet()
    for follower in ("fan-0001", "fan-0500", "fan-0999"):
        feed = await get(stack, f"/users/{follower}/feed", follower)
        assert [item["content"] for item in feed["items"]] == ["Hello world!"]
    stranger = await get(stack, "/users/fan-1000/feed", "fan-1000")
    assert stranger["items"] == []


async def has_the_metrics_of_the_page(stack: Stack) -> None:
    """The processes of the real stack serve what the page says that they serve, and nothing else."""
    for name, running in getattr(stack, "services", {}).items():
        async with httpx2.AsyncClient(base_url=running.url) as client:
            served = (await client.get("/metrics")).text
        assert names_in(served) == names_of(name), name


async def has_one_trace(stack: Stack, collector: Collector) -> None:
    """Bob's post and the read of it, as the client's trace has them: through four services on the real stack."""
    posts, worker, feeds = (
        ("post_service", "fanout_service", "feed_service")
        if hasattr(stack, "services")
        else ("all-in-one",) * 3
    )
    expected = {
        (posts, "POST /posts"): 1,
        (posts, "send posts.v1"): 2,
        (worker, "process posts.v1"): 3,
        (worker, "deliver slice"): 4,
        (feeds, "GET /users/{user_id}/feed"): 1,
    }

    async def arrived() -> bool:
        return collector.depths(TRACE, parent_id=CLIENTS_SPAN) == expected

    await eventually(
        arrived,
        within_s=30,
        what=f"{expected}, not {collector.depths(TRACE, parent_id=CLIENTS_SPAN)}",
    )


async def post(stack: Stack, author: str, content: str, **kwargs: Any) -> str:
    answer = await stack.api("POST", "/posts", actor=author, json={"content": content}, **kwargs)
    assert answer.status_code == 201, answer.text
    post_id: str = answer.json()["post_id"]
    return post_id


async def get(stack: Stack, path: str, actor: str, **kwargs: Any) -> dict[str, Any]:
    answer = await stack.api("GET", path, actor=actor, **kwargs)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def delivery(stack: Stack, user_id: str) -> tuple[int, str]:
    user = await get(stack, f"/users/{user_id}", user_id)
    return user["follower_count"], user["delivery"]


async def shown(stack: Stack, post_ids: list[str]) -> bool:
    feed = await get(stack, "/users/alice/feed", "alice")
    return [item["post_id"] for item in feed["items"]] == post_ids


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
