"""Liking posts and taking it back: what is counted, who may, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

import httpx2
import pytest

from fanfold.core.events import PostLiked, PostUnliked
from fanfold.core.ids import new_post_id
from tests.support.app import WriteSide

either_way = pytest.mark.parametrize("method", ["PUT", "DELETE"])


async def like(api: WriteSide, user: str, post_id: str) -> httpx2.Response:
    return await api("PUT", f"/posts/{post_id}/like", actor=user)


async def unlike(api: WriteSide, user: str, post_id: str) -> httpx2.Response:
    return await api("DELETE", f"/posts/{post_id}/like", actor=user)


async def shown(api: WriteSide, post_id: str, *, to: str = "bob") -> tuple[int, bool]:
    """(like_count, liked_by_me) once the worker has seen everything."""
    await api.project()
    answer = await api("GET", f"/posts/{post_id}", actor=to)
    assert answer.status_code == 200, answer.text
    body: Mapping[str, Any] = answer.json()
    return body["like_count"], body["liked_by_me"]


def kind(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].removeprefix("urn:fanfold:problem:")


async def test_a_like_is_in_the_log_and_then_on_the_post(api: WriteSide) -> None:
    post_id = await api.posted()
    liked = await like(api, "bob", post_id)
    assert (liked.status_code, liked.content) == (204, b"")
    assert liked.headers["fanfold-position"].startswith("engagement.v1/")
    event = (await api.events())[-1]
    assert isinstance(event, PostLiked)
    assert (event.post_id, event.author_id, event.user_id) == (UUID(post_id), "alice", "bob")
    assert await shown(api, post_id) == (1, True)
    assert await shown(api, post_id, to="carol") == (1, False)


async def test_a_second_like_changes_nothing_and_is_answered_like_the_first(api: WriteSide) -> None:
    post_id = await api.posted()
    answers = [await like(api, "bob", post_id) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [204] * 3
    assert len({answer.headers["fanfold-position"] for answer in answers}) == 3
    assert await shown(api, post_id) == (1, True)


async def test_a_like_can_be_ended_and_renewed_repeatedly(api: WriteSide) -> None:
    post_id = await api.posted()
    await like(api, "bob", post_id)
    await like(api, "carol", post_id)
    for _ in range(2):
        taken_back = await unlike(api, "bob", post_id)
        assert (taken_back.status_code, taken_back.content) == (204, b"")
        assert taken_back.headers["fanfold-position"].startswith("engagement.v1/")
        assert isinstance((await api.events())[-1], PostUnliked)
    assert await shown(api, post_id) == (1, False)
    await like(api, "bob", post_id)
    assert await shown(api, post_id) == (2, True)


async def test_a_post_that_is_not_liked_can_be_unliked(api: WriteSide) -> None:
    post_id = await api.posted()
    assert (await unlike(api, "bob", post_id)).status_code == 204
    assert await shown(api, post_id) == (0, False)


async def test_authors_may_like_their_own_posts(api: WriteSide) -> None:
    post_id = await api.posted(by="alice")
    assert (await like(api, "alice", post_id)).status_code == 204
    assert await shown(api, post_id, to="alice") == (1, True)


async def test_likes_survive_an_edit_which_answers_them(api: WriteSide) -> None:
    post_id = await api.posted()
    await like(api, "bob", post_id)
    await like(api, "alice", post_id)
    await api.project()
    edited = await api("PATCH", f"/posts/{post_id}", json={"content": "better"})
    assert (edited.json()["like_count"], edited.json()["liked_by_me"]) == (2, True)
    assert await shown(api, post_id) == (2, True)


async def test_a_post_can_be_liked_before_the_worker_has_seen_it(api: WriteSide) -> None:
    post_id = await api.posted()
    assert (await like(api, "bob", post_id)).status_code == 204
    assert await shown(api, post_id) == (1, True)


@either_way
async def test_a_post_that_is_deleted_or_never_was_is_not_found(
    api: WriteSide, method: str
) -> None:
    deleted = await api.posted()
    await api("DELETE", f"/posts/{deleted}")
    young = new_post_id(api.clock.now_ms())
    before = len(await api.events())
    assert kind(await api(method, f"/posts/{deleted}/like", actor="bob")) == (404, "post-not-found")
    answer = await api(method, f"/posts/{young}/like", actor="bob")
    assert kind(answer) == (503, "post-not-yet-visible")
    api.clock.advance(61)
    assert kind(await api(method, f"/posts/{young}/like", actor="bob")) == (404, "post-not-found")
    assert len(await api.events()) == before


@pytest.mark.parametrize(("blocker", "blocked"), [("alice", "bob"), ("bob", "alice")])
async def test_across_a_block_a_post_is_not_found_and_not_liked(
    api: WriteSide, blocker: str, blocked: str
) -> None:
    await api.registered("alice", "bob")
    post_id = await api.posted(by="alice")
    await like(api, "bob", post_id)
    assert (
        await api("PUT", f"/users/{blocker}/blocked/{blocked}", actor=blocker)
    ).status_code == 204
    await api.project()
    assert kind(await api("GET", f"/posts/{post_id}", actor="bob")) == (404, "post-not-found")
    assert kind(await like(api, "bob", post_id)) == (403, "blocked")
    assert await shown(api, post_id, to="carol") == (1, False), "what was liked before stays"
    assert (await unlike(api, "bob", post_id)).status_code == 204, "one's own like can be ended"
    assert await shown(api, post_id, to="carol") == (0, False)
    await api("DELETE", f"/users/{blocker}/blocked/{blocked}", actor=blocker)
    assert await shown(api, post_id, to="bob") == (0, False), "visible again, and not liked again"
    assert (await like(api, "bob", post_id)).status_code == 204


@either_way
async def test_posts_of_a_user_who_has_left_cannot_be_liked(api: WriteSide, method: str) -> None:
    post_id = await api.posted(by="alice")
    await like(api, "bob", post_id)
    await api("DELETE", "/users/alice", actor="alice")
    await api.project()
    assert kind(await api(method, f"/posts/{post_id}/like", actor="bob")) == (404, "post-not-found")


@either_way
async def test_a_user_who_has_left_cannot_like_and_their_likes_still_count(
    api: WriteSide, method: str
) -> None:
    post_id = await api.posted(by="alice")
    await like(api, "bob", post_id)
    await api("DELETE", "/users/bob", actor="bob")
    await api.project()
    assert kind(await api(method, f"/posts/{post_id}/like", actor="bob")) == (403, "has-left")
    assert await shown(api, post_id, to="carol") == (1, False)


@either_way
async def test_likes_need_both_engines_and_a_clock_that_agrees(api: WriteSide, method: str) -> None:
    path = f"/posts/{await api.posted()}/like"
    api.log.away = True
    assert "the log" in (await api(method, path)).json()["detail"]
    api.log.away, api.tables.away = False, True
    assert "the tables" in (await api(method, path)).json()["detail"]
    api.tables.away, api.log.skew_ms = False, 2_001
    assert (await api(method, path)).status_code == 503
    assert len(await api.events()) == 1
    api.log.skew_ms, api.log.knows_positions = 0, False
    answer = await api(method, path)
    assert (answer.status_code, answer.headers.get("fanfold-position")) == (204, None)


async def test_an_answer_kept_before_there_were_likes_is_still_understood(api: WriteSide) -> None:
    headers = {"Idempotency-Key": "k"}
    first = await api("POST", "/posts", json={"content": "hello"}, headers=headers)
    keys = api.pipeline.stores.idempotency_keys._keys  # type: ignore[attr-defined]
    expires_ms, held = keys["alice", "k"]
    old = held.answer.replace(', "like_count": 0, "liked_by_me": false', "")
    assert old != held.answer
    keys["alice", "k"] = (expires_ms, replace(held, answer=old))
    again = await api("POST", "/posts", json={"content": "hello"}, headers=headers)
    assert (again.status_code, again.json()) == (201, first.json())
