"""Reading a feed: what it holds, how its pages follow each other, and what is missing when a store is unavailable."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection
from typing import Any, NamedTuple

import pytest

from fanfold.core.errors import Unavailable
from fanfold.core.ids import new_post_id
from fanfold.core.ports import Pointer
from fanfold.core.settings import MS_PER_DAY, Settings
from fanfold.http.problems import EngineAway, Invalid, UserNotFound
from feed_service.caches.cache import SHARED_S
from feed_service.query.cursor import Ranking
from tests.support.feed import FaultyStore, Reader, World, a_reader
from tests.support.liking import a_departure, a_like
from tests.support.virtual_loop import run_on_virtual_time

RANKINGS: tuple[Ranking, ...] = ("chronological", "relevance")


@pytest.fixture
def world() -> World:
    return World(celebrities={"star"})


@pytest.fixture
async def reader(world: World) -> AsyncIterator[Reader]:
    async with a_reader(world) as opened:
        yield opened


# --- what a feed holds ---------------------------------------------------------------------------------


async def test_alice_sees_bob_pushed_and_the_celebrity_pulled_and_first(
    world: World, reader: Reader
) -> None:
    for user in ("alice", "bob", "star"):
        await world.happen(world.a_name(user, user.capitalize()))
    await world.follow("alice", "bob", "star")
    await world.post("bob", content="Hello world!", ago_s=60)
    await world.post("star", content="New movie announcement!", ago_s=30)
    for ranking in RANKINGS:
        page, _ = await reader.page("alice", ranking=ranking)
        assert [(item.author, item.content, item.source) for item in page.items] == [
            ("Star", "New movie announcement!", "pull"),
            ("Bob", "Hello world!", "push"),
        ]
        assert (page.next_cursor, page.complete) == (None, True)
        assert {(item.like_count, item.liked_by_me) for item in page.items} == {(0, False)}


async def test_own_posts_are_in_the_feed_with_their_delivery(world: World, reader: Reader) -> None:
    await world.post("bob")
    await world.post("star")
    unplanned = await world.post("carol", strategy=None)
    for author, source in (("bob", "push"), ("star", "pull"), ("carol", "push")):
        page, _ = await reader.page(author)
        assert [item.source for item in page.items] == [source]
    assert await reader.ids("carol", ranking="relevance") == [unplanned]


async def test_a_post_that_was_pushed_and_pulled_is_shown_once_as_pushed(
    world: World, reader: Reader
) -> None:
    await world.follow("alice", "star")
    post_id = await world.post("star", strategy="both")
    for ranking in RANKINGS:
        page, _ = await reader.page("alice", ranking=ranking)
        assert [(item.post_id, item.source) for item in page.items] == [(post_id, "push")]


async def test_a_followee_under_backfill_is_pulled_until_it_has_finished(
    world: World, reader: Reader
) -> None:
    posts = [await world.post("bob", ago_s=ago_s) for ago_s in (3, 2, 1)]
    await world.follow("alice", "bob", backfilled=False)
    assert await reader.ids("alice") == posts[::-1]
    await world.backfill("alice", "bob")
    world.clock.advance(1.5)
    assert await reader.ids("alice") == posts[::-1]
    asked = world.posts.calls["by_author"]
    assert await reader.ids("alice") == posts[::-1]
    assert world.posts.calls["by_author"] == asked + 1, "bob is still pulled, though backfilled"


async def test_an_author_no_longer_followed_is_gone_at_once_and_back_after_a_new_follow(
    world: World, reader: Reader
) -> None:
    await world.follow("alice", "bob", "star")
    posts = [await world.post("bob", ago_s=2), await world.post("star", ago_s=1)]
    assert await reader.ids("alice") == posts[::-1]
    for author in ("bob", "star"):
        await world.happen(world.an_unfollow("alice", author))
    assert await reader.ids("alice") == []
    await world.follow("alice", "bob", "star", backfilled=False)
    assert await reader.ids("alice") == posts[::-1]


async def test_deleted_posts_and_edits_show_at_once(world: World, reader: Reader) -> None:
    await world.follow("alice", "bob")
    first, second = await world.post("bob", ago_s=2), await world.post("bob", ago_s=1)
    assert await reader.ids("alice") == [second, first]
    await world.happen(world.an_edit(first, "edited"))
    await world.happen(world.a_deletion(second))
    (item,) = await reader.whole("alice")
    assert (item.content, item.edited_at) == ("edited", "2027-01-15T08:00:00.000Z")


@pytest.mark.parametrize("ranking", RANKINGS)
async def test_a_pointer_without_a_post_is_skipped(
    ranking: Ranking, world: World, reader: Reader
) -> None:
    await world.follow("alice", "bob")
    kept = [await world.post("bob", ago_s=n) for n in (1, 3)]
    nothing = Pointer(new_post_id(world.clock.now_ms() - 2000), "bob")
    await world.stores.timelines.push([nothing], ["alice"])
    page, missing = await reader.page("alice", ranking=ranking, limit=2)
    assert ([item.post_id for item in page.items], page.next_cursor, missing) == (kept, None, [])


@pytest.mark.parametrize("ranking", RANKINGS)
async def test_posts_of_an_author_who_left_are_gone_at_once_and_the_page_is_full_without_them(
    ranking: Ranking, world: World, reader: Reader
) -> None:
    await world.follow("alice", "bob", "carol", "star")
    for n in range(30):
        await world.post("bob" if n % 2 else "star", ago_s=n)
    kept = [await world.post("carol", ago_s=100 + n) for n in range(12)]
    first, _ = await reader.page("alice", ranking=ranking, limit=3)
    assert not {item.author_id for item in first.items} & {"carol"}
    for author in ("bob", "star"):
        await world.happen(a_departure(world, author))
    page, _ = await reader.page("alice", ranking=ranking, limit=10)
    assert [item.post_id for item in page.items] == kept[:10]
    rest, _ = await reader.page("alice", ranking=ranking, limit=100, cursor=first.next_cursor)
    assert {item.author_id for item in rest.items} == {"carol"}
    counted, _ = await reader.feeds.count_new("alice", kept[3])
    assert counted.count == 3


async def test_a_user_who_left_has_no_feed(world: World, reader: Reader) -> None:
    for n in range(3):
        await world.post("alice", ago_s=n)
    first, _ = await reader.page("alice", ranking="relevance", limit=1)
    await world.happen(a_departure(world, "alice"))
    for reading in (
        reader.page("alice"),
        reader.page("alice", ranking="relevance"),
        reader.page("alice", ranking="relevance", cursor=first.next_cursor),
        reader.feeds.newest("alice", 10),
        reader.feeds.count_new("alice", first.items[0].post_id),
        reader.read_posts("alice", viewer="alice", limit=10, cursor=None),
        reader.read_posts("alice", viewer="bob", limit=10, cursor=None),
    ):
        with pytest.raises(UserNotFound):
            await reading


async def test_a_feed_ends_at_the_retention_window_by_the_post_s_time(
    world: World, reader: Reader
) -> None:
    await world.follow("alice", "bob", "star")
    month_s = world.settings.retention_ms / 1000
    for author in ("bob", "star", "alice"):
        await world.post(author, ago_s=month_s + 1)
    inside = [await world.post(author, ago_s=month_s - 10) for author in ("bob", "star", "alice")]
    assert set(await reader.ids("alice")) == set(inside)
    world.clock.advance(11)
    assert await reader.ids("alice") == []


async def test_a_feed_is_as_deep_as_the_settings_say() -> None:
    world = World(settings=Settings(feed_depth=25))
    async with a_reader(world) as reader:
        await world.follow("alice", "bob")
        posts = [await world.post("bob", ago_s=100 - n) for n in range(40)]
        for limits in ([10], [25], [100], [7, 3, 1]):
            page_by_page: list[object] = []
            cursor, turn = None, 0
            while True:
                limit = limits[turn % len(limits)]
                page, _ = await reader.page("alice", limit=limit, cursor=cursor)
                page_by_page += [item.post_id for item in page.items]
                cursor, turn = page.next_cursor, turn + 1
                if cursor is None:
                    break
                assert len(page.items) == limit
            assert page_by_page == posts[:14:-1]


# --- pages ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ranking", RANKINGS)
async def test_a_page_that_ends_exactly_with_the_feed_has_no_next_cursor(
    ranking: Ranking, world: World, reader: Reader
) -> None:
    for n in range(10):
        await world.post("bob", ago_s=n + 1)
    page, _ = await reader.page("bob", ranking=ranking, limit=10)
    assert (len(page.items), page.next_cursor) == (10, None)


async def test_a_page_is_filled_up_past_deletions_and_leftover_pointers(
    world: World, reader: Reader
) -> None:
    await world.follow("alice", "bob", "carol")
    kept = [await world.post("bob", ago_s=2000 + n) for n in range(12)]
    for n in range(300):
        await world.post("carol", ago_s=1000 + n)
    await world.happen(world.an_unfollow("alice", "carol"))
    for n in range(60):
        await world.happen(world.a_deletion(await world.post("bob", ago_s=n)))
    page, _ = await reader.page("alice", limit=10)
    assert [item.post_id for item in page.items] == kept[:10]
    assert await reader.ids("alice") == kept


@pytest.mark.parametrize("ranking", RANKINGS)
async def test_posts_come_and_go_between_pages_and_none_is_shown_twice(
    ranking: Ranking, world: World, reader: Reader
) -> None:
    await world.follow("alice", "bob", "carol", "star")
    authors = ("bob", "carol", "star")
    posts = {await world.post(authors[n % 3], ago_s=10 + n): authors[n % 3] for n in range(15)}
    first, _ = await reader.page("alice", ranking=ranking, limit=4)
    shown = [item.post_id for item in first.items]
    for author in authors:
        await world.post(author)
    deleted = next(post_id for post_id, by in posts.items() if by == "bob" and post_id not in shown)
    await world.happen(world.a_deletion(deleted))
    await world.happen(world.an_unfollow("alice", "carol"))
    cursor = first.next_cursor
    while cursor:
        page, _ = await reader.page("alice", ranking=ranking, limit=3, cursor=cursor)
        shown += [item.post_id for item in page.items]
        cursor = page.next_cursor
    assert len(shown) == len(set(shown))
    stayed = {post_id for post_id, by in posts.items() if by != "carol" and post_id != deleted}
    assert stayed <= set(shown)
    later = set(shown[4:])
    assert deleted not in later
    assert not {post_id for post_id in later if posts.get(post_id) == "carol"}


async def test_a_cursor_is_bound_to_its_user_and_its_ranking(world: World, reader: Reader) -> None:
    for author in ("alice", "bob"):
        for n in range(3):
            await world.post(author, ago_s=n)
    for ranking, other in (RANKINGS, RANKINGS[::-1]):
        page, _ = await reader.page("alice", ranking=ranking, limit=1)
        for viewer, asked in (("bob", ranking), ("alice", other)):
            with pytest.raises(Invalid):
                await reader.page(viewer, ranking=asked, cursor=page.next_cursor)


# --- relevance -----------------------------------------------------------------------------------------


async def test_a_loud_celebrity_has_five_posts_in_the_selection_and_the_rest_fill_it(
    world: World, reader: Reader
) -> None:
    await world.follow("alice", "bob", "star")
    for n in range(150):
        await world.post("star", ago_s=n)
    quiet = [await world.post("bob", ago_s=1000 + n) for n in range(20)]
    items = await reader.whole("alice", ranking="relevance")
    assert Counter(item.author_id for item in items) == {"star": 5, "bob": 20}
    assert [item.post_id for item in items[5:]] == quiet


async def test_five_posts_of_a_celebrity_are_five_that_are_not_deleted(
    world: World, reader: Reader
) -> None:
    await world.follow("alice", "star")
    posts = [await world.post("star", ago_s=n) for n in range(120)]
    for post_id in posts[:70]:
        await world.happen(world.a_deletion(post_id, by="star"))
    assert await reader.ids("alice", ranking="relevance") == posts[70:75]


async def test_the_selection_is_the_window_of_the_newest(world: World, reader: Reader) -> None:
    await world.follow("alice", "bob")
    posts = [await world.post("bob", ago_s=n) for n in range(130)]
    assert await reader.ids("alice", ranking="relevance", limits=[30, 7]) == posts[:100]


async def test_a_ranking_is_the_same_set_in_the_same_order_whatever_happens_between_its_pages(
    world: World, reader: Reader
) -> None:
    await world.follow("alice", "bob", "star")
    for n in range(12):
        await world.post("bob", ago_s=1000 * n)
        await world.post("star", ago_s=1000 * n + 500)
    whole = await reader.ids("alice", ranking="relevance")
    assert len(whole) == 17
    page, _ = await reader.page("alice", ranking="relevance", limit=4)
    shown = [item.post_id for item in page.items]
    await world.follow("alice", "carol")
    while page.next_cursor is not None:
        # New ones, and ones that come late into the time that the ranking covers.
        for author in ("bob", "star", "carol"):
            for ago_s in (0, 250, 5250):
                await world.post(author, ago_s=ago_s)
        for post_id in whole[-3:]:
            await world.happen(a_like(world, "bob", post_id))
        world.clock.advance(1)
        page, _ = await reader.page("alice", ranking="relevance", limit=3, cursor=page.next_cursor)
        shown += [item.post_id for item in page.items]
    assert shown == whole


async def test_a_ranking_leaves_out_posts_that_are_gone_and_keeps_the_rest(
    world: World, reader: Reader
) -> None:
    await world.follow("alice", "bob", "carol", "star")
    for n in range(6):
        for author in ("bob", "carol", "star"):
            await world.post(author, ago_s=100 * n)
    whole = await reader.whole("alice", ranking="relevance")
    first, _ = await reader.page("alice", ranking="relevance", limit=3)
    gone = next(item.post_id for item in whole[3:] if item.author_id == "star")
    await world.happen(world.a_deletion(gone, by="star"))
    await world.happen(world.an_unfollow("alice", "carol"))
    rest, _ = await reader.page("alice", ranking="relevance", limit=100, cursor=first.next_cursor)
    assert [item.post_id for item in rest.items] == [
        item.post_id for item in whole[3:] if item.author_id != "carol" and item.post_id != gone
    ]
    assert rest.next_cursor is None


@pytest.mark.parametrize("deleted", [0, 20])
async def test_a_later_page_finds_a_celebritys_ranked_posts_behind_deleted_and_late_ones(
    deleted: int,
) -> None:
    world = World(settings=Settings(relevance_window=4), celebrities={"star"})
    await world.follow("alice", "star")
    newest, *posts = [await world.post("star", ago_s=1000 * n) for n in range(deleted + 4)]
    for post_id in posts[:deleted]:
        await world.happen(world.a_deletion(post_id, by="star"))
    async with a_reader(world) as reader:
        first, _ = await reader.page("alice", ranking="relevance", limit=1)
        for n in range(4):
            await world.post("star", ago_s=100 * (n + 1))
        world.clock.advance(1)
        rest, _ = await reader.page("alice", ranking="relevance", cursor=first.next_cursor)
        shown = [item.post_id for item in (*first.items, *rest.items)]
        assert shown == [newest, *posts[deleted:]]


async def test_a_later_page_does_not_read_a_loud_celebrity_to_the_end(
    world: World, reader: Reader
) -> None:
    await world.follow("alice", "bob", "star")
    for n in range(1000):
        await world.post("star", ago_s=n)
    for n in range(10):
        await world.post("bob", ago_s=2000 + n)
    first, _ = await reader.page("alice", ranking="relevance", limit=3)
    before = world.timelines.calls["pulled"]
    rest, _ = await reader.page("alice", ranking="relevance", limit=20, cursor=first.next_cursor)
    assert Counter(item.author_id for item in rest.items) == {"star": 2, "bob": 10}
    assert world.timelines.calls["pulled"] - before <= 6


# --- what a read costs ---------------------------------------------------------------------------------


@pytest.mark.parametrize("ranking", RANKINGS)
async def test_a_page_takes_one_query_of_the_timeline(
    ranking: Ranking, world: World, reader: Reader
) -> None:
    await world.follow("alice", "bob")
    for n in range(300):
        post_id = await world.post("bob", ago_s=n)
        if n % 10 == 0:
            await world.happen(world.a_deletion(post_id))
    await reader.page("alice", ranking=ranking, limit=10)
    assert world.timelines.calls["timeline"] == 1


async def test_a_selection_does_not_read_a_loud_celebrity_to_the_end(
    world: World, reader: Reader
) -> None:
    await world.follow("alice", "star")
    for n in range(1000):
        await world.post("star", ago_s=n)
    await reader.page("alice", ranking="relevance")
    assert world.timelines.calls["pulled"] <= 3


async def test_the_posts_of_a_long_silent_celebrity_are_not_read(
    world: World, reader: Reader
) -> None:
    await world.follow("alice", "star")
    post_id = await world.post("star")
    assert await reader.ids("alice") == [post_id]
    world.clock.advance((world.settings.retention_ms + 2 * MS_PER_DAY) / 1000)
    world.timelines.calls.clear()
    assert await reader.ids("alice") == []
    assert world.timelines.calls["pulled"] == 0


# --- when a store is unavailable ------------------------------------------------------------------------------


@pytest.fixture
async def busy(world: World) -> World:
    """Alice has an own post, one pushed, one pulled."""
    await world.follow("alice", "bob", "star")
    for ago_s, author in enumerate(("alice", "bob", "star")):
        await world.post(author, ago_s=ago_s)
    return world


class Away(NamedTuple):
    """A store's method that doesn't answer, the sources that are then named, and the authors whose posts remain."""

    store: str
    method: str
    named: str
    remain: set[str]


AWAY = [
    Away("timelines", "timeline", "timeline", {"alice", "star"}),
    Away("timelines", "pulled", "celebrities", {"alice", "bob"}),
    Away("pulled_authors", "announced", "celebrities", {"alice", "bob"}),
    Away("graph", "following", "graph", {"alice"}),
    Away("graph", "mutes", "graph", {"alice"}),
    Away("graph", "blocks_with", "graph", {"alice"}),
    Away("graph", "get", "graph", {"alice"}),
    Away("posts", "by_author", "posts", {"bob", "star"}),
    Away("likes", "recent", "likes", {"alice", "bob", "star"}),
]


@pytest.mark.parametrize("ranking", RANKINGS)
@pytest.mark.parametrize("how", ["away", "hanging"])
@pytest.mark.parametrize("away", AWAY, ids=lambda away: away.method)
def test_an_unavailable_source_is_left_out_and_named(
    busy: World, away: Away, how: str, ranking: Ranking
) -> None:
    getattr(getattr(busy, away.store), how).add(away.method)

    async def read() -> None:
        async with a_reader(busy) as reader:
            page, missing = await reader.page("alice", ranking=ranking)
            assert {item.author_id for item in page.items} == away.remain
            assert (page.complete, missing) == (False, [away.named])
            getattr(getattr(busy, away.store), how).clear()
            page, missing = await reader.page("alice", ranking=ranking)
            assert {item.author_id for item in page.items} == {"alice", "bob", "star"}
            assert (page.complete, missing) == (True, [])

    run_on_virtual_time(read())


@pytest.mark.parametrize("ranking", RANKINGS)
async def test_without_any_source_there_is_no_page(busy: World, ranking: Ranking) -> None:
    busy.timelines.away |= {"timeline", "pulled"}
    busy.pulled_authors.away |= {"page", "announced"}
    busy.posts.away.add("by_author")
    async with a_reader(busy) as reader:
        with pytest.raises(Unavailable):
            await reader.page("alice", ranking=ranking)


@pytest.mark.parametrize("ranking", RANKINGS)
async def test_without_the_graph_and_own_posts_there_is_no_page(
    busy: World, ranking: Ranking
) -> None:
    busy.graph.away.add("following")
    busy.posts.away.add("by_author")
    async with a_reader(busy) as reader:
        with pytest.raises(Unavailable):
            await reader.page("alice", ranking=ranking)


@pytest.mark.parametrize("ranking", RANKINGS)
async def test_without_any_content_there_is_no_page(busy: World, ranking: Ranking) -> None:
    busy.posts.away.add("get")
    async with a_reader(busy) as reader:
        with pytest.raises(Unavailable):
            await reader.page("alice", ranking=ranking)


async def test_without_content_cached_posts_are_shown_and_posts_is_named(busy: World) -> None:
    async with a_reader(busy, kept_s=SHARED_S) as reader:
        await reader.page("alice")
        newer = await busy.post("bob")
        busy.posts.away.add("get")
        page, missing = await reader.page("alice")
    assert {item.author_id for item in page.items} == {"alice", "bob", "star"}
    assert newer not in [item.post_id for item in page.items]
    assert (page.complete, missing) == (False, ["posts"])
    assert page.next_cursor, "the feed has not ended, it only can't be read on now"


async def test_by_relevance_only_what_is_shown_is_read_with_content_and_name(
    world: World, reader: Reader
) -> None:
    authors = [f"author-{n:03}" for n in range(60)]
    await world.follow("alice", *authors)
    for n, author in enumerate(authors):
        await world.post(author, ago_s=n)
    gone = await world.post("author-000")
    await world.happen(world.a_deletion(gone, by="author-000"))
    asked: dict[str, int] = {}

    def noting(store: FaultyStore, method: str) -> None:
        read = getattr(store, method)

        async def noted(keys: Collection[Any]) -> Any:
            asked[method] = asked.get(method, 0) + len(keys)
            return await read(keys)

        store.__dict__[method] = noted

    noting(world.posts, "get")
    noting(world.posts, "counted")
    noting(world.graph, "get_many")
    page, _ = await reader.page("alice", ranking="relevance")
    assert len(page.items) == 10
    assert gone not in [item.post_id for item in page.items]
    assert asked == {"counted": 61, "get": 11, "get_many": 11}


async def test_one_unavailable_celebrity_does_not_hide_the_others(
    world: World, reader: Reader
) -> None:
    world.celebrities |= {"dark"}
    await world.follow("alice", "star", "dark")
    shown = await world.post("star", ago_s=1)
    await world.post("dark")
    healthy = world.stores.timelines.pulled

    async def pulled(author_id: str, **how: object) -> object:
        if author_id == "dark":
            raise Unavailable("one partition is away")
        return await healthy(author_id, **how)  # type: ignore[arg-type]

    world.timelines.__dict__["pulled"] = pulled
    page, missing = await reader.page("alice")
    assert [item.post_id for item in page.items] == [shown]
    assert missing == ["celebrities"]


async def test_a_frozen_ranking_loses_no_post_while_a_source_is_unavailable(
    busy: World,
) -> None:
    for n in range(6):
        await busy.post("bob", ago_s=10 + n)
    async with a_reader(busy) as reader:
        whole = await reader.ids("alice", ranking="relevance")
        first, _ = await reader.page("alice", ranking="relevance", limit=3)
        busy.graph.away.add("following")
        with pytest.raises(Unavailable):
            await reader.page("alice", ranking="relevance", cursor=first.next_cursor)
        busy.graph.away.clear()
        rest, _ = await reader.page("alice", ranking="relevance", cursor=first.next_cursor)
        assert [item.post_id for item in (*first.items, *rest.items)] == whole


async def test_a_client_that_hangs_up_cancels_no_other_request_s_load(busy: World) -> None:
    async with a_reader(busy, kept_s=SHARED_S) as reader:
        release = busy.posts.pause_after("get")
        impatient = asyncio.create_task(reader.page("alice"))
        patient = asyncio.create_task(reader.page("alice"))
        await busy.posts.until_paused("get")
        impatient.cancel()
        await asyncio.wait([impatient])
        release()
        page, _ = await patient
    assert len(page.items) == 3
    assert busy.posts.calls["get"] == 1


async def test_while_users_are_away_authors_without_a_cached_name_are_shown_by_id(
    busy: World,
) -> None:
    for user in ("bob", "star"):
        await busy.happen(busy.a_name(user, user.capitalize()))
    async with a_reader(busy, kept_s=SHARED_S) as reader:
        await reader.page("alice")
        await busy.follow("alice", "new")
        await busy.post("new")
        busy.graph.away.add("get_many")
        page, missing = await reader.page("alice")
    assert {item.author for item in page.items} == {"alice", "Bob", "Star", "new"}
    assert missing == ["graph"]


# --- an author's posts ---------------------------------------------------------------------------------


async def test_an_author_s_posts_reach_back_to_the_first(world: World, reader: Reader) -> None:
    year_s = 366 * MS_PER_DAY / 1000
    posts = [await world.post("bob", ago_s=n * year_s / 50) for n in range(50)]
    for post_id in posts[5:40]:
        await world.happen(world.a_deletion(post_id))
    live = posts[:5] + posts[40:]
    shown: list[object] = []
    cursor = None
    while True:
        page = await reader.read_posts("bob", viewer="alice", limit=4, cursor=cursor)
        shown += [item.post_id for item in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
        assert len(page.items) == 4
    assert shown == live


async def test_an_author_exists_with_a_name_or_with_posts(world: World, reader: Reader) -> None:
    await world.happen(world.a_name("named", "Named"))
    await world.post("poster")
    assert (await reader.read_posts("named", viewer="alice", limit=5, cursor=None)).items == []
    assert [
        item.author
        for item in (await reader.read_posts("poster", viewer="alice", limit=5, cursor=None)).items
    ] == ["poster"]
    with pytest.raises(UserNotFound):
        await reader.read_posts("nobody", viewer="alice", limit=5, cursor=None)


async def test_a_list_of_posts_is_whole_or_refused(world: World, reader: Reader) -> None:
    await world.post("bob")
    for door, method in (
        *((world.posts, "by_author"), (world.posts, "get"), (world.likes, "recent")),
        *((world.graph, "get_many"), (world.graph, "blocks_between")),
    ):
        door.away.add(method)
        with pytest.raises((Unavailable, EngineAway)):
            await reader.read_posts("bob", viewer="alice", limit=5, cursor=None)
        door.away.clear()
