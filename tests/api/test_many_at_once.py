"""Many users or posts in one request: the rules of single ones, in a few reads."""

from __future__ import annotations

from typing import Any

import pytest

from fanfold.core.events import UserFollowed
from fanfold.core.ids import new_post_id
from fanfold.core.settings import Settings
from fanfold.http.params import MOST_AT_ONCE
from post_service.existing_post import MAY_BE_UNPROJECTED_MS
from tests.support.app import WriteSide, a_write_side

NOTHING = {"following": False, "followed_by": False, "muted": False, "blocked": False}
LISTS = ("/users", "/posts", "/users/alice/relationships")


async def test_users_are_answered_as_their_profiles_in_the_order_asked_for(api: WriteSide) -> None:
    await api.registered("alice", "bob", "carol", "dave")
    await api("PUT", "/users/alice/following/bob")
    await api("PUT", "/users/alice/blocked/carol")
    await api("PUT", "/users/carol/blocked/alice", actor="carol")
    await api("DELETE", "/users/dave", actor="dave")
    await api.project()
    page = (await api("GET", "/users?ids=carol,bob,nobody,alice,dave,bob")).json()
    assert [item["user_id"] for item in page["items"]] == ["carol", "bob", "alice"]
    for item in page["items"]:
        profile = (await api("GET", f"/users/{item['user_id']}")).json()
        del profile["following_count"]
        assert item == profile


async def test_a_hundred_users_cost_as_many_reads_as_one(api: WriteSide) -> None:
    user_ids = [f"u{n}" for n in range(MOST_AT_ONCE)]
    await api.registered("alice", *user_ids)
    for path in ("/users", "/users/alice/relationships"):
        calls = []
        for ids in (user_ids[:1], user_ids):
            api.tables.calls.clear()
            answer = await api("GET", path, params={"ids": ",".join(ids)})
            assert len(answer.json()["items"]) == len(ids)
            calls.append(dict(api.tables.calls))
        assert calls[0] == calls[1]


async def test_relationships_say_what_is_between_oneself_and_each_other(api: WriteSide) -> None:
    await api.registered("alice", "bob", "carol")
    await api("PUT", "/users/alice/following/bob")
    await api("PUT", "/users/carol/following/alice", actor="carol")
    await api("PUT", "/users/alice/muted/carol")
    await api.project()
    page = (await api("GET", "/users/alice/relationships?ids=carol,nobody,bob,alice")).json()
    assert page["items"] == [
        {"user_id": "carol", **NOTHING, "followed_by": True, "muted": True},
        {"user_id": "nobody", **NOTHING},
        {"user_id": "bob", **NOTHING, "following": True},
        {"user_id": "alice", **NOTHING},
    ]
    refused = await api("GET", "/users/alice/relationships?ids=bob", actor="bob")
    assert refused.status_code == 403


async def test_posts_are_answered_by_the_rules_of_a_single_one(api: WriteSide) -> None:
    authors = ("alice", "bob", "carol", "dave", "erin")
    await api.registered(*authors)
    posts = {author: await api.posted(f"by {author}", by=author) for author in authors}
    deleted = await api.posted(by="bob")
    await api("DELETE", f"/posts/{deleted}", actor="bob")
    await api("PUT", "/users/alice/blocked/carol")
    await api("PUT", "/users/dave/blocked/alice", actor="dave")
    await api("DELETE", "/users/erin", actor="erin")
    await api("PUT", f"/posts/{posts['bob']}/like")
    await api.project()
    old = str(new_post_id(api.clock.now_ms() - MAY_BE_UNPROJECTED_MS))
    young = str(new_post_id(api.clock.now_ms()))
    asked = [posts["bob"], deleted, young, *posts.values(), old]
    page = (await api("GET", "/posts", params={"ids": ",".join(asked)})).json()
    assert [item["post_id"] for item in page["items"]] == [posts["bob"], posts["alice"]]
    assert page["not_yet_visible"] == [young]
    for post_id in asked:
        alone = await api("GET", f"/posts/{post_id}")
        listed = [item for item in page["items"] if item["post_id"] == post_id]
        if listed:
            assert alone.json() == listed[0]
        else:
            assert alone.status_code == (503 if post_id == young else 404), post_id


async def test_a_hundred_posts_cost_as_many_reads_as_one(api: WriteSide) -> None:
    await api.registered("alice")
    posts = [await api.posted(by=f"u{n}") for n in range(MOST_AT_ONCE)]
    calls = []
    for ids in (posts[:1], posts):
        api.tables.calls.clear()
        answer = await api("GET", "/posts", params={"ids": ",".join(ids)})
        assert len(answer.json()["items"]) == len(ids)
        calls.append(dict(api.tables.calls))
    assert calls[0] == calls[1]


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("ids", ["", ",", "bob,", "bob,,carol", "a b", "..", "x" * 65, "bob%2Cä"])
async def test_malformed_ids_are_422(api: WriteSide, path: str, ids: str) -> None:
    refused = await api("GET", f"{path}?ids={ids}")
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "ids"


@pytest.mark.parametrize("path", LISTS)
async def test_more_than_the_maximum_of_ids_is_422_and_so_is_none(
    api: WriteSide, path: str
) -> None:
    ids = [str(new_post_id(api.clock.now_ms())) for _ in range(MOST_AT_ONCE + 1)]
    assert (await api("GET", path, params={"ids": ",".join(ids[1:])})).status_code == 200
    refused = await api("GET", path, params={"ids": ",".join(ids)})
    assert refused.status_code == 422
    assert "100" in refused.json()["errors"][0]["detail"]
    assert (await api("GET", path)).status_code == 422


async def follow(api: WriteSide, *user_ids: str, **more: Any) -> Any:
    return await api("PUT", "/users/alice/following", json={"user_ids": list(user_ids), **more})


async def test_many_users_are_followed_at_once_and_the_rest_is_named(api: WriteSide) -> None:
    await api.registered("alice", "bob", "carol", "dave", "erin")
    await api("PUT", "/users/alice/following/erin")
    await api("PUT", "/users/dave/blocked/alice", actor="dave")
    await api.project()
    answer = await follow(api, "carol", "dave", "nobody", "bob", "carol")
    assert answer.status_code == 200
    assert answer.json() == {
        "followed": ["carol", "bob"],
        "refused": [
            {"user_id": "dave", "reason": "blocked"},
            {"user_id": "nobody", "reason": "user-not-found"},
        ],
    }
    positions = answer.headers["fanfold-position"].split(", ")
    assert len(positions) == len(set(positions)) == 2
    await api.project()
    followed = (await api("GET", "/users/alice/following")).json()["items"]
    assert {item["user_id"] for item in followed} == {"bob", "carol", "erin"}, "erin stays"
    assert (await follow(api, "carol", "bob")).json()["followed"] == ["carol", "bob"]


async def test_as_many_as_the_maximum_are_followed_in_a_few_reads(api: WriteSide) -> None:
    user_ids = [f"u{n}" for n in range(MOST_AT_ONCE)]
    await api.registered("alice", *user_ids)
    api.tables.calls.clear()
    assert (await follow(api, *user_ids)).json()["followed"] == user_ids
    assert sum(api.tables.calls.values()) <= 5, (
        "the rows of these, and a count of all, instead of all rows"
    )
    await api.project()
    assert (await api("GET", "/users/alice")).json()["following_count"] == MOST_AT_ONCE


@pytest.mark.parametrize(
    ("user_ids", "pointer"),
    [
        ([], "/user_ids"),
        (["bob"] * (MOST_AT_ONCE + 1), "/user_ids"),
        (["bob", "alice"], "/user_ids/1"),
        (["bob", "a b"], "/user_ids/1"),
        (["bob", 7], "/user_ids/1"),
        ("bob", "/user_ids"),
    ],
)
async def test_a_wrong_list_of_users_is_422_and_nobody_is_followed(
    api: WriteSide, user_ids: Any, pointer: str
) -> None:
    await api.registered("alice", "bob")
    refused = await api("PUT", "/users/alice/following", json={"user_ids": user_ids})
    assert refused.status_code == 422
    [error] = refused.json()["errors"]
    assert error["pointer"] == pointer
    assert error["detail"].split()[0] in {"Send", "Name", "Use"}, "in our words"
    assert not any(isinstance(event, UserFollowed) for event in await api.events())


async def test_following_many_for_another_user_is_403(api: WriteSide) -> None:
    await api.registered("alice", "bob")
    body = {"user_ids": ["bob"]}
    assert (
        await api("PUT", "/users/alice/following", actor="mallory", json=body)
    ).status_code == 403


async def test_following_more_in_all_than_the_maximum_is_409_and_nobody_is_followed() -> None:
    async with a_write_side(Settings(max_following=3)) as api:
        await api.registered("alice", "a", "b", "c", "d")
        assert (await follow(api, "a", "b")).status_code == 200
        await api.project()
        before = len(await api.events())
        refused = await follow(api, "c", "d")
        assert refused.status_code == 409
        assert refused.json()["type"] == "urn:fanfold:problem:follows-too-many"
        assert len(await api.events()) == before
        assert (await follow(api, "b", "c")).status_code == 200, "b is followed already"
        await api.project()
        assert (await api("PUT", "/users/alice/following/d")).status_code == 409


async def test_rows_of_ended_follows_are_bounded_for_many_as_for_one() -> None:
    async with a_write_side(Settings(max_following=1)) as api:
        await api.registered("alice", "a", "b", "c", "d", "e")
        for name in "abcd":
            assert (await follow(api, name)).status_code == 200
            await api("DELETE", f"/users/alice/following/{name}")
            await api.project()
        refused = await follow(api, "e")
        assert refused.json()["type"] == "urn:fanfold:problem:too-many-changes"
        assert (await follow(api, "a")).status_code == 200
