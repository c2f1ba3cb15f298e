"""A mute and a block on the whole system: pushed and pulled posts go at once, and come back at once."""

from __future__ import annotations

import pytest

from tests.support.api_calls import call, whole_feed
from tests.support.eventually import eventually
from tests.support.oracle import Oracle
from tests.support.stacks import Stack

USERS = ("alice", "bob", "star", "fan")


@pytest.fixture
def stack_settings() -> dict[str, float]:
    return {"pull_threshold": 3, "overlap_s": 0}


async def test_a_muted_or_blocked_author_leaves_the_feed_and_returns_at_once(stack: Stack) -> None:
    """Bob is pushed and Star is pulled. Each read names the write before it, and waits for nothing else."""
    api = stack.api
    for user in USERS:
        await call(api, "PUT", f"/users/{user}", user, json={"display_name": user.title()})
    for follower, followee in (
        *(("alice", "bob"), ("bob", "alice"), ("star", "alice")),
        *(("alice", "star"), ("bob", "star"), ("fan", "star")),
    ):
        await call(api, "PUT", f"/users/{follower}/following/{followee}", follower)
    await stack.quiet()
    for user in USERS:
        await call(api, "POST", "/posts", user, json={"content": f"by {user}"})
    await stack.quiet()

    async def all_three() -> bool:
        sources = {item["author_id"]: item["source"] for item in await whole_feed(api, "alice")}
        return sources == {"alice": "push", "bob": "push", "star": "pull"}

    await eventually(all_three, within_s=30, what="everybody's post shows")

    async def after(method: str, path: str) -> set[str]:
        """The authors in Alice's feed, right after she did that."""
        done = await call(api, method, f"/users/alice/{path}", "alice")
        headers = {"Fanfold-After": done.headers["fanfold-position"]}
        for _ in range(20):  # a machine that is busy with other tests may take more than the second
            page = (await call(api, "GET", "/users/alice/feed", "alice", headers=headers)).json()
            if page["complete"]:
                return {item["author_id"] for item in page["items"]}
        raise AssertionError(page)

    for other, kept in (("bob", {"alice", "star"}), ("star", {"alice", "bob"})):
        assert await after("PUT", f"muted/{other}") == kept
        assert await after("DELETE", f"muted/{other}") == {"alice", "bob", "star"}
        assert await after("PUT", f"blocked/{other}") == kept
        refused = await api("PUT", f"/users/alice/following/{other}", actor="alice")
        assert refused.status_code == 403
        assert await after("DELETE", f"blocked/{other}") == kept, "no follow comes back"
        assert await after("PUT", f"following/{other}") == {"alice", "bob", "star"}

    await call(api, "PUT", "/users/bob/blocked/alice", "bob")
    await call(api, "PUT", "/users/star/muted/alice", "star")
    await call(api, "PUT", "/users/star/following/alice", "star")
    await stack.quiet()
    oracle = Oracle().fold(await stack.raw_records())
    assert (oracle.blocked, oracle.muted) == ({("bob", "alice")}, {("star", "alice")})

    async def as_the_log_says() -> bool:
        shown = {user: [item["post_id"] for item in await whole_feed(api, user)] for user in USERS}
        return shown == {user: [post[0] for post in oracle.feed(user)] for user in USERS}

    await eventually(as_the_log_says, within_s=30, what="every feed is the oracle's")
