"""`Fanfold-After`, `GET …/feed/new` and `GET …/feed/stream` over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, suppress
from typing import Any
from uuid import UUID

import httpx2
import orjson
import pytest

from fanfold.core.ids import first_post_id_at, new_post_id
from fanfold.http.positions import MOST_AWAITED
from tests.support.clock import START_MS, ManualClock
from tests.support.feed import Change, Reader, World, a_feed_client, a_reader

FEED = "/users/alice/feed"
ALICE = {"X-User-Id": "alice"}


@pytest.fixture
async def world() -> World:
    """Alice follows Bob, who has posted."""
    world = World(clock=ManualClock(autojump=True))
    await world.follow("alice", "bob")
    await world.post("bob", ago_s=60, content="old")
    return world


@pytest.fixture
async def reader(world: World) -> AsyncIterator[Reader]:
    async with a_reader(world) as opened:
        yield opened


@pytest.fixture
async def client(world: World, reader: Reader) -> AsyncIterator[httpx2.AsyncClient]:
    async with a_feed_client(world, reader) as client:
        yield client


def kept(reader: Reader, change: Change) -> str:
    return str(reader.log.keep(change.event, change.offset))


async def contents(client: httpx2.AsyncClient, **headers: str) -> list[str]:
    answer = await client.get(f"{FEED}?ranking=chronological", headers={**ALICE, **headers})
    assert (answer.status_code, answer.json()["complete"]) == (200, True)
    return [item["content"] for item in answer.json()["items"]]


# --- Fanfold-After -------------------------------------------------------------------------------------


async def test_a_post_whose_fan_out_has_not_arrived_is_seen(
    world: World, reader: Reader, client: httpx2.AsyncClient
) -> None:
    assert await contents(client) == ["old"]
    change = world.a_post("bob", content="new", strategy=None)
    await change.project()
    assert await contents(client) == ["old"]
    assert await contents(client, **{"Fanfold-After": kept(reader, change)}) == ["new", "old"]


async def test_several_writes_are_seen_together_before_the_tail_has_applied_them(
    world: World, reader: Reader, client: httpx2.AsyncClient
) -> None:
    assert await contents(client) == ["old"]
    await world.post("carol", content="carol's", ago_s=30)
    changes = [world.a_follow("alice", "carol"), world.a_tie("mute", "alice", "bob")]
    for change in changes:
        await change.project()
    after = [("Fanfold-After", kept(reader, change)) for change in changes]
    headers = [*ALICE.items(), *after]
    answer = await client.get(f"{FEED}?ranking=chronological", headers=headers)
    assert [item["content"] for item in answer.json()["items"]] == ["carol's"]


async def test_a_write_that_is_late_makes_the_feed_behind(
    world: World, reader: Reader, client: httpx2.AsyncClient
) -> None:
    after = {"Fanfold-After": kept(reader, world.a_follow("alice", "carol"))}
    for ranking in ("chronological", "relevance"):
        answer = await client.get(f"{FEED}?ranking={ranking}", headers={**ALICE, **after})
        assert answer.status_code == 200
        assert answer.json()["complete"] is False
        assert answer.headers["Fanfold-Incomplete"] == "behind"
        assert [item["content"] for item in answer.json()["items"]] == ["old"]


@pytest.mark.parametrize(
    "after",
    [
        "",
        "nonsense",
        "posts.v1/0",
        "posts.v1/0/1;",
        ",".join(["posts.v1/0/1"] * (MOST_AWAITED + 1)),
    ],
)
async def test_a_malformed_position_is_422(client: httpx2.AsyncClient, after: str) -> None:
    answer = await client.get(FEED, headers={**ALICE, "Fanfold-After": after})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "Fanfold-After"


# --- new -----------------------------------------------------------------------------------------------


async def new(client: httpx2.AsyncClient, since: str) -> Any:
    answer = await client.get(f"{FEED}/new", params={"since": since}, headers=ALICE)
    assert answer.status_code == 200
    return answer.json()


async def test_posts_newer_than_a_post_are_counted(
    world: World, client: httpx2.AsyncClient
) -> None:
    (old,) = (await client.get(FEED, headers=ALICE)).json()["items"]
    assert await new(client, old["post_id"]) == {"count": 0, "more": False, "complete": True}
    seen = await world.post("bob", ago_s=30)
    gone = await world.post("bob", ago_s=20)
    await world.post("stranger", ago_s=10)
    assert (await new(client, old["post_id"]))["count"] == 2
    await world.happen(world.a_deletion(gone))
    assert (await new(client, old["post_id"]))["count"] == 1
    assert (await new(client, str(seen)))["count"] == 0
    assert (await new(client, str(new_post_id(START_MS - 60 * 24 * 3600 * 1000))))["count"] == 2


@pytest.mark.parametrize("ranking", ["chronological", "relevance"])
async def test_posts_newer_than_a_first_page_are_counted_from_any_of_its_cursors(
    world: World, client: httpx2.AsyncClient, ranking: str
) -> None:
    for ago_s in (50, 40, 30):
        await world.post("bob", ago_s=ago_s)
    url = f"{FEED}?limit=1&ranking={ranking}"
    first = (await client.get(url, headers=ALICE)).json()
    second = (await client.get(f"{url}&cursor={first['next_cursor']}", headers=ALICE)).json()
    await world.post("bob", ago_s=20)
    for page in (first, second):
        assert await new(client, page["next_cursor"]) == {
            "count": 1,
            "more": False,
            "complete": True,
        }


async def test_at_most_a_hundred_are_counted(world: World, client: httpx2.AsyncClient) -> None:
    (old,) = (await client.get(FEED, headers=ALICE)).json()["items"]
    for n in range(100):
        await world.post("bob", ago_s=50 - n / 10)
    assert await new(client, old["post_id"]) == {"count": 100, "more": False, "complete": True}
    await world.post("bob")
    assert await new(client, old["post_id"]) == {"count": 100, "more": True, "complete": True}


async def test_counting_stops_at_the_post(world: World, client: httpx2.AsyncClient) -> None:
    for n in range(300):
        await world.post("bob", ago_s=500 - n)
    newest = await world.post("bob")
    world.timelines.calls.clear()
    assert (await new(client, str(newest)))["count"] == 0
    assert world.timelines.calls["timeline"] == 1


@pytest.mark.parametrize("since", ["nonsense", "00000000-0000-0000-0000-000000000000", ""])
async def test_since_is_a_post_or_a_cursor(client: httpx2.AsyncClient, since: str) -> None:
    answer = await client.get(f"{FEED}/new", params={"since": since}, headers=ALICE)
    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert (error["pointer"], "post id" in error["detail"]) == ("since", True)


async def test_a_count_without_a_source_is_incomplete(
    world: World, client: httpx2.AsyncClient
) -> None:
    world.timelines.away.add("timeline")
    await world.post("alice", ago_s=1)
    answer = await client.get(
        f"{FEED}/new", params={"since": str(new_post_id(START_MS - 70_000))}, headers=ALICE
    )
    assert answer.json() == {"count": 1, "more": False, "complete": False}
    assert answer.headers["Fanfold-Incomplete"] == "timeline"


# --- stream --------------------------------------------------------------------------------------------


class Client:
    """A client of the stream: its posts after each `level`, and the last id."""

    def __init__(self, last_id: str | None = None) -> None:
        self.posts: dict[str, str] = {}
        self.last_id = last_id
        self.seen: list[str] = []

    def take(self, block: str) -> None:
        fields = dict(
            line.split(": ", 1) for line in block.splitlines() if not line.startswith(":")
        )
        kind, data = fields.get("event"), orjson.loads(fields.get("data", "null"))
        self.seen.append(kind or "")
        match kind:
            case "post":
                self.posts[data["post_id"]] = data["content"]
            case "removed":
                del self.posts[data["post_id"]]
            case "level":
                assert data["posts"] == len(self.posts)
        self.last_id = fields.get("id", self.last_id)

    def feed(self) -> list[str]:
        return [self.posts[post_id] for post_id in sorted(self.posts, reverse=True)]


async def read(reader: Reader, client: Client, levels: int, *, limit: int = 20) -> None:
    """Follow a stream until it has been level so many times, then hang up."""
    do = live_routes(reader)
    with reader.live.opened("alice") as stream:
        state = await do.client_state("alice", client.last_id)
        async for event in do.events(stream, state, limit):
            data = event.raw_data or (orjson.dumps(event.data).decode() if event.data else None)
            lines = [f"event: {event.event}"] if event.event else [": comment"]
            lines += [f"data: {data}"] if data else []
            lines += [f"id: {event.id}"] if event.id else []
            client.take("\n".join(lines))
            levels -= event.event == "level"
            if not levels:
                return


def live_routes(reader: Reader) -> Any:
    from feed_service.live.live_http import LiveRoutes

    return LiveRoutes(reader.live)


@pytest.fixture
async def ticking(reader: Reader) -> AsyncIterator[None]:
    async def tick() -> None:
        while True:
            await asyncio.sleep(0)
            reader.live._clock.advance(0.1)  # type: ignore[attr-defined]
            for feed in reader.live._open:
                feed.look.set()

    task = asyncio.create_task(tick())
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@pytest.mark.usefixtures("ticking")
async def test_a_stream_that_is_cut_off_resumes_and_ends_equal_to_the_feed(
    world: World, reader: Reader, client: httpx2.AsyncClient
) -> None:
    phone = Client()
    kept_id = await world.post("bob", content="kept", ago_s=50)
    gone_id = await world.post("bob", content="gone", ago_s=40)
    await read(reader, phone, 1)
    assert phone.feed() == await contents(client)
    # A new post, an edit and a deletion while the phone is off.
    await world.post("bob", content="new", ago_s=1)
    await world.happen(world.an_edit(kept_id, "edited"))
    await world.happen(world.a_deletion(gone_id))
    phone.seen.clear()
    await read(reader, phone, 1)
    assert phone.feed() == await contents(client) == ["new", "edited", "old"]
    assert sorted(phone.seen) == ["", "level", "post", "post", "removed"]
    # An unfollow empties the feed.
    await world.happen(world.an_unfollow("alice", "bob"))
    await read(reader, phone, 1)
    assert phone.feed() == []


@pytest.mark.usefixtures("ticking")
async def test_a_feed_by_relevance_is_told_how_many_posts_are_new_and_a_fresh_first_page_has_them(
    world: World, reader: Reader, client: httpx2.AsyncClient
) -> None:
    for n in range(3):
        await world.post("bob", content=f"before {n}", ago_s=50 - n)
    first = (await client.get(FEED, params={"limit": 2}, headers=ALICE)).json()

    do = live_routes(reader)
    known = await do.known("alice", first["next_cursor"])
    with reader.live.opened("alice") as stream:
        events = do.events(stream, {}, 20, known)
        assert await next_level(events) == {"posts": 4, "new": 0}
        await world.post("bob", content="fresh", ago_s=1)
        assert await next_level(events) == {"posts": 5, "new": 1}
        await events.aclose()

    again = (await client.get(FEED, params={"limit": 2}, headers=ALICE)).json()
    assert "fresh" in {item["content"] for item in again["items"]}
    known = await do.known("alice", again["next_cursor"])
    with reader.live.opened("alice") as stream:
        events = do.events(stream, {}, 20, known)
        assert await next_level(events) == {"posts": 5, "new": 0}
        await events.aclose()


async def next_level(events: Any) -> Any:
    """What the next `level` says."""
    return await anext(event.data async for event in events if event.event == "level")


@pytest.mark.usefixtures("ticking")
async def test_a_post_that_falls_off_the_end_is_dropped_and_one_that_moves_up_is_sent(
    world: World, reader: Reader
) -> None:
    phone = Client()
    newest = await world.post("bob", content="newer", ago_s=50)
    await world.post("bob", content="oldest", ago_s=70)
    await read(reader, phone, 1, limit=2)
    assert phone.feed() == ["newer", "old"]
    await world.happen(world.a_deletion(newest))
    await read(reader, phone, 1, limit=2)
    assert phone.feed() == ["old", "oldest"]


@pytest.mark.parametrize(
    ("headers", "query", "status"),
    [
        ({}, "", 401),
        ({"X-User-Id": "bob"}, "", 403),
        ({**ALICE, "Last-Event-ID": "nonsense"}, "", 422),
        (ALICE, "?last_event_id=nonsense", 422),
        (ALICE, "?limit=51", 422),
        (ALICE, "?limit=0", 422),
        (ALICE, "?since=nonsense", 422),
    ],
)
async def test_a_stream_is_refused_before_it_starts(
    client: httpx2.AsyncClient, headers: dict[str, str], query: str, status: int
) -> None:
    answer = await client.get(f"{FEED}/stream{query}", headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


async def test_without_a_free_stream_slot_the_answer_is_503_with_retry_after(
    reader: Reader, client: httpx2.AsyncClient
) -> None:
    with ExitStack() as slots:
        for viewer in "abcd":
            slots.enter_context(reader.live.opened(viewer))
        answer = await client.get(f"{FEED}/stream", headers=ALICE)
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert answer.json()["type"].endswith("too-many-streams")


@pytest.mark.parametrize(
    ("query", "level"),
    [({}, {"posts": 1}), ({"since": str(first_post_id_at(0))}, {"posts": 1, "new": 1})],
)
async def test_a_stream_is_an_event_stream_and_ends_when_the_server_stops(
    reader: Reader, client: httpx2.AsyncClient, query: dict[str, str], level: dict[str, int]
) -> None:
    asking = asyncio.create_task(client.get(f"{FEED}/stream", params=query, headers=ALICE))
    while not any(feed.watched.sources for feed in reader.live._open):  # noqa: ASYNC110
        await asyncio.sleep(0)
    reader.live.close()
    answer = await asking
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [block for block in answer.text.split("\n\n") if "event: " in block]
    assert [block.split("\n")[0] for block in events] == ["event: post", "event: level"]
    (data,) = (line for line in events[-1].splitlines() if line.startswith("data: "))
    assert orjson.loads(data.removeprefix("data: ")) == level
    phone = Client()
    for block in events:
        phone.take(block)
    assert phone.feed() == ["old"]
    assert phone.last_id
    assert not reader.live._open


def test_ids_sort_as_text_as_they_do_as_uuids() -> None:
    ids = [new_post_id(START_MS + n) for n in range(50)]
    assert sorted(ids) == [UUID(text) for text in sorted(map(str, ids))]


async def test_an_idle_stream_has_a_heartbeat(
    reader: Reader, client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FastAPI sends it every 15 s, so that no proxy takes silence for the end of the stream."""
    monkeypatch.setattr("fastapi.routing._PING_INTERVAL", 0.01)
    asking = asyncio.create_task(client.get(f"{FEED}/stream", headers=ALICE))
    while not any(feed.watched.sources for feed in reader.live._open):  # noqa: ASYNC110
        await asyncio.sleep(0)
    done, _ = await asyncio.wait([asking], timeout=0.1)
    assert not done
    reader.live.close()
    assert ": ping" in (await asking).text
