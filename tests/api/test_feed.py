"""`GET /users/{user_id}/feed`: the shape of the answer, and which requests are refused."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx2
import orjson
import pytest

from fanfold.core.ids import created_at_ms
from tests.support.clock import START_MS
from tests.support.feed import World, a_feed_client, a_reader
from tests.support.liking import a_departure, a_like

FEED = "/users/alice/feed"
ALICE = {"X-User-Id": "alice"}


@pytest.fixture
async def world() -> World:
    """Alice follows Bob, who is pushed, and a star, who is pulled; both have posted, and so has she."""
    world = World(celebrities={"star"})
    await world.happen(world.a_name("bob", "Bob"))
    await world.follow("alice", "bob", "star")
    for ago_s, author in enumerate(("alice", "star", "bob")):
        await world.post(author, ago_s=ago_s, content=f"by {author}")
    return world


@pytest.fixture
async def client(world: World) -> AsyncIterator[httpx2.AsyncClient]:
    async with a_reader(world) as reader, a_feed_client(world, reader) as client:
        yield client


async def test_a_feed_is_answered_in_the_documented_shape(client: httpx2.AsyncClient) -> None:
    answer = await client.get(FEED, headers=ALICE)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert "fanfold-incomplete" not in answer.headers
    body = answer.json()
    assert list(body) == ["items", "next_cursor", "complete"]
    assert (body["next_cursor"], body["complete"]) == (None, True)
    assert [(item["author"], item["source"]) for item in body["items"]] == [
        ("alice", "push"),
        ("star", "pull"),
        ("Bob", "push"),
    ]
    item = body["items"][-1]
    assert created_at_ms(UUID(item.pop("post_id"))) == START_MS - 2000
    assert item == {
        "author_id": "bob",
        "author": "Bob",
        "author_avatar_url": None,
        "content": "by bob",
        "created_at": "2027-01-15T07:59:58.000Z",
        "edited_at": None,
        "like_count": 0,
        "liked_by_me": False,
        "source": "push",
    }


async def test_an_edited_post_shows_the_time_of_the_edit(
    world: World, client: httpx2.AsyncClient
) -> None:
    post_id = (await client.get(FEED, headers=ALICE)).json()["items"][0]["post_id"]
    await world.happen(world.an_edit(UUID(post_id), "edited", by="alice"))
    item = (await client.get(FEED, headers=ALICE)).json()["items"][0]
    assert (item["content"], item["edited_at"]) == ("edited", "2027-01-15T08:00:00.000Z")


@pytest.mark.parametrize("ranking", ["relevance", "chronological"])
async def test_pages_follow_each_other_and_a_limit_may_change(
    client: httpx2.AsyncClient, ranking: str
) -> None:
    whole = (await client.get(FEED, headers=ALICE, params={"ranking": ranking})).json()["items"]
    asked: dict[str, str | int] = {"ranking": ranking, "limit": 1}
    first = (await client.get(FEED, headers=ALICE, params=asked)).json()
    rest = (
        await client.get(
            FEED,
            headers=ALICE,
            params={"ranking": ranking, "limit": 2, "cursor": first["next_cursor"]},
        )
    ).json()
    assert first["items"] + rest["items"] == whole
    assert rest["next_cursor"] is None


async def test_ten_items_ranked_by_relevance_are_the_default(
    world: World, client: httpx2.AsyncClient
) -> None:
    for n in range(20):
        await world.post("bob", ago_s=10 + n)
    plain = (await client.get(FEED, headers=ALICE)).json()
    assert len(plain["items"]) == 10
    named = {"ranking": "relevance", "cursor": plain["next_cursor"]}
    assert (await client.get(FEED, headers=ALICE, params=named)).status_code == 200


async def test_unknown_parameters_are_ignored_and_an_empty_cursor_is_none(
    client: httpx2.AsyncClient,
) -> None:
    answer = await client.get(FEED, headers=ALICE, params={"cursor": "", "colour": "red"})
    assert len(answer.json()["items"]) == 3


async def test_a_feed_is_only_for_its_own_viewer(client: httpx2.AsyncClient) -> None:
    for user in ("bob", "nobody"):
        refused = await client.get(f"/users/{user}/feed", headers=ALICE)
        assert (refused.status_code, refused.json()["title"]) == (403, "Not your feed")
    assert (await client.get(FEED)).status_code == 401


@pytest.mark.parametrize(
    "asked",
    [
        {"limit": "0"},
        {"limit": "101"},
        {"limit": "ten"},
        {"limit": "1.0"},
        {"limit": ""},
        {"ranking": "random"},
        {"ranking": ""},
        {"cursor": "broken"},
        {"cursor": "!"},
        {"cursor": "A" * 3000},
    ],
)
async def test_a_wrong_request_is_refused_with_what_to_change(
    client: httpx2.AsyncClient, asked: dict[str, str]
) -> None:
    refused = await client.get(FEED, headers=ALICE, params=asked)
    assert refused.status_code == 422
    assert refused.headers["content-type"] == "application/problem+json"
    (error,) = refused.json()["errors"]
    assert (error["where"], error["pointer"]) == ("query", next(iter(asked)))


async def test_a_malformed_user_is_422(client: httpx2.AsyncClient) -> None:
    for user in ("a b", "ä", "x" * 65):
        assert (await client.get(f"/users/{user}/feed", headers=ALICE)).status_code == 422


@pytest.mark.parametrize("ranking", ["relevance", "chronological"])
async def test_a_foreign_or_changed_cursor_is_refused(
    client: httpx2.AsyncClient, ranking: str
) -> None:
    other = {"relevance": "chronological", "chronological": "relevance"}[ranking]
    asked = {"ranking": ranking, "limit": "1"}
    cursor = (await client.get(FEED, headers=ALICE, params=asked)).json()["next_cursor"]
    changed = cursor[:-1] + ("A" if cursor[-1] != "A" else "B")
    for user, params in (
        ("alice", {"ranking": ranking, "cursor": changed}),
        ("alice", {"ranking": ranking, "cursor": cursor + "A"}),
        ("alice", {"ranking": other, "cursor": cursor}),
        ("bob", {"ranking": ranking, "cursor": cursor}),
    ):
        refused = await client.get(
            f"/users/{user}/feed", headers={"X-User-Id": user}, params=params
        )
        assert refused.status_code == 422


async def test_a_relevance_feed_explains_itself_on_every_page(
    world: World, client: httpx2.AsyncClient
) -> None:
    plain = (await client.get(FEED, headers=ALICE)).json()["items"]
    assert not any("explain" in item for item in plain)
    bobs = UUID(plain[-1]["post_id"])
    await world.happen(a_like(world, "alice", bobs))
    world.clock.advance(1)
    explained: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        asked = {"explain": "true", "limit": "2", "cursor": cursor}
        body = (await client.get(FEED, headers=ALICE, params=asked)).json()
        explained += body["items"]
        cursor = body["next_cursor"]
    assert [item["author_id"] for item in explained] == ["bob", "alice", "star"]
    first = explained[0]["explain"]
    assert list(first) == ["score", "recency", "engagement", "affinity", "age_ms"]
    assert first["age_ms"] == 3000
    assert first["recency"] == pytest.approx((2 + 3 / 3600) ** -1.8)
    assert first["engagement"] == pytest.approx(1 + math.log(2))
    assert first["affinity"] == 2
    scores = [item["explain"]["score"] for item in explained]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == first["recency"] * first["engagement"] * first["affinity"]


async def test_explain_is_refused_for_an_order_by_time(client: httpx2.AsyncClient) -> None:
    asked = {"ranking": "chronological", "explain": "true"}
    refused = await client.get(FEED, headers=ALICE, params=asked)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "explain"
    asked["explain"] = "false"
    assert (await client.get(FEED, headers=ALICE, params=asked)).status_code == 200


async def test_a_user_who_left_has_no_feed_of_any_kind(
    world: World, client: httpx2.AsyncClient
) -> None:
    (post, *_) = (await client.get(FEED, headers=ALICE)).json()["items"]
    await world.happen(a_departure(world, "alice"))
    for path in (FEED, f"{FEED}/new?since={post['post_id']}", f"{FEED}/stream"):
        gone = await client.get(path, headers=ALICE)
        assert (gone.status_code, gone.json()["title"]) == (404, "No such user")


# --- when an engine is unavailable ----------------------------------------------------------------------------


async def test_an_incomplete_feed_names_the_missing_sources(
    world: World, client: httpx2.AsyncClient
) -> None:
    world.timelines.away |= {"timeline", "pulled"}
    answer = await client.get(FEED, headers=ALICE)
    assert answer.status_code == 200
    assert answer.headers["fanfold-incomplete"] == "celebrities, timeline"
    assert answer.json()["complete"] is False
    assert [item["author_id"] for item in answer.json()["items"]] == ["alice"]


async def test_no_source_at_all_is_503_with_retry_after(
    world: World, client: httpx2.AsyncClient
) -> None:
    for door in (world.timelines, world.posts, world.graph):
        door.away |= {
            "timeline",
            "pulled_authors",
            "by_author",
            "following",
            "get",
            "get_many",
            "ping",
        }
    for path in (FEED, "/readyz"):
        answer = await client.get(path, headers=ALICE)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert answer.headers["content-type"] == "application/problem+json"


# --- the OpenAPI document --------------------------------------------------------------------------------


async def test_the_document_describes_the_items_the_cursor_and_the_header(
    client: httpx2.AsyncClient,
) -> None:
    document = orjson.loads((await client.get("/openapi.json")).content)
    answers = document["paths"]["/users/{user_id}/feed"]["get"]["responses"]
    assert "Fanfold-Incomplete" in answers["200"]["headers"]
    assert {"401", "403", "422", "503"} <= answers.keys()
    item = document["components"]["schemas"]["FeedItem"]
    page = (await client.get(FEED, headers=ALICE)).json()
    assert set(item["properties"]) == set(item["required"]) == set(page["items"][0])
    assert item["properties"]["created_at"]["format"] == "date-time"
    asked = {"explain": "true"}
    explained = (await client.get(FEED, headers=ALICE, params=asked)).json()["items"][0]
    described = document["components"]["schemas"]["ExplainedItem"]
    assert set(described["required"]) == set(explained)
    described = document["components"]["schemas"]["Explanation"]
    assert set(described["required"]) == set(explained["explain"])
    posts = (await client.get("/users/alice/posts", headers=ALICE)).json()
    assert set(document["components"]["schemas"]["PostResource"]["required"]) == set(
        posts["items"][0]
    )


async def test_relevance_is_a_selection_and_its_answer_says_where_the_rest_is(
    client: httpx2.AsyncClient, world: World
) -> None:
    """At most five posts of a pulled author, and then the end; the other feed has them all."""
    for ago_s in range(10, 29):
        await world.post("star", ago_s=ago_s)
    selection = await client.get(FEED, headers=ALICE, params={"limit": 100})
    by_author = Counter(item["author_id"] for item in selection.json()["items"])
    assert by_author == {"alice": 1, "bob": 1, "star": 5}
    assert (selection.json()["next_cursor"], selection.json()["complete"]) == (None, True)
    link = selection.links["alternate"]
    whole = await client.get(
        selection.url.copy_with(query=None).join(link["url"]), headers=ALICE, params=None
    )
    assert whole.status_code == 200
    assert "link" not in whole.headers
    posts = len(whole.json()["items"])
    while cursor := whole.json()["next_cursor"]:
        params = {"ranking": "chronological", "cursor": cursor}
        whole = await client.get(FEED, headers=ALICE, params=params)
        posts += len(whole.json()["items"])
    assert posts == 22


async def test_the_documentation_says_that_relevance_is_a_selection(
    client: httpx2.AsyncClient,
) -> None:
    route = (await client.get("/openapi.json")).json()["paths"]["/users/{user_id}/feed"]["get"]
    assert "Link" in route["responses"]["200"]["headers"]
    [ranking] = [param for param in route["parameters"] if param["name"] == "ranking"]
    assert "a selection" in ranking["description"]


@pytest.mark.parametrize("path", [FEED, "/users/bob/posts"])
async def test_an_item_shows_its_authors_avatar_once_it_is_set(
    world: World, client: httpx2.AsyncClient, path: str
) -> None:
    async def avatars() -> set[str | None]:
        items = (await client.get(path, headers=ALICE)).json()["items"]
        return {item["author_avatar_url"] for item in items if item["author_id"] == "bob"}

    assert await avatars() == {None}
    await world.happen(world.a_name("bob", "Bob", "https://example.org/bob.png"))
    world.clock.advance(1)  # longer than a process remembers
    assert await avatars() == {"https://example.org/bob.png"}
