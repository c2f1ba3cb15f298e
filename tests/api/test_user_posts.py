"""`GET /users/{user_id}/posts`: an author's posts, for anyone with a credential."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import pytest

from fanfold.core.ids import new_post_id
from fanfold.http.cursors import encode_cursor
from tests.support.feed import World, a_feed_client, a_reader
from tests.support.liking import a_departure, a_like

EVE = {"X-User-Id": "eve"}


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def client(world: World) -> AsyncIterator[httpx2.AsyncClient]:
    async with a_reader(world) as reader, a_feed_client(world, reader) as client:
        yield client


async def test_anyone_may_read_an_author_s_posts_newest_first(
    world: World, client: httpx2.AsyncClient
) -> None:
    await world.happen(world.a_name("bob", "Bob"))
    posts = [str(await world.post("bob", ago_s=n, content=f"{n}")) for n in range(3)]
    body = (await client.get("/users/bob/posts", headers=EVE)).json()
    assert [item["post_id"] for item in body["items"]] == posts
    assert body["next_cursor"] is None
    item = body["items"][0]
    assert (item["author"], item["like_count"], item["liked_by_me"]) == ("Bob", 0, False)
    assert "source" not in item


async def test_pages_are_full_past_deleted_posts_and_end_with_null(
    world: World, client: httpx2.AsyncClient
) -> None:
    posts = [await world.post("bob", ago_s=n) for n in range(60)]
    for post_id in posts[3:50]:
        await world.happen(world.a_deletion(post_id))
    live = [str(post_id) for post_id in posts[:3] + posts[50:]]
    shown: list[str] = []
    params = {"limit": "5"}
    while True:
        body = (await client.get("/users/bob/posts", headers=EVE, params=params)).json()
        shown += [item["post_id"] for item in body["items"]]
        if body["next_cursor"] is None:
            break
        assert len(body["items"]) == 5
        params["cursor"] = body["next_cursor"]
    assert shown == live


async def test_an_unknown_author_is_404_and_a_registered_one_without_posts_is_empty(
    world: World, client: httpx2.AsyncClient
) -> None:
    await world.happen(world.a_name("quiet", "Quiet"))
    assert (await client.get("/users/quiet/posts", headers=EVE)).json() == {
        "items": [],
        "next_cursor": None,
    }
    missing = await client.get("/users/nobody/posts", headers=EVE)
    assert (missing.status_code, missing.json()["type"]) == (
        404,
        "urn:fanfold:problem:user-not-found",
    )


async def test_the_actor_has_a_list_before_registering(
    client: httpx2.AsyncClient,
) -> None:
    answer = await client.get("/users/eve/posts", headers=EVE)
    assert (answer.status_code, answer.json()["items"]) == (200, [])


async def test_a_forged_cursor_is_never_an_internal_error(
    world: World, client: httpx2.AsyncClient
) -> None:
    """Anyone can compute the checksum, so the content may be anything."""
    for n in range(3):
        await world.post("bob", ago_s=n)
    newer = new_post_id(world.clock.now_ms() + 1000)
    forged = encode_cursor(newer.bytes + b"\xff" * 4, scope="posts/bob")
    params: dict[str, str | int] = {"cursor": forged, "limit": 1}
    answer = await client.get("/users/bob/posts", headers=EVE, params=params)
    assert answer.status_code < 500, answer.text


async def test_a_cursor_is_bound_to_its_author(world: World, client: httpx2.AsyncClient) -> None:
    for author in ("bob", "carol"):
        for n in range(2):
            await world.post(author, ago_s=n)
    asked = {"limit": "1"}
    first = (await client.get("/users/bob/posts", headers=EVE, params=asked)).json()
    foreign = {"cursor": first["next_cursor"]}
    assert (await client.get("/users/carol/posts", headers=EVE, params=foreign)).status_code == 422


async def test_posts_need_a_credential(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/users/bob/posts")).status_code == 401


async def test_an_unavailable_table_is_503(world: World, client: httpx2.AsyncClient) -> None:
    await world.post("bob")
    world.posts.away.add("by_author")
    away = await client.get("/users/bob/posts", headers=EVE)
    assert away.status_code == 503
    assert away.headers["retry-after"]


async def test_liked_by_me_is_about_the_actor(world: World, client: httpx2.AsyncClient) -> None:
    post_id = await world.post("bob")
    await world.happen(a_like(world, "eve", post_id))
    for user, likes_it in (("eve", True), ("bob", False)):
        body = (await client.get("/users/bob/posts", headers={"X-User-Id": user})).json()
        (item,) = body["items"]
        assert (item["like_count"], item["liked_by_me"]) == (1, likes_it)


@pytest.mark.parametrize(("blocker", "blocked"), [("bob", "eve"), ("eve", "bob")])
async def test_across_a_block_posts_are_refused_until_it_ends(
    world: World, client: httpx2.AsyncClient, blocker: str, blocked: str
) -> None:
    await world.post("bob")
    await world.happen(world.a_tie("block", blocker, blocked))
    refused = await client.get("/users/bob/posts", headers=EVE)
    assert refused.status_code == 403
    assert refused.json()["type"].endswith("blocked")
    assert (await client.get("/users/bob/posts", headers={"X-User-Id": "bob"})).status_code == 200
    await world.happen(world.a_tie("unblock", blocker, blocked))
    assert (await client.get("/users/bob/posts", headers=EVE)).status_code == 200


async def test_a_mute_hides_posts_from_the_feed_only(
    world: World, client: httpx2.AsyncClient
) -> None:
    await world.post("bob")
    await world.happen(world.a_tie("mute", "eve", "bob"))
    assert len((await client.get("/users/bob/posts", headers=EVE)).json()["items"]) == 1


async def test_posts_of_a_user_who_left_are_404_across_a_block_too(
    world: World, client: httpx2.AsyncClient
) -> None:
    await world.happen(world.a_name("bob", "Bob"))
    await world.post("bob")
    await world.happen(world.a_tie("block", "bob", "eve"))
    await world.happen(a_departure(world, "bob"))
    for user in ("eve", "bob"):
        gone = await client.get("/users/bob/posts", headers={"X-User-Id": user})
        assert (gone.status_code, gone.json()["title"]) == (404, "No such user")
