"""Someone leaves the whole system: at once for readers, and a moment later for every count."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.eventually import eventually
from tests.support.stacks import Stack

FANS = tuple(f"fan-{n}" for n in range(6))
IDOLS = ("bob", "carl")


@pytest.fixture
def stack_settings() -> dict[str, float]:
    return {"pull_threshold": 5, "overlap_s": 0, "bucket_followers": 2}


async def ask(stack: Stack, method: str, path: str, actor: str, **kwargs: Any) -> Any:
    answer = await stack.api(method, path, actor=actor, **kwargs)
    assert answer.status_code < 300, answer.text
    return answer.json() if answer.content else None


@pytest.mark.timeout(200)
async def test_a_user_who_leaves_is_gone_for_viewers_and_from_every_count(stack: Stack) -> None:
    for name in ("alice", *FANS, *IDOLS):
        await ask(stack, "PUT", f"/users/{name}", name, json={"display_name": name.title()})
    pushed = await ask(stack, "POST", "/posts", "alice", json={"content": "to few"})
    for fan in FANS:
        await ask(stack, "PUT", f"/users/{fan}/following/alice", fan)
        await ask(stack, "PUT", f"/users/{fan}/following/bob", fan)
    for idol in IDOLS:
        await ask(stack, "PUT", f"/users/alice/following/{idol}", "alice")
    await stack.quiet()
    assert (await ask(stack, "GET", "/users/alice", "bob"))["delivery"] == "pull"
    pulled = await ask(stack, "POST", "/posts", "alice", json={"content": "to many"})
    kept = await ask(stack, "POST", "/posts", "bob", json={"content": "stays"})
    await eventually(
        lambda: shows(stack, [kept, pulled, pushed]), within_s=30, what="all three posts"
    )

    await ask(stack, "PUT", "/users/carl/following/alice", "carl")  # on its way, unseen
    await ask(stack, "DELETE", "/users/alice", "alice")
    await eventually(lambda: shows(stack, [kept]), within_s=30, what="a feed without her posts")
    for path in ("/users/alice", f"/posts/{pushed['post_id']}", f"/posts/{pulled['post_id']}"):
        assert (await stack.api("GET", path, actor="bob")).status_code == 404
    refused = await stack.api("POST", "/posts", actor="alice", json={"content": "back"})
    assert refused.status_code == 403

    await stack.quiet()
    assert await counts(stack) == {"bob": (6, 0), "carl": (0, 0)} | dict.fromkeys(FANS, (0, 1))
    export = await stack.api("GET", "/users/alice/export", actor="alice")
    lines = [json.loads(line) for line in export.text.splitlines()]
    assert (lines[0]["left"], lines[0]["follower_count"]) == (True, 0)
    assert [line["content"] for line in lines if line["kind"] == "post"] == ["to many", "to few"]
    assert lines[-1] == {"kind": "end", "items": len(lines) - 1}


async def shows(stack: Stack, posts: list[dict[str, Any]]) -> bool:
    feed = await ask(stack, "GET", f"/users/{FANS[0]}/feed?ranking=chronological", FANS[0])
    return [item["post_id"] for item in feed["items"]] == [
        post["post_id"] for post in sorted(posts, key=lambda post: post["post_id"], reverse=True)
    ]


async def counts(stack: Stack) -> dict[str, tuple[int, int]]:
    """(followers, following) of everyone who stays."""
    profiles = {name: await ask(stack, "GET", f"/users/{name}", name) for name in (*FANS, *IDOLS)}
    return {
        name: (profile["follower_count"], profile["following_count"])
        for name, profile in profiles.items()
    }
