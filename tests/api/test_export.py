"""What is held about oneself, as lines of JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from fanfold.core.errors import Unavailable
from fanfold.core.events import PostLiked, UserFellAsleep, from_ms
from fanfold.core.ports import FollowerEdge, Stores, User
from graph_service.export import Export
from graph_service.export_slots import ExportSlots
from tests.support.app import WriteSide
from tests.support.clock import START_MS, ManualClock
from tests.support.fanout import a_pipeline, a_post
from tests.support.stores import write_edges


async def exported(api: WriteSide, user_id: str = "alice") -> list[dict[str, Any]]:
    answer = await api("GET", f"/users/{user_id}/export", actor=user_id)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


def of_kind(lines: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [
        {k: v for k, v in line.items() if k != "kind"} for line in lines if line["kind"] == kind
    ]


async def test_an_export_holds_everything_about_oneself(api: WriteSide) -> None:
    await api.registered("alice", "bob", "carl")
    kept, edited, deleted = [await api.posted(content, by="alice") for content in ("a", "b", "c")]
    await api("PATCH", f"/posts/{edited}", json={"content": "better"})
    await api("DELETE", f"/posts/{deleted}")
    of_bob = await api.posted("by bob", by="bob")
    for path in ("following/bob", "following/carl", "muted/bob", "blocked/carl"):
        assert (await api("PUT", f"/users/alice/{path}")).status_code == 204
    await api("PUT", "/users/bob/following/alice", actor="bob")
    await api.pipeline.append(
        PostLiked(
            post_id=UUID(of_bob), author_id="bob", user_id="alice", liked_at=from_ms(START_MS)
        ),
        UserFellAsleep(user_id="alice", fell_asleep_at=from_ms(START_MS)),
    )
    await api.project()
    await api.engines.stores.activity.note_reads({"alice": START_MS})

    lines = await exported(api)
    assert lines[0]["kind"] == "profile"
    (profile,) = of_kind(lines, "profile")
    assert (profile["display_name"], profile["follower_count"]) == ("Alice", 1)
    assert (profile["asleep"], profile["left"]) == (True, False)
    assert profile["last_read_at"] is not None
    posts = {line["post_id"]: line for line in of_kind(lines, "post")}
    assert {post_id: (p["content"], p["deleted"]) for post_id, p in posts.items()} == {
        kept: ("a", False),
        edited: ("better", False),
        deleted: ("c", True),
    }
    assert (posts[kept]["edited_at"], posts[edited]["edited_at"] is None) == (None, False)
    follows = {line["user_id"]: line["active"] for line in of_kind(lines, "following")}
    assert follows == {"bob": True, "carl": False}  # the block ended one
    followers = {line["user_id"]: line["active"] for line in of_kind(lines, "follower")}
    assert followers == {"bob": True}  # the block ended none of carl's: there was none
    assert [line["user_id"] for line in of_kind(lines, "mute")] == ["bob"]
    assert [line["user_id"] for line in of_kind(lines, "block")] == ["carl"]
    assert [line["post_id"] for line in of_kind(lines, "like")] == [of_bob]
    assert lines[-1] == {"kind": "end", "items": len(lines) - 1}


async def test_blocks_that_others_made_are_not_exported(api: WriteSide) -> None:
    await api.registered("alice", "bob")
    await api("PUT", "/users/bob/blocked/alice", actor="bob")
    await api.project()
    assert of_kind(await exported(api), "block") == []


async def test_only_the_user_can_export(api: WriteSide) -> None:
    await api.registered("alice")
    assert (await api("GET", "/users/alice/export", actor="bob")).status_code == 403


async def test_a_user_who_has_left_can_still_export(api: WriteSide) -> None:
    await api.registered("alice")
    await api.posted("goodbye", by="alice")
    await api("DELETE", "/users/alice")
    await api.project()
    lines = await exported(api)
    assert of_kind(lines, "profile")[0]["left"] is True
    assert [post["content"] for post in of_kind(lines, "post")] == ["goodbye"]


async def test_without_the_tables_an_export_answers_503(api: WriteSide) -> None:
    api.tables.away = True
    refused = await api("GET", "/users/alice/export")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")


async def test_an_export_that_the_tables_cut_short_says_so_on_its_last_line() -> None:
    async with a_pipeline() as pipeline:
        await pipeline.handle(*(a_post(ms=START_MS - n) for n in range(5)))
        stores = AwayAfter(pipeline.stores, calls=2)
        export = Export(stores=stores, clock=pipeline.clock, page=2)  # type: ignore[arg-type]
        lines = await all_lines(export)
        assert [line["kind"] for line in lines] == ["profile", "post", "post", "incomplete"]
        assert lines[-1]["items"] == 3


async def test_every_page_of_every_kind_is_in_it_once() -> None:
    async with a_pipeline() as pipeline:
        posts = [a_post(ms=START_MS - n) for n in range(5)]
        await pipeline.handle(*posts)
        names = [f"fan-{n:02}" for n in range(7)]
        edges = [FollowerEdge(name, n % 2, True, START_MS, n, n) for n, name in enumerate(names)]
        stores = pipeline.stores
        await stores.users.write_follower_count(
            User("alice", follower_count=7, generation=1), offset=9
        )
        await write_edges(stores, "alice", edges)
        likes = [
            PostLiked(
                post_id=post.post_id,
                author_id="alice",
                user_id="alice",
                liked_at=from_ms(START_MS + n),
            )
            for n, post in enumerate(posts)
        ]
        await pipeline.handle(*likes)
        for page in (1, 2, 3, 100):
            lines = await all_lines(Export(stores=pipeline.stores, clock=pipeline.clock, page=page))
            ids = [line["post_id"] for line in of_kind(lines, "post")]
            assert ids == [str(post.post_id) for post in posts]
            assert sorted(line["user_id"] for line in of_kind(lines, "follower")) == names
            assert len({line["post_id"] for line in of_kind(lines, "like")}) == 5
            assert lines[-1] == {"kind": "end", "items": 1 + 5 + 7 + 5}


async def test_an_export_reads_only_as_fast_as_the_client() -> None:
    async with a_pipeline() as pipeline:
        await pipeline.handle(*(a_post(ms=START_MS - n) for n in range(50)))
        stores = AwayAfter(pipeline.stores, calls=1000)
        export = Export(stores=stores, clock=ManualClock(), page=5)  # type: ignore[arg-type]
        user, _ = await export.begin("alice")
        rest = export.rest(user)
        for taken in range(1, 4):
            assert len((await anext(rest)).splitlines()) == 5
            assert stores.calls == 2 * taken


async def all_lines(export: Export) -> list[dict[str, Any]]:
    user, first = await export.begin("alice")
    parts = [first, *[part async for part in export.rest(user)]]
    return [json.loads(line) for line in b"".join(parts).splitlines()]


class AwayAfter:
    """Stores whose posts fail after so many calls."""

    def __init__(self, stores: Stores, *, calls: int) -> None:
        self._stores, self._allowed, self.calls = stores, calls, 0
        self.posts = self

    def __getattr__(self, name: str) -> Any:
        if name not in ("by_author", "get"):
            return getattr(self._stores, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self.calls > self._allowed:
                raise Unavailable("away")
            return await getattr(self._stores.posts, name)(*args, **kwargs)

        return call


async def test_one_user_has_a_few_exports_under_way_and_all_users_have_some_more(
    api: WriteSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.registered("alice", "bob", "carl")
    begun, go_on = asyncio.Semaphore(0), asyncio.Event()

    async def unread(_: Export, user: User) -> AsyncIterator[bytes]:
        begun.release()
        await go_on.wait()
        yield b""

    async def ask(user_id: str) -> int:
        return (await api("GET", f"/users/{user_id}/export", actor=user_id)).status_code

    monkeypatch.setattr(Export, "rest", unread)
    monkeypatch.setattr(ExportSlots, "most", 3)
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        under_way = [tasks.create_task(ask(user_id)) for user_id in ("alice", "alice", "bob")]
        for _ in under_way:
            await begun.acquire()
        assert await ask("alice") == 429
        assert await ask("carl") == 503
        go_on.set()
    assert [task.result() for task in under_way] == [200, 200, 200]
    for _ in range(3):
        assert await ask("alice") == 200
