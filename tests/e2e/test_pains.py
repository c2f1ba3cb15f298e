"""What users of other feed systems complain of, tried on the whole system; docs/pains.md says which test is about what."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from fanfold.core.events import PostCreated
from fanfold.core.ids import created_at_ms, new_post_id
from fanfold.core.settings import Settings
from tests.support.api_calls import call, complete_page, whole_feed
from tests.support.eventually import eventually
from tests.support.live_client import LiveClient
from tests.support.stacks import Stack, embedded_stack

# The engines change nothing about these; what they might change, the loaded run tries on both stacks.
embedded = pytest.mark.parametrize("stack", ["embedded"], indirect=True)


@pytest.fixture
def stack_settings() -> dict[str, float]:
    return {"pull_threshold": 3, "overlap_s": 0, "feed_depth": 20}


async def a_network(stack: Stack, *users: str, follows: Sequence[tuple[str, str]] = ()) -> None:
    """These users, and who follows whom."""
    for user in users:
        await call(stack.api, "PUT", f"/users/{user}", user, json={"display_name": user.title()})
    for follower, followee in follows:
        await call(stack.api, "PUT", f"/users/{follower}/following/{followee}", follower)
    await stack.quiet()


async def a_post(stack: Stack, author: str, content: str = "") -> str:
    """The id of a new post."""
    content = content or f"by {author}"
    answer = await call(stack.api, "POST", "/posts", author, json={"content": content})
    return str(answer.json()["post_id"])


async def done(stack: Stack, method: str, path: str, actor: str, **kwargs: Any) -> str:
    """Where a write lies in the log."""
    answer = await call(stack.api, method, path, actor, refused=(), **kwargs)
    return str(answer.headers["fanfold-position"])


async def ids(stack: Stack, reader: str, *, limit: int = 100, after: str = "") -> list[str]:
    return [
        item["post_id"] for item in await whole_feed(stack.api, reader, limit=limit, after=after)
    ]


async def shows(stack: Stack, reader: str, expected: list[str], *, limit: int = 100) -> None:
    """Within a moment: readers learn of someone's first pulled post within half a second."""

    async def holds() -> bool:
        return await ids(stack, reader, limit=limit) == expected

    await eventually(holds, within_s=30, what=f"the feed of {reader}, {limit} a page")


@embedded
async def test_an_empty_feed_says_that_it_is_whole(stack: Stack) -> None:
    """Nobody who follows nobody is left to wonder whether the feed is still being put together."""
    await a_network(stack, "alice")
    answer = await stack.api("GET", "/users/alice/feed", actor="alice")
    assert answer.status_code == 200
    assert answer.json() == {"items": [], "next_cursor": None, "complete": True}
    assert "fanfold-incomplete" not in answer.headers


@embedded
@pytest.mark.parametrize("end", ["following", "muted", "blocked"])
async def test_a_hidden_author_takes_no_place_in_a_feed(stack: Stack, end: str) -> None:
    """The depth is of what is shown, not of what was once delivered."""
    await a_network(stack, "alice", "bob", "loud", follows=[("alice", "bob"), ("alice", "loud")])
    bobs = [await a_post(stack, "bob") for _ in range(25)]
    for _ in range(30):
        await a_post(stack, "loud")
    await stack.quiet()
    assert not set(bobs) & set(await ids(stack, "alice"))
    method = "DELETE" if end == "following" else "PUT"
    after = await done(stack, method, f"/users/alice/{end}/loud", "alice")
    assert await ids(stack, "alice", after=after) == bobs[:4:-1]
    # And what a feed is not deep enough for is with its author, to the first.
    path = "/users/bob/posts?limit=100"
    posts = (await call(stack.api, "GET", path, "alice")).json()["items"]
    assert [post["post_id"] for post in posts] == bobs[::-1]


async def test_a_page_asked_for_after_a_day_goes_on_where_the_last_one_ended(
    tmp_path: Path,
) -> None:
    """A cursor and a post id find their place whatever has come since, and in whatever process."""
    settings, path = Settings(pull_threshold=3), tmp_path / "log.sqlite"
    query = {"ranking": "chronological", "limit": 4}
    fans = [(fan, "star") for fan in ("alice", "fan-1", "fan-2")]
    async with embedded_stack(settings, path) as stack:
        await a_network(stack, "alice", "bob", "star", follows=[("alice", "bob"), *fans])
        old = [await a_post(stack, ("bob", "star")[n % 2]) for n in range(12)]
        await stack.quiet()
        first = await complete_page(stack.api, "alice", query)
    async with embedded_stack(settings, path) as stack:
        await stack.quiet()
        new = [await a_post(stack, ("bob", "star")[n % 2]) for n in range(40)]
        await stack.quiet()
        shown = [item["post_id"] for item in first["items"]]
        cursor = first["next_cursor"]
        while cursor:
            page = await complete_page(stack.api, "alice", {**query, "cursor": cursor})
            shown += [item["post_id"] for item in page["items"]]
            cursor = page["next_cursor"]
        assert shown == old[::-1]
        for since, newer in ((old[-1], 40), (old[0], 51), (first["next_cursor"], 40)):
            news = await call(stack.api, "GET", f"/users/alice/feed/new?since={since}", "alice")
            assert news.json() == {"count": newer, "more": False, "complete": True}
        assert await ids(stack, "alice") == [*new[::-1], *old[::-1]]


@embedded
async def test_a_follow_adds_all_and_takes_nothing_away(stack: Stack) -> None:
    """At once, and still so when the history has been copied."""
    fans = [(fan, "star") for fan in ("fan-1", "fan-2", "fan-3")]
    await a_network(stack, "alice", "bob", "carol", "star", follows=[("alice", "bob"), *fans])
    posts = [await a_post(stack, ("bob", "carol", "star")[n % 3]) for n in range(15)]
    await stack.quiet()
    assert await ids(stack, "alice") == posts[12::-3]
    await shows(stack, "fan-1", posts[14::-3])
    both = [
        await done(stack, "PUT", f"/users/alice/following/{n}", "alice") for n in ("carol", "star")
    ]
    assert await ids(stack, "alice", after=",".join(both)) == posts[::-1]
    await stack.quiet()
    assert await ids(stack, "alice") == posts[::-1]


@embedded
async def test_posts_of_one_millisecond_and_posts_that_come_late_have_their_place(
    stack: Stack,
) -> None:
    """Pages of any size hold each once, in the order of the ids, which is that of time."""
    fans = [(fan, "star") for fan in ("alice", "fan-1", "fan-2")]
    await a_network(stack, "alice", "bob", "star", follows=[("alice", "bob"), *fans])
    at_ms = int(datetime.now(UTC).timestamp() * 1000) - 60_000
    same = [new_post_id(at_ms) for _ in range(9)]
    late = [new_post_id(at_ms - 1000 * n) for n in range(1, 10)]

    async def arrive(post_ids: list[UUID]) -> None:
        for number, post_id in zip(count(), post_ids, strict=False):
            at = datetime.fromtimestamp(created_at_ms(post_id) / 1000, UTC)
            author = ("bob", "star")[number % 2]
            await stack.log.append(
                PostCreated(post_id=post_id, author_id=author, content="here", created_at=at)
            )
        await stack.quiet()

    await arrive(same)
    await shows(stack, "alice", [str(post_id) for post_id in sorted(same, reverse=True)])
    await arrive(late)
    expected = [str(post_id) for post_id in sorted([*same, *late], reverse=True)]
    for limit in (1, 2, 5, 100):
        await shows(stack, "alice", expected, limit=limit)


@embedded
@pytest.mark.parametrize("tie", ["muted", "blocked"])
async def test_a_mute_and_a_block_are_felt_in_every_view_of_a_feed(stack: Stack, tie: str) -> None:
    """Old posts and new ones, pushed and pulled; by time, by relevance, in the news and live."""
    fans = [(fan, "star") for fan in ("alice", "fan-1", "fan-2")]
    await a_network(
        stack, "alice", "bob", "star", "kept", follows=[("alice", "bob"), ("alice", "kept"), *fans]
    )
    authors = ("kept", "bob", "star", "bob", "star", "kept")
    base, *_, kept = posts = [await a_post(stack, author) for author in authors]
    await stack.quiet()
    client = LiveClient(stack.feed_url, "alice")
    client.connect()

    async def views(after: str = "") -> list[set[str]]:
        pages = [
            await complete_page(stack.api, "alice", {"ranking": ranking, "limit": 100}, after=after)
            for ranking in ("chronological", "relevance")
        ]
        return [{item["post_id"] for item in page["items"]} for page in pages]

    async def news() -> int:
        path = f"/users/alice/feed/new?since={base}"
        return int((await call(stack.api, "GET", path, "alice")).json()["count"])

    async def live(expected: set[str]) -> None:
        async def holds() -> bool:
            return {item["post_id"] for item in client.items()} == expected

        await eventually(holds, within_s=30, what="the live feed")

    try:
        await shows(stack, "alice", posts[::-1])
        whole = set(posts)
        await live(whole)
        made = [
            await done(stack, "PUT", f"/users/alice/{tie}/{n}", "alice") for n in ("bob", "star")
        ]
        hidden = await a_post(stack, "bob"), await a_post(stack, "star")
        await stack.quiet()
        assert await views(", ".join(made)) == [{base, kept}] * 2
        assert await news() == 1
        await live({base, kept})
        for author in ("bob", "star"):
            await done(stack, "DELETE", f"/users/alice/{tie}/{author}", "alice")
            await stack.quiet()
            after = await done(stack, "PUT", f"/users/alice/following/{author}", "alice")
        await live({*whole, *hidden})
        assert await views(after) == [{*whole, *hidden}] * 2
    finally:
        await client.cut()


@embedded
async def test_an_edited_post_keeps_its_place_and_an_own_like_is_known(stack: Stack) -> None:
    """In every feed, whichever way the post came there."""
    fans = [(fan, "star") for fan in ("alice", "fan-1", "fan-2")]
    await a_network(stack, "alice", "bob", "star", follows=[("alice", "bob"), *fans])
    posts = [await a_post(stack, ("bob", "star", "alice")[n % 3]) for n in range(6)]
    await stack.quiet()
    await shows(stack, "alice", posts[::-1])  # cached from here on
    edited = [
        await done(stack, "PATCH", f"/posts/{post}", author, json={"content": "edited"})
        for post, author in zip(posts[:3], ("bob", "star", "alice"), strict=True)
    ]
    liked = [await done(stack, "PUT", f"/posts/{post}/like", "alice") for post in posts[:3]]
    items = await whole_feed(stack.api, "alice", after=", ".join([*edited, *liked]))
    assert [item["post_id"] for item in items] == posts[::-1]
    for item in items:
        changed = item["post_id"] in posts[:3]
        assert (item["content"] == "edited", item["liked_by_me"]) == (changed, changed)
        assert item["like_count"] == changed
