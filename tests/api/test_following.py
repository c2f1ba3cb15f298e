"""Following, unfollowing, and the pages of both lists."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from fanfold.core.clock import rfc3339
from fanfold.core.events import UserFollowed, UserUnfollowed
from fanfold.core.ports import FollowerEdge, User
from fanfold.core.settings import Settings
from fanfold.http.cursors import encode_cursor
from graph_service import lists
from graph_service.lists import MOST_SORTED, READS_A_REQUEST, ROWS_A_READ
from tests.support.app import WriteSide, a_write_side


async def follow(api: WriteSide, follower: str, followee: str) -> httpx2.Response:
    return await api("PUT", f"/users/{follower}/following/{followee}", actor=follower)


async def unfollow(api: WriteSide, follower: str, followee: str) -> httpx2.Response:
    return await api("DELETE", f"/users/{follower}/following/{followee}", actor=follower)


async def pages(api: WriteSide, path: str, *, limit: int) -> list[list[str]]:
    """The ids on each page, from first to last."""
    found, cursor = [], ""
    while True:
        page = (await api("GET", path, params={"limit": limit, "cursor": cursor})).json()
        found.append([item["user_id"] for item in page["items"]])
        if page["next_cursor"] is None:
            return found
        cursor = page["next_cursor"]


async def test_a_follow_is_in_the_log_and_then_on_both_lists(api: WriteSide) -> None:
    await api.registered("alice", "bob")
    at = rfc3339(api.clock.now_ms())
    followed = await follow(api, "alice", "bob")
    assert followed.status_code == 204
    assert followed.headers["fanfold-position"].startswith("graph.v1/")
    await api.project()
    following = (await api("GET", "/users/alice/following")).json()
    followers = (await api("GET", "/users/bob/followers")).json()
    shown = {"avatar_url": None, "since": at}
    bob = {"following": True, "followed_by": False, "muted": False, "blocked": False}
    assert following == {
        "items": [{"user_id": "bob", "display_name": "Bob", **shown, "viewer": bob}],
        "order": "newest",
        "next_cursor": None,
    }
    oneself = dict.fromkeys(bob, False)
    assert followers == {
        "items": [{"user_id": "alice", "display_name": "Alice", **shown, "viewer": oneself}],
        "order": "newest",
        "next_cursor": None,
    }


async def test_a_second_follow_does_not_renew_since(api: WriteSide) -> None:
    await api.registered("bob")
    await follow(api, "alice", "bob")
    await api.project()
    first = (await api("GET", "/users/alice/following")).json()
    api.clock.advance(10)
    assert (await follow(api, "alice", "bob")).status_code == 204
    await api.project()
    assert (await api("GET", "/users/alice/following")).json() == first


async def test_an_unfollow_is_idempotent_and_takes_both_off_the_lists(api: WriteSide) -> None:
    await api.registered("alice", "bob")
    await follow(api, "alice", "bob")
    for _ in range(2):
        assert (await unfollow(api, "alice", "bob")).status_code == 204
        await api.project()
    assert await pages(api, "/users/alice/following", limit=10) == [[]]
    assert await pages(api, "/users/bob/followers", limit=10) == [[]]
    assert (await api("GET", "/users/bob")).json()["follower_count"] == 0


async def test_a_follow_made_before_an_earlier_unfollow_is_projected_is_kept(
    api: WriteSide,
) -> None:
    await api.registered("bob")
    await follow(api, "alice", "bob")
    await api.project()
    await unfollow(api, "alice", "bob")  # the tables still show the follow
    await follow(api, "alice", "bob")
    await api.project()
    assert await pages(api, "/users/alice/following", limit=10) == [["bob"]]


async def test_only_the_follower_can_follow_or_unfollow(api: WriteSide) -> None:
    await api.registered("alice", "bob")
    for method in ("PUT", "DELETE"):
        refused = await api(method, "/users/alice/following/bob", actor="mallory")
        assert refused.status_code == 403
    assert not any(isinstance(event, UserFollowed | UserUnfollowed) for event in await api.events())


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_following_oneself_is_refused(api: WriteSide, method: str) -> None:
    await api.registered("alice")
    refused = await api(method, "/users/alice/following/alice")
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "target_id"


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_an_unregistered_target_is_404(api: WriteSide, method: str) -> None:
    assert (await api(method, "/users/alice/following/nobody")).status_code == 404
    assert await api.events() == []


async def test_following_more_than_the_maximum_is_409_until_someone_is_unfollowed() -> None:
    async with a_write_side(Settings(max_following=2)) as api:
        await api.registered("a", "b", "c")
        for followee in ("a", "b"):
            await follow(api, "alice", followee)
        await api.project()
        assert (await follow(api, "alice", "c")).status_code == 409
        assert (await follow(api, "alice", "b")).status_code == 204
        await unfollow(api, "alice", "a")
        await api.project()
        assert (await follow(api, "alice", "c")).status_code == 204


@pytest.mark.slow
async def test_pages_are_full_although_many_unfollowed() -> None:
    async with a_write_side(Settings(bucket_followers=4)) as api:
        followers = [f"f{n:02}" for n in range(40)]
        await api.registered("star", *followers)
        for follower in followers:
            await follow(api, follower, "star")
            await api.project()  # one by one, so that several generations of buckets are used
        for follower in followers[::3]:
            await unfollow(api, follower, "star")
        await api.project()
        stay = {follower for n, follower in enumerate(followers) if n % 3}
        got = await pages(api, "/users/star/followers", limit=7)
        assert [len(page) for page in got] == [7, 7, 7, 5]
        assert sorted(user_id for page in got for user_id in page) == sorted(stay)


async def test_a_page_is_full_although_most_followers_of_one_bucket_unfollowed() -> None:
    async with a_write_side(Settings(bucket_followers=4096)) as api:
        followers = [f"f{n:02}" for n in range(30)]
        await api.registered("star", *followers)
        for follower in followers:
            await follow(api, follower, "star")
        for follower in followers[:20]:
            await unfollow(api, follower, "star")
        await api.project()
        got = await pages(api, "/users/star/followers", limit=3)
        assert got == [followers[20:23], followers[23:26], followers[26:29], followers[29:]]


async def test_the_page_that_ends_a_list_is_its_last(api: WriteSide) -> None:
    await api.registered("a", "b", "c", "d")
    for followee in ("a", "b", "c", "d"):
        await follow(api, "alice", followee)
        await follow(api, followee, "a") if followee != "a" else None
    await api.project()
    assert await pages(api, "/users/alice/following", limit=2) == [["a", "b"], ["c", "d"]]
    assert [len(page) for page in await pages(api, "/users/a/followers", limit=4)] == [4]


async def test_a_limit_may_change_between_pages(api: WriteSide) -> None:
    await api.registered("a", "b", "c", "d")
    for followee in ("a", "b", "c", "d"):
        await follow(api, "alice", followee)
    await api.project()
    first = (await api("GET", "/users/alice/following?limit=1")).json()
    rest = await api(
        "GET", "/users/alice/following", params={"limit": 100, "cursor": first["next_cursor"]}
    )
    assert [item["user_id"] for item in rest.json()["items"]] == ["b", "c", "d"]


async def test_lists_of_the_unknown_are_404_but_ones_own_is_empty(api: WriteSide) -> None:
    for list_name in ("following", "followers"):
        assert (await api("GET", f"/users/nobody/{list_name}")).status_code == 404
        assert (await api("GET", f"/users/alice/{list_name}")).json()["items"] == []


async def test_without_the_log_follows_are_503(api: WriteSide) -> None:
    await api.registered("bob")
    api.log.away = True
    for refused in (await follow(api, "alice", "bob"), await unfollow(api, "alice", "bob")):
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert "the log" in refused.json()["detail"]
    assert len(await api.events()) == 1


async def test_without_the_tables_follows_and_lists_are_503(api: WriteSide) -> None:
    await api.registered("bob")
    api.tables.away = True
    for refused in (
        await follow(api, "alice", "bob"),
        await unfollow(api, "alice", "bob"),
        await api("GET", "/users/bob/followers"),
        await api("GET", "/users/bob/following"),
    ):
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert "the tables" in refused.json()["detail"]
    assert len(await api.events()) == 1


async def seeded(api: WriteSide, edges: int, *, generation: int = 0) -> None:
    """An author whose followers have all left again, but for the last one."""
    await api.registered("star")
    stores = api.pipeline.stores
    await stores.users.write_follower_count(
        User("star", follower_count=1, generation=generation), offset=edges
    )
    await stores.follows.write_followers(
        "star",
        [FollowerEdge(f"f{n:05}", generation, n == edges - 1, 0, n, n) for n in range(edges)],
    )


def counted_reads(api: WriteSide, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows that each read of followers may return."""
    reads: list[int] = []
    followers = type(api.pipeline.stores.follows).followers

    async def counting(self: Any, *where: Any, limit: int, **more: Any) -> list[FollowerEdge]:
        reads.append(limit)
        return await followers(self, *where, limit=limit, **more)

    monkeypatch.setattr(type(api.pipeline.stores.follows), "followers", counting)
    return reads


@pytest.mark.slow
@pytest.mark.parametrize("limit", [1, 20, 100])
async def test_a_request_passes_a_bounded_number_of_ended_follows(
    monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    async with a_write_side(Settings(bucket_followers=100_000)) as api:
        await seeded(api, 30_000)
        reads = counted_reads(api, monkeypatch)
        first = (await api("GET", "/users/star/followers", params={"limit": limit})).json()
        assert first["items"] == []
        assert first["next_cursor"] is not None, "the list goes on behind a short page"
        assert first["order"] == "stable"
        assert reads.pop(0) == MOST_SORTED + 1, "one read tells that they can't be sorted"
        assert len(reads) <= READS_A_REQUEST
        assert min(reads) >= ROWS_A_READ
        found = [
            name for page in await pages(api, "/users/star/followers", limit=limit) for name in page
        ]
        assert found == ["f29999"]


async def test_a_generation_of_empty_buckets_takes_a_bounded_number_of_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with a_write_side() as api:
        await seeded(api, 1, generation=3)
        reads = counted_reads(api, monkeypatch)
        page = (await api("GET", "/users/star/followers")).json()
        assert len(reads) <= READS_A_REQUEST
        found = [item["user_id"] for item in page["items"]]
        while page["next_cursor"]:
            reads.clear()
            query = {"cursor": page["next_cursor"]}
            page = (await api("GET", "/users/star/followers", params=query)).json()
            assert len(reads) <= READS_A_REQUEST
            found += [item["user_id"] for item in page["items"]]
        assert found == ["f00000"]


@pytest.fixture
async def roomy() -> AsyncIterator[WriteSide]:
    """Buckets of followers as they are by default: small ones would be several partitions."""
    async with a_write_side(Settings()) as write_side:
        yield write_side


async def test_the_newest_follower_comes_first_on_every_page(roomy: WriteSide) -> None:
    api = roomy
    order = ["dave", "bob", "erin", "carol", "frank"]
    await api.registered("alice", *order)
    for follower in order:
        api.clock.advance(1)
        await follow(api, follower, "alice")
    await api.project()
    expected = order[::-1]
    for limit in (1, 2, 5):
        got = await pages(api, "/users/alice/followers", limit=limit)
        assert [user_id for page in got for user_id in page] == expected
        assert {len(page) for page in got[:-1]} <= {limit}
    first = (await api("GET", "/users/alice/followers?limit=2")).json()
    assert first["order"] == "newest"
    # One comes and one goes between two pages: the rest is neither repeated nor skipped.
    await api.registered("gina")
    api.clock.advance(1)
    await follow(api, "gina", "alice")
    await unfollow(api, "bob", "alice")
    await api.project()
    query = {"cursor": first["next_cursor"]}
    rest = (await api("GET", "/users/alice/followers", params=query)).json()
    assert [item["user_id"] for item in rest["items"]] == ["erin", "dave"]
    assert (await pages(api, "/users/alice/followers", limit=9))[0][0] == "gina"


async def test_a_list_of_followers_keeps_its_order_while_it_grows_too_long_to_sort(
    roomy: WriteSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = roomy
    names = ["a", "b", "c", "d"]
    await api.registered("star", *names)
    for follower in names[::-1]:
        api.clock.advance(1)
        await follow(api, follower, "star")
    await api.project()
    sorted_first = (await api("GET", "/users/star/followers?limit=2")).json()
    assert [item["user_id"] for item in sorted_first["items"]] == ["a", "b"]
    monkeypatch.setattr(lists, "MOST_SORTED", 3)
    by_id = (await api("GET", "/users/star/followers?limit=3")).json()
    assert by_id["order"] == "stable"
    refused = await api(
        "GET", "/users/star/followers", params={"cursor": sorted_first["next_cursor"]}
    )
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "cursor")
    # And back: a list that was not sorted goes on as it began.
    monkeypatch.setattr(lists, "MOST_SORTED", 2_000)
    rest = await api("GET", "/users/star/followers", params={"cursor": by_id["next_cursor"]})
    assert [item["user_id"] for item in rest.json()["items"]] == ["d"]
    assert rest.json()["order"] == "stable"


@pytest.mark.parametrize("place", ["1.0.", "4.65535.x", "4.0.", "0.1.x", "-1.0.x", "9.0.x"])
async def test_a_forged_cursor_into_buckets_that_do_not_exist_is_refused(
    api: WriteSide, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    await seeded(api, 1)
    reads = counted_reads(api, monkeypatch)
    cursor = encode_cursor(place.encode(), scope="followers:star")
    answer = await api("GET", "/users/star/followers", params={"cursor": cursor})
    assert answer.status_code == 422
    assert reads == []


async def test_the_newest_follow_comes_first_on_every_page(api: WriteSide) -> None:
    order = ["dave", "bob", "erin", "carol"]
    await api.registered("alice", *order)
    for followee in order:
        api.clock.advance(1)
        await follow(api, "alice", followee)
    await api.project()
    expected = order[::-1]
    assert await pages(api, "/users/alice/following", limit=10) == [expected]
    assert await pages(api, "/users/alice/following", limit=3) == [expected[:3], expected[3:]]
    # Followed again, a user is the newest one.
    await unfollow(api, "alice", "dave")
    api.clock.advance(1)
    await follow(api, "alice", "dave")
    await api.project()
    assert (await pages(api, "/users/alice/following", limit=10))[0][0] == "dave"


async def test_follows_of_one_moment_are_each_on_one_page(api: WriteSide) -> None:
    names = [f"u{n:02}" for n in range(7)]
    await api.registered("alice", *names)
    for followee in names:
        await follow(api, "alice", followee)
    await api.project()
    got = await pages(api, "/users/alice/following", limit=2)
    assert [user_id for page in got for user_id in page] == names


@pytest.mark.parametrize(
    "payload", [b"", b"x", b".bob", b"12", b"12.", b"-1.bob", b"\xff.bob", b"9" * 19 + b".b"]
)
async def test_a_forged_cursor_of_follows_is_422(api: WriteSide, payload: bytes) -> None:
    await api.registered("alice")
    cursor = encode_cursor(payload, scope="following:alice")
    answer = await api("GET", "/users/alice/following", params={"cursor": cursor})
    assert answer.status_code == 422
