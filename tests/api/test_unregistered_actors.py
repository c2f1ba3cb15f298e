"""Every writing route, and an actor who has not registered: decision 57."""

from __future__ import annotations

import pytest
from fastapi.routing import APIRoute, iter_route_contexts

from fanfold.core.events import UserFollowed, UserLeft, UserRegistered, from_ms
from tests.support.app import WriteSide
from tests.support.clock import START_MS
from tests.support.writing_routes import (
    OPEN_TO_ALL,
    WritingRoute,
    refused_to_the_unregistered,
    writing_routes,
)

NEW = "newcomer"
PUBLISH = WritingRoute("POST", "/posts")
LIKE = WritingRoute("PUT", "/posts/{post_id}/like")


def test_the_document_has_every_writing_route(api: WriteSide) -> None:
    served = {
        f"{method} {context.path}"
        for context in iter_route_contexts(api.app.routes)
        if isinstance(context.original_route, APIRoute)
        for method in context.methods or ()
        if method not in {"GET", "HEAD"} and not str(context.path).endswith("/ticket")
    }
    assert {route.name for route in writing_routes()} == served


async def test_no_writing_route_serves_an_unregistered_actor(api: WriteSide) -> None:
    post = await api.posted(by="bob")
    before = await api.events()
    await refused_to_the_unregistered(api, NEW, target="bob", post=post)
    assert await api.events() == before, "a refused request appends nothing"
    assert (await api("GET", f"/users/{NEW}")).status_code == 404


async def test_every_writing_route_serves_a_user_at_once_after_the_registration(
    api: WriteSide,
) -> None:
    """The worker has seen nothing of it: the row is written through before the registration is answered."""
    bobs = await api.posted(by="bob")
    await api.registered(NEW)
    own = await api.posted(by=NEW)
    for route in writing_routes():
        post = bobs if route.path.endswith("/like") else own
        served = await route(api, actor=NEW, target="bob", post=post)
        assert served.status_code < 300, f"{route.name}: {served.text}"


async def test_an_unregistered_user_may_leave_and_can_then_register_no_more(
    api: WriteSide,
) -> None:
    post = await api.posted(by="bob")
    assert (await api("DELETE", f"/users/{NEW}", actor=NEW)).status_code == 204
    assert [type(event) for event in await api.events()][1:] == [UserLeft]
    for route in writing_routes():
        if route.method != "DELETE" or route.name not in OPEN_TO_ALL:
            answer = await route(api, actor=NEW, target="bob", post=post)
            assert answer.json()["type"] == "urn:fanfold:problem:has-left", route.name


@pytest.mark.parametrize("route", [PUBLISH, LIKE], ids=lambda route: route.path)
async def test_a_registration_that_is_still_on_its_way_is_waited_for_when_it_is_named(
    api: WriteSide, route: WritingRoute
) -> None:
    bobs = await api.posted(by="bob")
    await api.project()
    # Not written through, as if the tables had been away for the moment of the registration.
    event = UserRegistered(user_id=NEW, display_name="New", registered_at=from_ms(START_MS))
    position = await api.log.append(event)
    unnamed = await route(api, actor=NEW, target="bob", post=bobs)
    assert unnamed.json()["type"] == "urn:fanfold:problem:not-registered"
    assert "Fanfold-After" in unnamed.json()["detail"]
    named = f"{position};name:{NEW}"
    late = await route(api, actor=NEW, target="bob", post=bobs, after=named)
    assert (late.status_code, late.json()["type"]) == (
        503,
        "urn:fanfold:problem:write-not-yet-visible",
    )
    await api.project()
    assert (await route(api, actor=NEW, target="bob", post=bobs, after=named)).is_success


async def test_a_named_write_that_is_no_registration_registers_nobody(api: WriteSide) -> None:
    event = UserFollowed(follower_id=NEW, followee_id="bob", followed_at=from_ms(START_MS))
    position = await api.log.append(event)
    await api.project()
    refused = await PUBLISH(api, actor=NEW, target="bob", post="", after=str(position))
    assert refused.json()["type"] == "urn:fanfold:problem:not-registered"


async def test_a_post_that_was_accepted_without_the_tables_is_its_authors_until_the_registration(
    api: WriteSide,
) -> None:
    api.tables.away = True
    post = await api.posted(by=NEW)
    api.tables.away = False
    await api.project()

    async def seen(actor: str) -> tuple[int, int, int]:
        one = await api("GET", f"/posts/{post}", actor=actor)
        many = await api("GET", "/posts", actor=actor, params={"ids": post})
        liked = await api("PUT", f"/posts/{post}/like", actor=actor)
        return one.status_code, len(many.json()["items"]), liked.status_code

    assert await seen("bob") == (404, 0, 404)
    assert await seen(NEW) == (200, 1, 403)
    await api.registered(NEW)
    assert await seen("bob") == (200, 1, 204)
