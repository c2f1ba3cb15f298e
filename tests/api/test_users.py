"""Registering, renaming, and profiles."""

from __future__ import annotations

from fanfold.core.clock import rfc3339
from fanfold.core.events import AuthorModeChanged, UserRegistered
from tests.support.app import WriteSide

NOTHING = {"following": False, "followed_by": False, "muted": False, "blocked": False}


async def test_a_registration_is_answered_with_the_profile(api: WriteSide) -> None:
    put = await api("PUT", "/users/alice", json={"display_name": "Alice 🦊"})
    assert put.status_code == 200
    assert put.json() == {
        "user_id": "alice",
        "display_name": "Alice 🦊",
        "bio": None,
        "avatar_url": None,
        "created_at": rfc3339(api.clock.now_ms()),
        "follower_count": 0,
        "following_count": 0,
        "post_count": 0,
        "delivery": "push",
        "viewer": NOTHING,
    }
    assert put.headers["fanfold-position"].startswith("graph.v1/")
    (event,) = await api.events()
    assert isinstance(event, UserRegistered)
    assert (event.user_id, event.display_name) == ("alice", "Alice 🦊")


async def test_a_profile_can_be_read_before_the_worker_has_seen_it(api: WriteSide) -> None:
    put = await api("PUT", "/users/alice", json={"display_name": "Alice"})
    assert (await api("GET", "/users/alice", actor="bob")).json() == put.json()


async def test_the_last_name_stays(api: WriteSide) -> None:
    await api.registered("alice")
    await api("PUT", "/users/alice", json={"display_name": "Second"})
    await api.project()
    assert (await api("GET", "/users/alice")).json()["display_name"] == "Second"


async def test_a_profile_counts_both_directions_and_shows_the_delivery(api: WriteSide) -> None:
    await api.registered("alice", "bob", "carol", "dave")
    for follower in ("bob", "carol", "dave"):
        await api("PUT", f"/users/{follower}/following/alice", actor=follower)
    await api("PUT", "/users/alice/following/bob")
    await api.project()
    profile = (await api("GET", "/users/alice")).json()
    assert (profile["follower_count"], profile["following_count"]) == (3, 1)
    assert profile["delivery"] == "pull"
    renamed = await api("PUT", "/users/alice", json={"display_name": "Al"})
    assert renamed.json() == {**profile, "display_name": "Al"}


async def test_a_profile_shows_the_delivery_after_every_crossing(api: WriteSide) -> None:
    await api.registered("alice")
    for method, follower, delivery in (
        ("PUT", "bob", "push"),
        ("PUT", "carol", "push"),
        ("PUT", "dave", "pull"),
        ("DELETE", "dave", "push"),
        ("PUT", "dave", "pull"),
    ):
        await api(method, f"/users/{follower}/following/alice", actor=follower)
        await api.project()
        assert (await api("GET", "/users/alice")).json()["delivery"] == delivery
    crossings = [event for event in await api.events() if isinstance(event, AuthorModeChanged)]
    assert [event.delivery for event in crossings] == ["pull", "push", "pull"]


async def test_only_the_user_can_register(api: WriteSide) -> None:
    refused = await api("PUT", "/users/alice", actor="bob", json={"display_name": "Mallory"})
    assert refused.status_code == 403
    assert await api.events() == []


async def test_an_unknown_user_is_404(api: WriteSide) -> None:
    missing = await api("GET", "/users/nobody")
    assert missing.status_code == 404
    assert missing.json()["type"] == "urn:fanfold:problem:user-not-found"


async def test_without_the_log_registrations_are_503(api: WriteSide) -> None:
    api.log.away = True
    refused = await api("PUT", "/users/alice", json={"display_name": "Alice"})
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert "the log" in refused.json()["detail"]
    assert (await api("GET", "/users/alice")).status_code == 404


async def test_without_the_tables_users_answer_503_and_nothing_is_appended(api: WriteSide) -> None:
    api.tables.away = True
    for answer in (
        await api("PUT", "/users/alice", json={"display_name": "Alice"}),
        await api("GET", "/users/alice"),
        await api("GET", "/readyz"),
    ):
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "the tables" in answer.json()["detail"]
    assert await api.events() == []


async def test_a_service_is_ready_while_its_engines_answer_and_alive_in_any_case(
    api: WriteSide,
) -> None:
    assert (await api("GET", "/readyz", actor=None)).json() == {"status": "ready"}
    api.log.away = api.tables.away = True
    not_ready = (await api("GET", "/readyz", actor=None)).json()
    assert [error["pointer"] for error in not_ready["errors"]] == ["the log", "the tables"]
    assert (await api("GET", "/livez", actor=None)).json() == {"status": "alive"}


async def test_requests_are_counted_by_route_and_not_by_path(api: WriteSide) -> None:
    await api("GET", "/users/nobody-1")
    await api("GET", "/no/such/route")
    metrics = (await api("GET", "/metrics", actor=None)).text
    counted = 'fanfold_http_requests_total{method="GET",route="/users/{user_id}",status="404"}'
    assert counted in metrics
    assert 'route="(none)",status="404"' in metrics
    assert "nobody-1" not in metrics
