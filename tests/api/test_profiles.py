"""Bios, avatars, and what the viewer is to the users of a profile or a list."""

from __future__ import annotations

import pytest

from fanfold.core.avatar_url import AVATAR_URL_MAX_CHARS
from fanfold.core.clock import rfc3339
from fanfold.core.events import UserRegistered
from fanfold.core.text import BIO_MAX_BYTES, BIO_MAX_CHARS
from tests.support.app import WriteSide

PICTURE = "https://img.example.org/alice.png?size=2"
NOTHING = {"following": False, "followed_by": False, "muted": False, "blocked": False}


async def test_a_profile_shows_the_bio_and_the_avatar_before_and_after_the_worker(
    api: WriteSide,
) -> None:
    body = {"display_name": "Alice", "bio": "Sails.\nSings. 🎶", "avatar_url": PICTURE}
    put = await api("PUT", "/users/alice", json=body)
    profile = put.json()
    assert (profile["bio"], profile["avatar_url"]) == ("Sails.\nSings. 🎶", PICTURE)
    assert (await api("GET", "/users/alice", actor="bob")).json() == profile
    await api.project()
    assert (await api("GET", "/users/alice", actor="bob")).json() == profile


async def test_the_worker_alone_writes_the_same_profile(api: WriteSide) -> None:
    api.log.knows_positions = False  # then the service writes nothing through
    body = {"display_name": "Alice", "bio": "Sails", "avatar_url": PICTURE}
    put = (await api("PUT", "/users/alice", json=body)).json()
    assert (await api("GET", "/users/alice")).status_code == 404
    await api.project()
    assert (await api("GET", "/users/alice")).json() == put


async def test_what_a_later_put_leaves_out_stays_and_null_or_nothing_removes_it(
    api: WriteSide,
) -> None:
    first = {"display_name": "Alice", "bio": "Sails", "avatar_url": PICTURE}
    before = (await api("PUT", "/users/alice", json=first)).json()
    api.clock.advance(60)
    renamed = (await api("PUT", "/users/alice", json={"display_name": "Al"})).json()
    assert renamed == {**before, "display_name": "Al"}, "and `created_at` is the first time"
    for removed in ({"bio": None, "avatar_url": ""}, {"bio": "", "avatar_url": None}):
        await api("PUT", "/users/alice", json=first)
        put = (await api("PUT", "/users/alice", json={"display_name": "Al", **removed})).json()
        assert (put["bio"], put["avatar_url"]) == (None, None)
        await api.project()
        assert (await api("GET", "/users/alice")).json() == put
    last = (await api.events())[-1]
    assert isinstance(last, UserRegistered)
    assert (last.bio, last.avatar_url) == ("", "")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("bio", "x" * (BIO_MAX_CHARS + 1)),
        ("bio", "👨‍👩‍👧‍👦" * (BIO_MAX_BYTES // 25 + 1)),
        ("bio", "  \n "),
        ("bio", "bell \a"),
        ("bio", 7),
        ("avatar_url", "http://example.org/a.png"),
        ("avatar_url", "javascript:alert(1)"),
        ("avatar_url", "data:image/png;base64,AAAA"),
        ("avatar_url", "//example.org/a.png"),
        ("avatar_url", "https://"),
        ("avatar_url", f"https://{'user:secret'}@example.org/a.png"),
        ("avatar_url", "https://example.org/a b.png"),
        ("avatar_url", "https://example.org/a.png\n"),
        ("avatar_url", 'https://example.org/"><script>'),
        ("avatar_url", "https://example.org/%zz"),
        ("avatar_url", "https://exämple.org/"),
        ("avatar_url", "https://example.org/#part"),
        ("avatar_url", "https://example.org/" + "x" * AVATAR_URL_MAX_CHARS),
        ("website", "https://example.org"),
    ],
)
async def test_a_wrong_field_is_422_and_nothing_is_appended(
    api: WriteSide, field: str, value: object
) -> None:
    refused = await api("PUT", "/users/alice", json={"display_name": "Alice", field: value})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == f"/{field}"
    assert await api.events() == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("bio", "x" * BIO_MAX_CHARS),
        ("avatar_url", "https://example.org"),
        ("avatar_url", "https://EXAMPLE.org:8443/a/b.png?x=1&y=%C3%A4"),
        ("avatar_url", "https://192.0.2.7/a.png"),
        ("avatar_url", "https://example.org/" + "x" * (AVATAR_URL_MAX_CHARS - 20)),
    ],
)
async def test_the_longest_and_the_unusual_are_kept_as_sent(
    api: WriteSide, field: str, value: str
) -> None:
    put = await api("PUT", "/users/alice", json={"display_name": "Alice", field: value})
    assert put.status_code == 200
    await api.project()
    assert (await api("GET", "/users/alice")).json()[field] == value


async def test_a_profile_says_what_the_viewer_is_to_the_user(api: WriteSide) -> None:
    await api.registered("alice", "bob", "carol", "dave", "erin")
    await api("PUT", "/users/alice/following/bob")
    await api("PUT", "/users/bob/following/alice", actor="bob")
    await api("PUT", "/users/alice/muted/carol")
    await api("PUT", "/users/alice/blocked/dave")
    await api("PUT", "/users/erin/blocked/alice", actor="erin")
    await api.project()
    expected = {
        "alice": NOTHING,
        "bob": {**NOTHING, "following": True, "followed_by": True},
        "carol": {**NOTHING, "muted": True},
        "dave": {**NOTHING, "blocked": True},
        "erin": NOTHING,  # a block by another isn't told
    }
    for user_id, viewer in expected.items():
        assert (await api("GET", f"/users/{user_id}")).json()["viewer"] == viewer, user_id
    for path in ("following/bob", "muted/carol", "blocked/dave"):
        await api("DELETE", f"/users/alice/{path}")
    await api("DELETE", "/users/bob/following/alice", actor="bob")
    await api.project()
    for user_id in expected:
        assert (await api("GET", f"/users/{user_id}")).json()["viewer"] == NOTHING, user_id


async def test_a_list_names_its_users_and_says_what_the_viewer_is_to_each(api: WriteSide) -> None:
    await api.registered("alice", "bob", "carol")
    body = {"display_name": "Bobby", "avatar_url": PICTURE}
    await api("PUT", "/users/bob", actor="bob", json=body)
    for follower in ("alice", "bob", "ghost"):
        await api("PUT", f"/users/{follower}/following/carol", actor=follower)
    await api("PUT", "/users/alice/following/bob")
    await api("PUT", "/users/alice/muted/bob")
    await api.project()
    page = (await api("GET", "/users/carol/followers")).json()["items"]
    shown = {item["user_id"]: (item["display_name"], item["avatar_url"]) for item in page}
    assert shown == {"alice": ("Alice", None), "bob": ("Bobby", PICTURE), "ghost": ("ghost", None)}
    states = {item["user_id"]: item["viewer"] for item in page}
    bob = {**NOTHING, "following": True, "muted": True}
    assert states == {"alice": NOTHING, "bob": bob, "ghost": NOTHING}
    as_bob = (await api("GET", "/users/carol/followers", actor="bob")).json()["items"]
    assert {item["user_id"]: item["viewer"]["followed_by"] for item in as_bob} == {
        "alice": True,
        "bob": False,
        "ghost": False,
    }


async def test_of_a_user_who_has_left_a_list_shows_the_id_alone(api: WriteSide) -> None:
    await api.registered("alice", "bob")
    await api("PUT", "/users/bob", actor="bob", json={"display_name": "Bob", "avatar_url": PICTURE})
    await api("PUT", "/users/alice/muted/bob")
    await api("DELETE", "/users/bob", actor="bob")
    await api.project()
    [item] = (await api("GET", "/users/alice/muted")).json()["items"]
    assert (item["display_name"], item["avatar_url"]) == ("bob", None)


async def test_an_export_has_the_whole_profile(api: WriteSide) -> None:
    at = rfc3339(api.clock.now_ms())
    body = {"display_name": "Alice", "bio": "Sails", "avatar_url": PICTURE}
    await api("PUT", "/users/alice", json=body)
    first = (await api("GET", "/users/alice/export")).text.splitlines()[0]
    for part in ('"bio":"Sails"', f'"avatar_url":"{PICTURE}"', f'"created_at":"{at}"'):
        assert part in first


async def test_a_profile_counts_posts_without_deleted_ones(api: WriteSide) -> None:
    await api.registered("alice", "bob")
    first, _ = await api.posted(), await api.posted()
    await api.posted(by="bob")
    await api.project()
    assert (await api("GET", "/users/alice")).json()["post_count"] == 2
    for _ in range(2):
        assert (await api("DELETE", f"/posts/{first}")).status_code == 204
        await api.project()
        assert (await api("GET", "/users/alice")).json()["post_count"] == 1


async def test_a_post_shows_its_authors_avatar(api: WriteSide) -> None:
    body = {"display_name": "Alice", "avatar_url": PICTURE}
    await api("PUT", "/users/alice", json=body)
    created = await api("POST", "/posts", json={"content": "hello"})
    post_id = created.json()["post_id"]
    await api.project()
    edited = await api("PATCH", f"/posts/{post_id}", json={"content": "better"})
    await api.project()
    listed = (await api("GET", f"/posts?ids={post_id}")).json()["items"]
    alone = await api("GET", f"/posts/{post_id}")
    shown = [created.json(), edited.json(), alone.json(), *listed]
    assert [post["author_avatar_url"] for post in shown] == [PICTURE] * 4
    await api("PUT", "/users/alice", json={"display_name": "Alice", "avatar_url": None})
    assert (await api("GET", f"/posts/{post_id}")).json()["author_avatar_url"] is None
