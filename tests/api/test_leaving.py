"""Leaving for good: what is hidden, what is refused, and how the follows end."""

from __future__ import annotations

from typing import Any

import pytest

from fanfold.core.events import UserLeft, UserUnfollowed
from tests.support.app import WriteSide


async def left(api: WriteSide, user_id: str) -> None:
    answer = await api("DELETE", f"/users/{user_id}", actor=user_id)
    assert (answer.status_code, answer.content) == (204, b"")


async def test_leaving_is_acknowledged_with_its_position_and_hides_the_profile_at_once(
    api: WriteSide,
) -> None:
    await api.registered("alice")
    answer = await api("DELETE", "/users/alice")
    assert answer.status_code == 204
    assert answer.headers["fanfold-position"].startswith("graph.v1/")
    assert isinstance((await api.events())[-1], UserLeft)
    for actor in ("alice", "bob"):
        missing = await api("GET", "/users/alice", actor=actor)
        assert missing.json()["type"] == "urn:fanfold:problem:user-not-found"


async def test_an_unregistered_user_can_leave_too(api: WriteSide) -> None:
    await left(api, "alice")
    assert (await api("PUT", "/users/alice", json={"display_name": "A"})).status_code == 403


async def test_leaving_again_changes_nothing(api: WriteSide) -> None:
    await left(api, "alice")
    again = await api("DELETE", "/users/alice")
    assert (again.status_code, again.headers.get("fanfold-position")) == (204, None)
    assert len(await api.events()) == 1


async def test_only_the_user_can_leave(api: WriteSide) -> None:
    await api.registered("alice")
    assert (await api("DELETE", "/users/alice", actor="bob")).status_code == 403
    assert (await api("GET", "/users/alice")).status_code == 200


async def test_the_follows_end_both_ways_and_the_counts_with_them(api: WriteSide) -> None:
    await api.registered("alice", "bob", "carl")
    for follower, followee in (("alice", "bob"), ("carl", "alice"), ("bob", "alice")):
        path = f"/users/{follower}/following/{followee}"
        assert (await api("PUT", path, actor=follower)).status_code == 204
    await api.project()
    await left(api, "alice")
    await api.project()
    bob, carl = [
        (await api("GET", f"/users/{name}", actor="bob")).json() for name in ("bob", "carl")
    ]
    assert [bob["follower_count"], bob["following_count"], carl["following_count"]] == [0, 0, 0]
    for path in ("/users/bob/followers", "/users/bob/following", "/users/carl/following"):
        assert (await api("GET", path, actor="bob")).json()["items"] == []


async def test_their_lists_are_404(api: WriteSide) -> None:
    await api.registered("alice")
    await left(api, "alice")
    for path in ("/users/alice/following", "/users/alice/followers"):
        assert (await api("GET", path)).status_code == 404
        assert (await api("GET", path, actor="bob")).status_code == 404


async def test_their_posts_are_404_to_everyone(api: WriteSide) -> None:
    post_id = await api.posted(by="alice")
    await left(api, "alice")
    for actor in ("alice", "bob"):
        for path in (f"/posts/{post_id}", f"/posts/{post_id}/fanout"):
            assert (await api("GET", path, actor=actor)).status_code == 404
    for method, body in (("PATCH", {"content": "mine"}), ("DELETE", None)):
        kwargs: dict[str, Any] = {"json": body} if body else {}
        answer = await api(method, f"/posts/{post_id}", actor="bob", **kwargs)
        assert answer.status_code == 404


WRITES = [
    ("POST", "/posts", {"content": "again"}),
    ("PATCH", "/posts/{post}", {"content": "again"}),
    ("DELETE", "/posts/{post}", None),
    ("PUT", "/users/alice", {"display_name": "Alice"}),
    ("PUT", "/users/alice/following/bob", None),
    ("DELETE", "/users/alice/following/bob", None),
    ("PUT", "/users/alice/muted/bob", None),
    ("DELETE", "/users/alice/muted/bob", None),
    ("PUT", "/users/alice/blocked/bob", None),
    ("DELETE", "/users/alice/blocked/bob", None),
]


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
async def test_writes_of_a_user_who_has_left_are_refused(
    api: WriteSide, method: str, path: str, body: dict[str, str] | None
) -> None:
    await api.registered("alice", "bob")
    post_id = await api.posted(by="alice")
    await left(api, "alice")
    before = len(await api.events())
    kwargs: dict[str, Any] = {"json": body} if body else {}
    refused = await api(method, path.format(post=post_id), **kwargs)
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:fanfold:problem:has-left")
    assert len(await api.events()) == before


async def test_a_refused_post_does_not_use_up_its_key(api: WriteSide) -> None:
    await left(api, "alice")
    headers = {"Idempotency-Key": "one"}
    for content in ("first", "second"):
        refused = await api("POST", "/posts", headers=headers, json={"content": content})
        assert refused.status_code == 403


async def test_a_user_who_has_left_cannot_be_followed_muted_or_blocked(api: WriteSide) -> None:
    await api.registered("alice", "bob")
    await left(api, "alice")
    for tie in ("following", "muted", "blocked"):
        assert (await api("PUT", f"/users/bob/{tie}/alice", actor="bob")).status_code == 404


async def test_every_documented_write_is_refused_to_a_user_who_has_left(
    api: WriteSide,
) -> None:
    """No list of routes here: a route added later is asked as well."""
    await left(api, "alice")
    post_id = "019aa000-0000-7000-8000-000000000000"
    for path, operations in api.app.openapi()["paths"].items():
        for method, operation in operations.items():
            if method == "get" or (method, path) == ("delete", "/users/{user_id}"):
                continue
            if path.endswith("/ticket"):
                continue  # for a read: who has left may still export
            url = path.format(user_id="alice", target_id="bob", post_id=post_id)
            body = {"display_name": "A"} if path == "/users/{user_id}" else {"content": "x"}
            kwargs: dict[str, Any] = {"json": body} if "requestBody" in operation else {}
            refused = await api(method.upper(), url, **kwargs)
            assert refused.status_code == 403, (method, path)
            assert refused.json()["type"] == "urn:fanfold:problem:has-left"


async def test_without_the_log_leaving_is_503(api: WriteSide) -> None:
    await api.registered("alice")
    api.log.away = True
    assert (await api("DELETE", "/users/alice")).status_code == 503
    assert (await api("GET", "/users/alice")).status_code == 200


async def test_a_follow_that_was_on_its_way_when_a_user_left_is_ended(api: WriteSide) -> None:
    await api.registered("alice", "bob")
    await api("PUT", "/users/bob/following/alice", actor="bob")
    await api("PUT", "/users/alice/following/bob")
    await left(api, "alice")
    await api.project()
    ended = [event for event in await api.events() if isinstance(event, UserUnfollowed)]
    assert {(event.follower_id, event.followee_id) for event in ended} == {
        ("alice", "bob"),
        ("bob", "alice"),
    }
    assert (await api("GET", "/users/bob", actor="bob")).json()["follower_count"] == 0
