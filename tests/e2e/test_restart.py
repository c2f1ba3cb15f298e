"""The tables are projections: they are rebuilt from the log alone."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from all_in_one import demo
from fanfold.core.settings import Settings
from tests.support.eventually import eventually
from tests.support.stacks import Stack, embedded_stack

SETTINGS = Settings().model_copy(update={"pull_threshold": demo.PULL_THRESHOLD, "overlap_s": 0})


async def test_after_a_restart_from_the_log_alone_the_api_shows_the_same(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log.sqlite"
    async with embedded_stack(SETTINGS, log) as stack:
        await stack.log.append_many(demo.graph(time.time_ns() // 1_000_000))
        await stack.quiet()
        kept, edited, deleted, pulled = [
            await ask(stack, "POST", "/posts", author, json={"content": f"post {number}"})
            for number, author in enumerate(["bob", "bob", "bob", "nova"])
        ]
        post_ids = [kept["post_id"], edited["post_id"]]
        await ask(stack, "PATCH", f"/posts/{edited['post_id']}", "bob", json={"content": "edited"})
        await ask(stack, "DELETE", f"/posts/{deleted['post_id']}", "bob")
        await ask(stack, "DELETE", "/users/fan-0007/following/bob", "fan-0007")
        await stack.quiet()
        # A pulled post is seen after the next refresh of the pulled authors.
        await eventually(
            lambda: shows(stack, ["post 3", "edited", "post 0"]), within_s=30, what="all of it"
        )
        before = await seen(stack, post_ids)

    async with embedded_stack(SETTINGS, log) as stack:
        await stack.quiet()
        after = await seen(stack, post_ids)
    assert after == before
    assert pulled["post_id"] == after[0]["items"][0]["post_id"]


async def shows(stack: Stack, contents: list[str]) -> bool:
    feed = await ask(stack, "GET", "/users/alice/feed", "alice")
    return [item["content"] for item in feed["items"]] == contents


async def seen(stack: Stack, post_ids: list[str]) -> list[Any]:
    """What users can see of it; of the fan-outs not when they ran, which is when the worker ran."""
    feeds = [
        await ask(stack, "GET", f"/users/{reader}/feed?ranking=chronological", reader)
        for reader in ("alice", "fan-0006", "fan-0007", "fan-1400")
    ]
    profiles = [await ask(stack, "GET", f"/users/{user}", "alice") for user in ("bob", "nova")]
    fanouts = [await ask(stack, "GET", f"/posts/{post}/fanout", "bob") for post in post_ids]
    for fanout in fanouts:
        del fanout["started_at"], fanout["first_slice_at"], fanout["finished_at"]
    return [*feeds, *profiles, *fanouts]


async def ask(stack: Stack, method: str, path: str, actor: str, **kwargs: Any) -> Any:
    answer = await stack.api(method, path, actor=actor, **kwargs)
    assert answer.status_code < 300, answer.text
    return answer.json() if answer.content else None


async def test_a_rebuild_emits_no_crossing_and_no_unfollow_again(
    tmp_path: Path,
) -> None:
    settings = Settings().model_copy(update={"pull_threshold": 2})
    log = tmp_path / "log.sqlite"
    async with embedded_stack(settings, log) as stack:
        for name in ("alice", "bob", "carl"):
            await ask(stack, "PUT", f"/users/{name}", name, json={"display_name": name})
        for follower, followee in (("bob", "alice"), ("carl", "alice"), ("alice", "bob")):
            await ask(stack, "PUT", f"/users/{follower}/following/{followee}", follower)
        await stack.quiet()
        await ask(stack, "DELETE", "/users/alice", "alice")
        await stack.quiet()
        before = [kind for _, _, _, kind, _ in await stack.raw_records()]
    assert (
        before.count("fanfold.AuthorModeChanged.v1") == 2
    )  # to pull, and back when they were ended
    assert before.count("fanfold.UserUnfollowed.v1") == 3

    for _ in range(2):
        async with embedded_stack(settings, log) as stack:
            await stack.quiet()
            assert [kind for _, _, _, kind, _ in await stack.raw_records()] == before
            gone = await stack.api("GET", "/users/alice", actor="bob")
            assert gone.status_code == 404
