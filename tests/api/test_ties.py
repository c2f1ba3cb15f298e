"""Muting and blocking: what they append, what is refused, and one's own lists of both."""

from __future__ import annotations

import httpx2
import pytest

from fanfold.core.clock import rfc3339
from fanfold.core.events import UserBlocked, UserFollowed, UserUnfollowed, from_ms
from fanfold.core.settings import Settings
from fanfold.http.positions import Written
from tests.support.app import WriteSide, a_write_side
from tests.support.clock import START_MS

LISTS = ("muted", "blocked")
on_both_lists = pytest.mark.parametrize("list_name", LISTS)
either_way = pytest.mark.parametrize("method", ["PUT", "DELETE"])


async def tie(api: WriteSide, list_name: str, user: str, target: str) -> httpx2.Response:
    return await api("PUT", f"/users/{user}/{list_name}/{target}", actor=user)


async def untie(api: WriteSide, list_name: str, user: str, target: str) -> httpx2.Response:
    return await api("DELETE", f"/users/{user}/{list_name}/{target}", actor=user)


async def follow(api: WriteSide, follower: str, followee: str) -> httpx2.Response:
    return await api("PUT", f"/users/{follower}/following/{followee}", actor=follower)


async def listed(api: WriteSide, list_name: str, user: str = "alice") -> list[str]:
    page = await api("GET", f"/users/{user}/{list_name}", actor=user, params={"limit": 100})
    assert page.status_code == 200, page.text
    return [item["user_id"] for item in page.json()["items"]]


async def kinds(api: WriteSide) -> list[str]:
    """The events so far but the registrations, by their types."""
    names = [type(event).__name__ for event in await api.events()]
    return [name for name in names if name != "UserRegistered"]


@on_both_lists
async def test_a_tie_is_in_the_log_and_then_on_the_users_list(
    api: WriteSide, list_name: str
) -> None:
    await api.registered("alice", "bob")
    at = rfc3339(api.clock.now_ms())
    made = await tie(api, list_name, "alice", "bob")
    assert (made.status_code, made.content) == (204, b"")
    topics = [position.split("/")[0] for position in made.headers["fanfold-position"].split(", ")]
    ended = ["graph.v1", "graph.v1"] if list_name == "blocked" else []
    assert topics == [*ended, "ties.v1"]
    await api.project()
    page = (await api("GET", f"/users/alice/{list_name}")).json()
    viewer = {"following": False, "followed_by": False, "muted": False, "blocked": False}
    bob = {"user_id": "bob", "display_name": "Bob", "avatar_url": None, "since": at}
    assert page == {
        "items": [{**bob, "viewer": {**viewer, list_name: True}}],
        "order": "newest",
        "next_cursor": None,
    }
    assert await listed(api, list_name, "bob") == [], "the other user doesn't see it"


@on_both_lists
async def test_a_second_tie_does_not_renew_since(api: WriteSide, list_name: str) -> None:
    await api.registered("bob")
    await tie(api, list_name, "alice", "bob")
    await api.project()
    first = (await api("GET", f"/users/alice/{list_name}")).json()
    api.clock.advance(10)
    assert (await tie(api, list_name, "alice", "bob")).status_code == 204
    await api.project()
    assert (await api("GET", f"/users/alice/{list_name}")).json() == first


@on_both_lists
async def test_a_tie_can_be_ended_repeatedly_and_made_again(api: WriteSide, list_name: str) -> None:
    await api.registered("bob")
    await tie(api, list_name, "alice", "bob")
    for _ in range(2):
        ended = await untie(api, list_name, "alice", "bob")
        assert (ended.status_code, ended.content) == (204, b"")
        assert "fanfold-position" in ended.headers
        await api.project()
        assert await listed(api, list_name) == []
    await tie(api, list_name, "alice", "bob")
    await api.project()
    assert await listed(api, list_name) == ["bob"]


@on_both_lists
async def test_a_tie_made_before_its_earlier_end_is_projected_is_kept(
    api: WriteSide, list_name: str
) -> None:
    await api.registered("bob")
    await tie(api, list_name, "alice", "bob")
    await api.project()
    await untie(api, list_name, "alice", "bob")  # the tables still show it
    await tie(api, list_name, "alice", "bob")
    await api.project()
    assert await listed(api, list_name) == ["bob"]


async def test_mutes_and_blocks_are_two_things(api: WriteSide) -> None:
    await api.registered("bob", "carol")
    await tie(api, "muted", "alice", "bob")
    await tie(api, "blocked", "alice", "carol")
    await api.project()
    assert (await listed(api, "muted"), await listed(api, "blocked")) == (["bob"], ["carol"])
    assert await kinds(api) == ["UserMuted", "UserUnfollowed", "UserUnfollowed", "UserBlocked"]
    await untie(api, "blocked", "alice", "bob")
    await untie(api, "muted", "alice", "carol")
    await api.project()
    assert (await listed(api, "muted"), await listed(api, "blocked")) == (["bob"], ["carol"])
    assert (await kinds(api))[-2:] == ["UserUnblocked", "UserUnmuted"]


async def test_a_block_ends_the_follows_of_both_before_it_is_made(api: WriteSide) -> None:
    await api.registered("alice", "bob")
    await follow(api, "alice", "bob")
    await follow(api, "bob", "alice")
    await api.project()
    before = len(await api.events())
    blocked = await tie(api, "blocked", "alice", "bob")
    first, second, third = (await api.events())[before:]
    assert isinstance(first, UserUnfollowed)
    assert isinstance(second, UserUnfollowed)
    assert {(event.follower_id, event.followee_id) for event in (first, second)} == {
        ("alice", "bob"),
        ("bob", "alice"),
    }
    assert isinstance(third, UserBlocked)
    assert (third.user_id, third.target_id) == ("alice", "bob")
    await api.project()
    for user in ("alice", "bob"):
        assert (await api("GET", f"/users/{user}")).json()["follower_count"] == 0
        for path in (f"/users/{user}/following", f"/users/{user}/followers"):
            assert (await api("GET", path, actor=user)).json()["items"] == []
    # All three are named, so that a read that waits for them waits for the whole block.
    named = [Written.parse(text) for text in blocked.headers["fanfold-position"].split(", ")]
    records = [await api.pipeline.log.read(written.position) for written in named]
    assert [record.event() for record in records if record] == [first, second, third]
    assert [written.changes for written in named] == [
        event.changes() for event in (first, second, third)
    ]


@pytest.mark.parametrize(("by", "of"), [("alice", "bob"), ("bob", "alice")])
async def test_a_follow_across_a_block_is_refused_until_the_block_ends(
    api: WriteSide, by: str, of: str
) -> None:
    await api.registered("alice", "bob", "carol")
    await tie(api, "blocked", by, of)
    await api.project()
    before = await kinds(api)
    for follower, followee in (("alice", "bob"), ("bob", "alice")):
        refused = await follow(api, follower, followee)
        assert refused.status_code == 403
        assert refused.json()["type"] == "urn:fanfold:problem:blocked"
        assert (await follow(api, follower, "carol")).status_code == 204, "others can be followed"
    assert await kinds(api) == [*before, "UserFollowed", "UserFollowed"]
    await untie(api, "blocked", by, of)
    await api.project()
    assert (await api("GET", "/users/alice/following")).json()["items"][0]["user_id"] == "carol"
    assert (await follow(api, "alice", "bob")).status_code == 204
    assert (await follow(api, "bob", "alice")).status_code == 204


async def test_of_two_opposite_blocks_each_maker_ends_one(api: WriteSide) -> None:
    await api.registered("alice", "bob")
    await tie(api, "blocked", "alice", "bob")
    await tie(api, "blocked", "bob", "alice")
    await untie(api, "blocked", "alice", "bob")
    await api.project()
    assert (await listed(api, "blocked"), await listed(api, "blocked", "bob")) == ([], ["alice"])
    assert (await follow(api, "alice", "bob")).status_code == 403


async def test_across_a_block_a_profile_is_visible_and_an_unfollow_possible(api: WriteSide) -> None:
    await api.registered("alice", "bob")
    await tie(api, "blocked", "alice", "bob")
    await api.project()
    assert (await api("GET", "/users/alice", actor="bob")).status_code == 200
    assert (await api("DELETE", "/users/bob/following/alice", actor="bob")).status_code == 204


@pytest.mark.parametrize("asks", ["alice", "bob"])
async def test_across_a_block_one_rule_holds_on_every_route(api: WriteSide, asks: str) -> None:
    """A profile is visible; lists, a follow and a like are refused; a post is not there, for every method."""
    other = "bob" if asks == "alice" else "alice"
    await api.registered("alice", "bob")
    post_id = await api.posted(by=other)
    await tie(api, "blocked", "alice", "bob")
    await api.project()
    body = {"content": "x"}
    expected = {
        ("GET", f"/users/{other}"): 200,
        ("GET", f"/users/{other}/following"): 403,
        ("GET", f"/users/{other}/followers"): 403,
        ("PUT", f"/users/{asks}/following/{other}"): 403,
        ("PUT", f"/posts/{post_id}/like"): 403,
        ("GET", f"/posts/{post_id}"): 404,
        ("PATCH", f"/posts/{post_id}"): 404,
        ("DELETE", f"/posts/{post_id}"): 404,
        ("GET", f"/posts/{post_id}/fanout"): 404,
    }
    answers = {
        (method, path): (
            await api(method, path, actor=asks, json=body if method == "PATCH" else None)
        ).status_code
        for method, path in expected
    }
    assert answers == expected


async def test_a_mute_ends_no_follow_and_refuses_none(api: WriteSide) -> None:
    await api.registered("alice", "bob")
    await follow(api, "alice", "bob")
    await tie(api, "muted", "alice", "bob")
    await api.project()
    assert (await api("GET", "/users/bob")).json()["follower_count"] == 1
    assert (await follow(api, "alice", "bob")).status_code == 204
    assert (await follow(api, "bob", "alice")).status_code == 204


@on_both_lists
async def test_ties_and_their_lists_are_for_the_user_alone(api: WriteSide, list_name: str) -> None:
    await api.registered("alice", "bob")
    for method, path in (
        ("PUT", f"/users/alice/{list_name}/bob"),
        ("DELETE", f"/users/alice/{list_name}/bob"),
        ("GET", f"/users/alice/{list_name}"),
    ):
        refused = await api(method, path, actor="bob")
        assert refused.status_code == 403
        assert refused.json()["type"] == "urn:fanfold:problem:not-yourself"
    assert await kinds(api) == []


@on_both_lists
@either_way
async def test_muting_or_blocking_oneself_is_refused(
    api: WriteSide, list_name: str, method: str
) -> None:
    await api.registered("alice")
    refused = await api(method, f"/users/alice/{list_name}/alice")
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "target_id"
    assert await kinds(api) == []


@on_both_lists
@either_way
async def test_a_target_who_has_never_written_is_404(
    api: WriteSide, list_name: str, method: str
) -> None:
    # A user can be followed before the first write, by an import, and so have a row.
    await api.log.append(
        UserFollowed(follower_id="bob", followee_id="ghost", followed_at=from_ms(START_MS))
    )
    await api.project()
    refused = await api(method, f"/users/alice/{list_name}/ghost")
    assert refused.status_code == 404
    assert refused.json()["type"] == "urn:fanfold:problem:user-not-found"


@on_both_lists
async def test_a_listed_user_can_be_taken_off_the_list_registered_or_not(
    api: WriteSide, list_name: str
) -> None:
    stores = api.pipeline.stores
    write = {"muted": stores.ties.write_mute, "blocked": stores.ties.write_block}[list_name]
    await write("alice", "ghost", active=True, since_ms=0, offset=0)
    assert (await untie(api, list_name, "alice", "ghost")).status_code == 204
    assert (await untie(api, list_name, "alice", "nobody")).status_code == 404


@on_both_lists
async def test_pages_of_a_list_are_full_although_many_were_taken_off_it(
    api: WriteSide, list_name: str
) -> None:
    targets = [f"t{n:02}" for n in range(12)]
    await api.registered(*targets)
    for target in targets:
        await tie(api, list_name, "alice", target)
    for target in targets[::3]:
        await untie(api, list_name, "alice", target)
    await tie(api, list_name, targets[0], "alice")
    await api.project()
    found: list[str] = []
    sizes: list[int] = []
    cursor: str | None = ""
    while cursor is not None:
        params = {"limit": 3, "cursor": cursor}
        page = (await api("GET", f"/users/alice/{list_name}", params=params)).json()
        found += [item["user_id"] for item in page["items"]]
        sizes.append(len(page["items"]))
        cursor = page["next_cursor"]
    assert found == [target for n, target in enumerate(targets) if n % 3]
    assert sizes == [3, 3, 2]


async def test_a_cursor_of_one_list_is_refused_by_the_other_and_by_another_user(
    api: WriteSide,
) -> None:
    await api.registered("bob", "carol")
    for target in ("bob", "carol"):
        await tie(api, "muted", "alice", target)
    await api.project()
    page = (await api("GET", "/users/alice/muted", params={"limit": 1})).json()
    for user, list_name in (("alice", "blocked"), ("bob", "muted"), ("alice", "following")):
        refused = await api(
            "GET", f"/users/{user}/{list_name}", actor=user, params={"cursor": page["next_cursor"]}
        )
        assert refused.status_code == 422


@on_both_lists
async def test_without_the_log_ties_are_503(api: WriteSide, list_name: str) -> None:
    await api.registered("bob")
    api.log.away = True
    for refused in (
        await tie(api, list_name, "alice", "bob"),
        await untie(api, list_name, "alice", "bob"),
    ):
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert "the log" in refused.json()["detail"]
    assert await kinds(api) == []


@on_both_lists
async def test_without_the_tables_ties_and_lists_are_503(api: WriteSide, list_name: str) -> None:
    await api.registered("bob")
    api.tables.away = True
    for refused in (
        await tie(api, list_name, "alice", "bob"),
        await untie(api, list_name, "alice", "bob"),
        await api("GET", f"/users/alice/{list_name}"),
    ):
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert "the tables" in refused.json()["detail"]
    assert await kinds(api) == []


async def test_a_block_that_failed_half_way_is_whole_when_repeated(api: WriteSide) -> None:
    await api.registered("bob")
    api.log.acknowledges = False  # the first unfollow is in the log, and nobody knows
    assert (await tie(api, "blocked", "alice", "bob")).status_code == 503
    assert await kinds(api) == ["UserUnfollowed"]
    await api.project()
    assert await listed(api, "blocked") == []
    api.log.acknowledges = True
    assert (await tie(api, "blocked", "alice", "bob")).status_code == 204
    await api.project()
    assert await listed(api, "blocked") == ["bob"]


async def test_a_position_that_the_log_cannot_tell_is_left_out(api: WriteSide) -> None:
    await api.registered("bob")
    api.log.knows_positions = False
    for list_name in LISTS:
        made = await tie(api, list_name, "alice", "bob")
        assert made.status_code == 204
        assert "fanfold-position" not in made.headers
    await api.project()
    assert [await listed(api, list_name) for list_name in LISTS] == [["bob"], ["bob"]]


async def test_a_service_with_clock_skew_refuses_ties(api: WriteSide) -> None:
    await api.registered("bob")
    api.log.skew_ms = 2500
    for list_name in LISTS:
        assert (await tie(api, list_name, "alice", "bob")).status_code == 503
        assert (await untie(api, list_name, "alice", "bob")).status_code == 503
    assert await kinds(api) == []


# --- limits -------------------------------------------------------------------------------------------------

LIMITED = Settings(max_following=1, max_muted=1, max_blocked=1)


def problem(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].rsplit("/", 1)[-1].rsplit(":", 1)[-1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tie", "kind"),
    [
        ("following", "follows-too-many"),
        ("muted", "mutes-too-many"),
        ("blocked", "blocks-too-many"),
    ],
)
async def test_one_tie_more_than_the_maximum_is_409_until_one_is_ended(tie: str, kind: str) -> None:
    async with a_write_side(LIMITED) as api:
        await api.registered("alice", "a", "b")
        assert (await api("PUT", f"/users/alice/{tie}/a")).status_code == 204
        await api.project()
        assert problem(await api("PUT", f"/users/alice/{tie}/b")) == (409, kind)
        assert (await api("PUT", f"/users/alice/{tie}/a")).status_code == 204, "it adds nothing"
        assert (await api("DELETE", f"/users/alice/{tie}/a")).status_code == 204
        await api.project()
        assert (await api("PUT", f"/users/alice/{tie}/b")).status_code == 204


@pytest.mark.slow
@pytest.mark.parametrize("tie", ["following", "muted", "blocked"])
async def test_ties_with_four_times_the_maximum_of_users_in_all_are_the_most(tie: str) -> None:
    """Each leaves a row that a feed reads, whether it is active or not."""
    async with a_write_side(LIMITED) as api:
        targets = [f"t{number}" for number in range(5)]
        await api.registered("alice", *targets)
        for target in targets[:4]:
            for method in ("PUT", "DELETE"):
                assert (await api(method, f"/users/alice/{tie}/{target}")).status_code == 204
                await api.project()
        refused = await api("PUT", f"/users/alice/{tie}/t4")
        assert problem(refused) == (409, "too-many-changes")
        assert (await api("PUT", f"/users/alice/{tie}/t0")).status_code == 204
        await api.project()
        assert (await api("DELETE", f"/users/alice/{tie}/t0")).status_code == 204


@pytest.mark.parametrize("tie", ["muted", "blocked"])
async def test_ends_of_ties_that_never_began_count_as_rows_too(tie: str) -> None:
    async with a_write_side(LIMITED) as api:
        targets = [f"t{number}" for number in range(5)]
        await api.registered("alice", *targets)
        for target in targets[:4]:
            assert (await api("DELETE", f"/users/alice/{tie}/{target}")).status_code == 204
            await api.project()
        refused = await api("DELETE", f"/users/alice/{tie}/t4")
        assert problem(refused) == (409, "too-many-changes")
        assert (await api("DELETE", f"/users/alice/{tie}/t3")).status_code == 204


async def test_unfollowing_users_who_were_never_followed_leaves_no_row(api: WriteSide) -> None:
    await api.registered("alice", "a")
    assert (await api("DELETE", "/users/alice/following/a")).status_code == 204
    await api.project()
    assert await api.tables.stores.follows.following("alice") == {}
