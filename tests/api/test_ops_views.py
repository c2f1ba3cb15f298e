"""`/ops`: fan-outs, dead letters, events and the graph of sizes, each a bounded page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast
from urllib.parse import quote
from uuid import UUID

import httpx2
import pytest

from console_service import ops_routes
from console_service.console import Console, open_console
from console_service.explain.explanations import Explanations
from console_service.records import LONGEST_TEXT
from console_service.sizes import (
    LARGEST,
    MOST_USERS,
    Sizes,
    lowest_of,
    lows_up_to,
    place_of,
)
from fanfold.adapters.sqlite.log_view import SqliteLogView
from fanfold.core.clock import SystemClock
from fanfold.core.events import GRAPH, POSTS, DeliverSlice
from fanfold.core.ports import Plan, User, Users
from fanfold.core.ports.engines import Tables
from fanfold.core.ports.log import Record
from fanfold.core.settings import Settings
from fanfold.core.topics import load_topics
from fanfold.http.app import make_app
from fanfold.http.readiness import readiness
from tests.support.app import WriteSide
from tests.support.clock import START_MS, ManualClock
from tests.support.fanout import a_post

Get = Callable[..., Any]


@asynccontextmanager
async def a_client(console: Console) -> AsyncIterator[httpx2.AsyncClient]:
    app = make_app(
        title="console",
        routers=[ops_routes.router(Settings(), console)],
        ready=readiness({}),
    )
    transport = httpx2.ASGITransport(app=app, client=("127.0.0.1", 1))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


@pytest.fixture
async def ops(api: WriteSide) -> AsyncIterator[httpx2.AsyncClient]:
    """`/ops` over the log and the tables of the write side."""
    view = SqliteLogView(api.pipeline.log)
    async with (
        open_console(
            view, [], Tables(api.pipeline.stores), settings=api.settings, clock=SystemClock()
        ) as console,
        a_client(console) as client,
    ):
        yield client


async def pages(ops: httpx2.AsyncClient, path: str, **query: Any) -> list[dict[str, Any]]:
    """All pages, by their cursors."""
    found: list[dict[str, Any]] = []
    cursor = None
    while cursor or not found:
        more: dict[str, str] = {"cursor": cursor} if cursor else {}
        answer = await ops.get(path, params={**query, **more})
        assert answer.status_code == 200, answer.text
        found.append(answer.json())
        cursor = found[-1]["next_cursor"]
    return found


async def test_an_empty_console_has_empty_pages(ops: httpx2.AsyncClient) -> None:
    assert (await ops.get("/ops/fan-outs")).json() == {"items": [], "more": False}
    empty = {"items": [], "looked_at": 0, "next_cursor": None}
    assert (await ops.get("/ops/dead-letters")).json() == empty
    events = (await ops.get("/ops/events?topic=posts.v1")).json()
    assert events == {"topics": list(load_topics()), **empty}
    sizes = (await ops.get("/ops/sizes")).json()
    assert (sizes["users"], sizes["all_users"], sizes["largest"]) == (0, True, [])
    assert all(bar["push"] == bar["pull"] == 0 for bar in sizes["bars"])
    overview = (await ops.get("/ops/overview")).json()
    assert (overview["healthy"], overview["processes"]) == (True, [])


async def test_events_are_browsed_by_topic_time_key_and_type(
    ops: httpx2.AsyncClient, api: WriteSide
) -> None:
    await api.registered("alice", "bob")
    for n in range(7):
        await api.posted(f"post {n}", by="bob" if n % 2 else "alice")
        api.clock.advance(1)

    found = await pages(ops, "/ops/events", topic=POSTS, limit=3)
    assert [len(page["items"]) for page in found] == [3, 3, 1]
    events = [event for page in found for event in page["items"]]
    assert [event["key"] for event in events] == ["alice", "bob"] * 3 + ["alice"]
    times = [event["appended_at"] for event in events]
    assert times == sorted(times, reverse=True)
    assert {(event["type"], event["source"]) for event in events} == {("PostCreated", "test")}
    assert '"content":"post 6"' in events[0]["value"]
    assert events[0]["position"].startswith(f"{POSTS}/")

    of_bob = await pages(ops, "/ops/events", topic=POSTS, key="bob", limit=100)
    assert [event["key"] for page in of_bob for event in page["items"]] == ["bob"] * 3
    early = await pages(ops, "/ops/events", topic=POSTS, until_ms=START_MS + 2_500, limit=2)
    assert sum(len(page["items"]) for page in early) == 3
    registered = await pages(ops, "/ops/events", topic=GRAPH, type="UserRegistered")
    assert {e["key"] for page in registered for e in page["items"]} == {"alice", "bob"}
    assert (await pages(ops, "/ops/events", topic=GRAPH, type="UserFollowed"))[0]["items"] == []


@pytest.mark.parametrize(
    "query",
    [
        "topic=nothing",
        "",
        f"topic={POSTS}&limit=101",
        f"topic={POSTS}&limit=0",
        f"topic={POSTS}&cursor=1",
        f"topic={POSTS}&until_ms=-1",
        f"topic={POSTS}&key={'k' * 300}",
    ],
)
async def test_what_would_have_no_bound_or_no_meaning_is_422(
    ops: httpx2.AsyncClient, query: str
) -> None:
    assert (await ops.get(f"/ops/events?{query}")).status_code == 422


@pytest.mark.parametrize("number", ["1e1", "+5", "5.0", " 5", "1_0", "0x5", "\u0665", ""])
async def test_only_plain_digits_are_a_number(ops: httpx2.AsyncClient, number: str) -> None:
    for path in ("fan-outs?", "dead-letters?", f"events?topic={POSTS}&"):
        answer = await ops.get(f"/ops/{path}limit={quote(number)}")
        assert answer.status_code == 422
    until = {"topic": POSTS, "until_ms": number}
    assert (await ops.get("/ops/events", params=until)).status_code == 422


async def test_a_long_value_is_cut(ops: httpx2.AsyncClient, api: WriteSide) -> None:
    await api.pipeline.append(a_post(by="bob", content="x" * 5_000))
    (event,) = (await ops.get(f"/ops/events?topic={POSTS}")).json()["items"]
    assert len(event["value"]) == LONGEST_TEXT


async def test_a_dead_letter_shows_its_origin_and_its_reason(
    ops: httpx2.AsyncClient, api: WriteSide
) -> None:
    headers = {"ce_type": b"fanfold.PostCreated.v1"}
    for offset in range(5):
        poison = Record(POSTS, 3, offset, b"bob", b"{\xff", headers, START_MS)
        await api.pipeline.log.dead_letter(poison, f"unreadable {offset}")
        api.clock.advance(1)

    found = await pages(ops, "/ops/dead-letters", limit=2)
    letters = [letter for page in found for letter in page["items"]]
    assert [len(page["items"]) for page in found] == [2, 2, 1]
    assert [letter["position"] for letter in letters] == [f"{POSTS}/3/{n}" for n in (4, 3, 2, 1, 0)]
    assert letters[0] == {
        "position": f"{POSTS}/3/4",
        "type": "PostCreated",
        "key": "bob",
        "reason": "unreadable 4",
        "dead_lettered_at": "2027-01-15T08:00:04.000Z",
        "replay_of": None,
        "command": None,
    }


async def test_on_a_log_that_a_command_reaches_the_command_is_there_to_copy(
    api: WriteSide,
) -> None:
    class Reached(SqliteLogView):
        replays = True

    await api.pipeline.log.dead_letter(Record(POSTS, 3, 7, b"k", b"{", {}, 0), "unreadable")
    view = Reached(api.pipeline.log)
    tables, settings = Tables(api.pipeline.stores), api.settings
    async with (
        open_console(view, [], tables, settings=settings, clock=SystemClock()) as console,
        a_client(console) as ops,
    ):
        (letter,) = (await ops.get("/ops/dead-letters")).json()["items"]
    assert letter["command"] == f"fanfold dead-letters replay --at {POSTS}/3/7"


async def test_fan_outs_in_progress_show_their_plan_and_the_list_says_if_it_is_whole(
    ops: httpx2.AsyncClient, api: WriteSide
) -> None:
    posts = [a_post(by=f"author-{n}") for n in range(3)]
    plan = Plan("push", planned=40, generation=1, slices_total=16, started_at_ms=START_MS)
    await api.pipeline.stores.jobs.write_plan(posts[2].post_id, plan, offset=1)
    for n, post in enumerate(posts):
        slices = [
            DeliverSlice(post_id=post.post_id, author_id=post.author_id, generation=1, bucket=b)
            for b in range(n + 1)
        ]
        await api.pipeline.log.append_many(slices)

    found = (await ops.get("/ops/fan-outs?limit=2")).json()
    assert found["more"]
    assert found["items"] == [
        {
            "post_id": str(posts[2].post_id),
            "author_id": "author-2",
            "slices_left": 3,
            "slices_total": 16,
            "planned": 40,
            "started_at": "2027-01-15T08:00:00.000Z",
        },
        {
            "post_id": str(posts[1].post_id),
            "author_id": "author-1",
            "slices_left": 2,
            "slices_total": None,
            "planned": None,
            "started_at": None,
        },
    ]
    assert not (await ops.get("/ops/fan-outs?limit=3")).json()["more"]


class ManyUsers:
    """Users' rows, and how many of them were read."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.read = 0

    async def all_users(self) -> AsyncIterator[User]:
        for n in range(self._count):
            self.read += 1
            delivery: Any = "pull" if n >= 1000 else "push"
            yield User(f"user-{n}", follower_count=n, delivery=delivery)


def sizes_of(users: Any, clock: ManualClock) -> Sizes:
    return Sizes(users, clock, threshold=1000, hysteresis=0.8)


async def test_the_graph_of_sizes_counts_authors_by_followers_and_lists_the_largest() -> None:
    graph = await sizes_of(ManyUsers(1_500), ManualClock()).graph()
    assert (graph["threshold"], graph["pushed_again_below"]) == (1000, 800)
    assert (graph["users"], graph["all_users"]) == (1_500, True)
    assert [bar["from"] for bar in graph["bars"]] == [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]
    assert sum(bar["push"] + bar["pull"] for bar in graph["bars"]) == 1_500
    # At the beginning of the last of eleven bars.
    assert graph["threshold_at"] == pytest.approx(10 / 11)
    assert graph["bars"][0] == {"from": 0, "push": 1, "pull": 0}
    assert graph["bars"][-1] == {"from": 1000, "push": 0, "pull": 500}
    assert len(graph["largest"]) == LARGEST
    assert graph["largest"][0] == {"user_id": "user-1499", "followers": 1499, "delivery": "pull"}


async def test_the_graph_of_sizes_reads_a_bounded_number_of_users_and_not_for_each_who_looks() -> (
    None
):
    users, clock = ManyUsers(MOST_USERS + 500), ManualClock()
    sizes = sizes_of(users, clock)
    graph = await sizes.graph()
    assert (graph["users"], graph["all_users"]) == (MOST_USERS, False)
    assert await sizes.graph() == graph
    assert users.read == MOST_USERS + 1
    clock.advance(60)
    await sizes.graph()
    assert users.read == 2 * (MOST_USERS + 1)


@pytest.mark.parametrize(
    ("followers", "lowest"),
    [
        (0, 0),
        (1, 1),
        (4, 2),
        (5, 5),
        (9, 5),
        (10, 10),
        (999, 500),
        (1000, 1000),
        (250_000, 200_000),
    ],
)
def test_a_bar_begins_at_1_2_or_5_of_its_decade(followers: int, lowest: int) -> None:
    assert lowest_of(followers) == lowest


def test_the_threshold_lies_within_its_bar_on_a_logarithmic_scale() -> None:
    assert place_of(1, lows_up_to(1)) == pytest.approx(1 / 2)
    assert place_of(100_000, lows_up_to(5_000_000)) == pytest.approx(16 / 22)
    middle = place_of(1_414, lows_up_to(1_414))
    assert middle == pytest.approx(10.5 / 11, abs=0.001)


async def test_it_is_explained_why_a_post_is_or_is_not_in_a_feed(
    ops: httpx2.AsyncClient, api: WriteSide
) -> None:
    await api.registered("alice", "bob")
    await api("PUT", "/users/alice/following/bob", actor="alice")
    post_id = await api.posted("hello", by="bob")
    await api.project()

    async def explained(user: str) -> dict[str, Any]:
        answer = await ops.get("/ops/explain", params={"user": user, "post": post_id})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    shown = await explained("alice")
    assert (shown["user_id"], shown["post_id"]) == ("alice", post_id)
    assert (shown["in_feed"], shown["wrong"], shown["late"]) == (True, False, False)
    assert [reason["reason"] for reason in shown["reasons"]] == ["timeline"]
    assert (shown["author_id"], shown["strategy"], shown["in_timeline"]) == ("bob", "push", True)
    hidden = await explained("zoe")
    (reason,) = hidden["reasons"]
    assert (hidden["in_feed"], hidden["wrong"], reason["reason"]) == (
        False,
        False,
        "never-followed",
    )
    assert reason["says"] == "zoe has never followed bob"


@pytest.mark.parametrize(
    "query",
    [
        "user=alice",
        "user=alice&post=1",
        "user=a%20b&post=019ad2c4-2f40-7a31-8f5e-3d1b0c9e7a55",
        "user=alice&post=019ad2c4-2f40-4a31-8f5e-3d1b0c9e7a55",
    ],
)
async def test_a_text_that_names_no_user_or_no_post_is_not_explained(
    ops: httpx2.AsyncClient, query: str
) -> None:
    answer = await ops.get(f"/ops/explain?{query}")
    assert (answer.status_code, len(answer.json()["errors"])) == (422, 1)


async def test_a_text_that_is_no_post_id_is_refused_with_the_form_of_one(
    ops: httpx2.AsyncClient,
) -> None:
    (error,) = (await ops.get("/ops/explain?user=alice&post=1")).json()["errors"]
    assert error["pointer"] == "post"
    assert error["detail"] == "Send a post id: a UUIDv7 in its canonical form."


async def test_one_explanation_is_made_at_a_time(api: WriteSide) -> None:
    working = most = 0

    class Counted:
        async def get(self, user_id: str) -> User:
            nonlocal working, most
            working += 1
            most = max(most, working)
            await asyncio.sleep(0)
            working -= 1
            return User(user_id)

    stores = replace(api.pipeline.stores, users=cast("Users", Counted()))
    explain = Explanations(Tables(stores), settings=api.settings, clock=api.clock)
    post_id = UUID("019ad2c4-2f40-7a31-8f5e-3d1b0c9e7a55")
    found = await asyncio.gather(*(explain(f"user-{n}", post_id) for n in range(3)))
    assert {why["reasons"][0]["reason"] for why in found} == {"unknown-post"}
    assert most == 1
