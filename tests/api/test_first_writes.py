"""A first write registers its user, under the id: on every writing route (decision 57)."""

from __future__ import annotations

import pytest
from fastapi.routing import APIRoute, iter_route_contexts

from tests.support.app import WriteSide
from tests.support.writing_routes import WritingRoute, writing_routes

NEW = "newcomer"
ENDS = "DELETE"
FIRST = [route for route in writing_routes() if not route.is_of_the_authors_post]


def test_the_document_has_every_writing_route(api: WriteSide) -> None:
    served = {
        f"{method} {context.path}"
        for context in iter_route_contexts(api.app.routes)
        if isinstance(context.original_route, APIRoute)
        for method in context.methods or ()
        if method not in {"GET", "HEAD"} and not str(context.path).endswith("/ticket")
    }
    assert {route.name for route in writing_routes()} == served


@pytest.mark.parametrize(
    "route", [route for route in FIRST if route.method != ENDS], ids=lambda route: route.name
)
async def test_a_user_who_has_written_something_has_a_profile(
    api: WriteSide, route: WritingRoute
) -> None:
    await api.registered("bob")
    post = await api.posted(by="bob")
    assert (await api("GET", f"/users/{NEW}", actor="bob")).status_code == 404
    written = await route(api, actor=NEW, target="bob", post=post)
    assert written.status_code < 300, written.text
    await api.project()
    profile = (await api("GET", f"/users/{NEW}", actor="carl")).json()
    name = "Newcomer" if route.name == "PUT /users/{user_id}" else NEW
    assert (profile["user_id"], profile["display_name"]) == (NEW, name)
    many = (await api("GET", "/users", actor="carl", params={"ids": f"{NEW},ghost"})).json()
    assert [user["display_name"] for user in many["items"]] == [name]
    for served in (
        await api("GET", f"/users/{NEW}/followers", actor="carl"),
        await api("PUT", f"/users/carl/following/{NEW}", actor="carl"),
        await api("PUT", f"/users/carl/muted/{NEW}", actor="carl"),
    ):
        assert served.status_code < 300, served.text


@pytest.mark.parametrize(
    "route", [route for route in FIRST if route.method == ENDS], ids=lambda route: route.name
)
async def test_an_end_of_nothing_is_no_error_for_a_user_without_a_profile(
    api: WriteSide, route: WritingRoute
) -> None:
    await api.registered("bob")
    post = await api.posted(by="bob")
    ended = await route(api, actor=NEW, target="bob", post=post)
    assert ended.status_code == 204, ended.text


async def test_a_name_that_comes_later_replaces_the_id(api: WriteSide) -> None:
    await api.posted(by=NEW)
    await api.registered(NEW)
    await api.project()
    profile = (await api("GET", f"/users/{NEW}", actor="carl")).json()
    assert profile["display_name"] != NEW


async def test_a_user_who_has_left_has_no_profile_whatever_was_written(api: WriteSide) -> None:
    await api.posted(by=NEW)
    await api("DELETE", f"/users/{NEW}", actor=NEW)
    await api.project()
    assert (await api("GET", f"/users/{NEW}", actor="carl")).status_code == 404
    assert (await api("PUT", f"/users/carl/following/{NEW}", actor="carl")).status_code == 404


async def test_whether_users_exist_is_found_without_reading_their_lists(
    api: WriteSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user without a name may follow thousands, and a hundred of them can be asked for at once."""
    await api.registered("bob")
    await api("PUT", f"/users/{NEW}/following/bob", actor=NEW)
    await api.project()
    whole = api.pipeline.stores.follows, api.pipeline.stores.ties
    for port, methods in zip(whole, (["following"], ["mutes", "blocks_made"]), strict=True):
        for method in methods:
            monkeypatch.delattr(type(port), method, raising=True)
    many = await api("GET", "/users", actor="carl", params={"ids": NEW})
    assert [user["user_id"] for user in many.json()["items"]] == [NEW]
