"""A busy little network: many users at once, everything that can happen, then every feed against the oracle."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any
from uuid import uuid4

import httpx2

from fanfold.events import Event, UserFollowed, UserRegistered
from tests.support.oracle import Oracle
from tests.support.power_law import follower_graph
from tests.support.stacks import Api, Stack


@dataclass(frozen=True)
class Load:
    """How much happens."""

    users: int = 2000
    posts: int = 200
    mean_followers: float = 12
    follow_changes: int = 300
    edits: int = 40
    deletes: int = 30
    clients: int = 8
    seed: int = 20_261_121


@dataclass
class Outcome:
    """What the run compared, for the test to say that it was no empty run."""

    feeds: int = 0
    items: int = 0
    sources: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)


async def loaded_run(stack: Stack, load: Load) -> Outcome:
    """Build the graph, let everything happen at once, wait for quiescence, compare every feed."""
    rng = random.Random(load.seed)
    user_ids = [f"user-{number:04}" for number in range(load.users)]
    graph = follower_graph(
        user_ids, mean_followers=load.mean_followers, largest_share=0.3, seed=load.seed
    )
    history = iter(graph_events(graph))
    # In portions: one append is one acknowledgement, and has a request's timeout.
    while portion := list(islice(history, 1_000)):
        await stack.log.append_many(portion)
    await stack.quiet()
    await _storm(stack, graph, load, rng)
    await stack.quiet()
    oracle = Oracle().fold(await stack.raw_records())
    assert len(oracle.posts) == load.posts
    return await compare_all(stack, oracle, user_ids)


def graph_events(graph: dict[str, list[str]]) -> list[Event]:
    """Everybody registers, then follows."""
    at = datetime.now(UTC)
    registered: list[Event] = [
        UserRegistered(user_id=user_id, display_name=user_id.title(), registered_at=at)
        for user_id in graph
    ]
    return registered + [
        UserFollowed(follower_id=follower, followee_id=followee, followed_at=at)
        for followee, followers in graph.items()
        for follower in followers
    ]


async def _storm(stack: Stack, graph: dict[str, list[str]], load: Load, rng: random.Random) -> None:
    """Posts, edits, deletes, follows and unfollows, in one shuffled order by several clients at once."""
    user_ids = list(graph)
    weights = [len(followers) + 1 for followers in graph.values()]
    published: list[tuple[str, str]] = []

    def popular() -> str:
        return rng.choices(user_ids, weights)[0]

    async def post() -> None:
        author = popular()
        answer = await call(
            stack.api,
            "POST",
            "/posts",
            author,
            json={"content": f"by {author}"},
            headers={"Idempotency-Key": str(uuid4())},
        )
        published.append((author, answer.json()["post_id"]))

    async def edit() -> None:
        author, post_id = rng.choice(published)
        await call(
            stack.api,
            "PATCH",
            f"/posts/{post_id}",
            author,
            json={"content": f"edited {rng.random()}"},
        )

    async def delete() -> None:
        author, post_id = rng.choice(published)
        await call(stack.api, "DELETE", f"/posts/{post_id}", author)

    async def follow() -> None:
        follower, followee = rng.choice(user_ids), popular()
        if follower != followee:
            await call(stack.api, "PUT", f"/users/{follower}/following/{followee}", follower)

    async def unfollow() -> None:
        followee = popular()
        follower = rng.choice(graph[followee] or [user_ids[0]])
        if follower != followee:
            await call(stack.api, "DELETE", f"/users/{follower}/following/{followee}", follower)

    first = [post] * 10
    rest = (
        [post] * (load.posts - len(first))
        + [edit] * load.edits
        + [delete] * load.deletes
        + [follow] * (load.follow_changes // 2)
        + [unfollow] * (load.follow_changes // 2)
    )
    rng.shuffle(rest)
    await _by_clients(first, load.clients)
    await _by_clients(rest, load.clients)


async def _by_clients(actions: list[Callable[[], Coroutine[Any, Any, None]]], clients: int) -> None:
    todo = iter(actions)

    async def client() -> None:
        for action in todo:
            await action()

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())


async def call(api: Api, method: str, path: str, actor: str, **kwargs: Any) -> httpx2.Response:
    """One request; an answer of "not yet" is asked again, as a client should. A post gone meanwhile is fine."""
    for _ in range(40):
        answer = await api(method, path, actor=actor, **kwargs)
        if answer.status_code != 503:
            break
        await asyncio.sleep(0.1)
    assert answer.status_code < 300 or answer.status_code == 404, (method, path, answer.text)
    return answer


async def compare_all(stack: Stack, oracle: Oracle, user_ids: list[str]) -> Outcome:
    """Every user's whole chronological feed and follower count against the oracle."""
    outcome = Outcome()
    counts = oracle.follower_counts()

    async def compare(user_id: str) -> None:
        items = await whole_feed(stack.api, user_id)
        feed = [
            (i["post_id"], i["author"], i["content"], i["edited_at"] is not None) for i in items
        ]
        profile = (await call(stack.api, "GET", f"/users/{user_id}", user_id)).json()
        expected = oracle.feed(user_id)
        if feed != expected:
            outcome.wrong.append(f"{user_id}: {_difference(feed, expected)}")
        if profile["follower_count"] != counts[user_id]:
            outcome.wrong.append(f"{user_id}: {profile} but {counts[user_id]} followers")
        if profile["following_count"] != len(oracle.following[user_id]):
            outcome.wrong.append(f"{user_id}: {profile} but {oracle.following[user_id]}")
        outcome.feeds += 1
        outcome.items += len(items)
        outcome.sources |= {item["source"] for item in items}

    todo = iter(user_ids)

    async def client() -> None:
        for user_id in todo:
            await compare(user_id)

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(client())
    return outcome


async def whole_feed(api: Api, user_id: str, *, limit: int = 100) -> list[dict[str, Any]]:
    """All pages of the chronological feed."""
    items: list[dict[str, Any]] = []
    query: dict[str, Any] = {"ranking": "chronological", "limit": limit}
    while True:
        page = (await call(api, "GET", f"/users/{user_id}/feed", user_id, params=query)).json()
        assert page["complete"], page
        items += page["items"]
        if page["next_cursor"] is None:
            return items
        assert len(page["items"]) == limit, "only the last page may be short"
        query["cursor"] = page["next_cursor"]


def _difference(feed: list[Any], expected: list[Any]) -> str:
    missing = [item for item in expected if item not in feed]
    extra = [item for item in feed if item not in expected]
    return f"{len(feed)} items for {len(expected)}; missing {missing[:3]}, extra {extra[:3]}"
