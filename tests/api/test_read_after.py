"""Every read shows the writes that the request names, or says that it can't yet."""

from __future__ import annotations

from typing import Any

import pytest

from fanfold.http.positions import MOST_AWAITED
from tests.support.app import WriteSide

GETS = (
    "/posts?ids={post}",
    "/posts/{post}",
    "/posts/{post}/fanout",
    "/users?ids=alice",
    "/users/alice",
    "/users/alice/relationships?ids=bob",
    "/users/alice/following",
    "/users/alice/followers",
    "/users/alice/muted",
    "/users/alice/blocked",
    "/users/alice/export",
)


async def ready(api: WriteSide) -> str:
    await api.registered("alice", "bob")
    post = await api.posted()
    await api.project()
    return post


async def after(api: WriteSide, path: str, *writes: Any) -> Any:
    header = ", ".join(write.headers["fanfold-position"] for write in writes)
    return await api("GET", path, headers={"Fanfold-After": header})


async def once_projected(api: WriteSide, path: str, *writes: Any) -> Any:
    """The answer to a read after the worker has handled the writes."""
    await api.project()
    answer = await after(api, path, *writes)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("path", GETS)
async def test_a_read_that_cannot_see_a_write_in_time_is_503_and_otherwise_200(
    api: WriteSide, path: str
) -> None:
    post = await ready(api)
    written = await api("PUT", "/users/alice/following/bob")
    late = await after(api, path.format(post=post), written)
    assert (late.status_code, late.headers["retry-after"]) == (503, "1")
    assert late.json()["type"] == "urn:fanfold:problem:write-not-yet-visible"
    await api.project()
    assert (await after(api, path.format(post=post), written)).status_code == 200


@pytest.mark.parametrize("path", GETS)
@pytest.mark.parametrize(
    "value", ["nonsense", "fanout.commands.v1/0/1", "nope.v1/0/1", "posts.v1/0"]
)
async def test_a_topic_of_no_writes_and_a_malformed_position_are_422(
    api: WriteSide, path: str, value: str
) -> None:
    post = await ready(api)
    refused = await api("GET", path.format(post=post), headers={"Fanfold-After": value})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "Fanfold-After"


async def test_a_list_shows_the_follow_that_the_request_names(api: WriteSide) -> None:
    await ready(api)
    written = await api("PUT", "/users/alice/following/bob")
    page = await once_projected(api, "/users/alice/following", written)
    assert [item["user_id"] for item in page["items"]] == ["bob"]
    ended = await api("DELETE", "/users/alice/following/bob")
    assert (await once_projected(api, "/users/alice/following", ended))["items"] == []


async def test_a_post_shows_the_like_and_the_edit_that_the_request_names(api: WriteSide) -> None:
    post = await ready(api)
    liked = await api("PUT", f"/posts/{post}/like")
    edited = await api("PATCH", f"/posts/{post}", json={"content": "better"})
    shown = await once_projected(api, f"/posts/{post}", liked, edited)
    assert (shown["like_count"], shown["liked_by_me"], shown["content"]) == (1, True, "better")


async def test_a_profile_counts_the_post_and_the_deletion_that_the_request_names(
    api: WriteSide,
) -> None:
    post = await ready(api)
    posted = await api("POST", "/posts", json={"content": "another"})
    assert (await once_projected(api, "/users/alice", posted))["post_count"] == 2
    deleted = await api("DELETE", f"/posts/{post}")
    assert (await once_projected(api, "/users/alice", deleted))["post_count"] == 1
    again = await once_projected(api, "/users/alice", posted, deleted)
    assert again["post_count"] == 1


async def test_a_profile_shows_the_change_that_the_request_names(api: WriteSide) -> None:
    await ready(api)
    api.log.knows_positions = False  # then the service doesn't write it through
    written = await api("PUT", "/users/alice", json={"display_name": "Al", "bio": "Sails"})
    api.log.knows_positions = True
    assert "fanfold-position" not in written.headers
    *_, last = await api.pipeline.log.rows(["graph.v1"], after=0, limit=1000)
    position = str(last.record.position)
    headers = {"Fanfold-After": position}
    assert (await api("GET", "/users/alice", headers=headers)).status_code == 503
    await api.project()
    assert (await api("GET", "/users/alice", headers=headers)).json()["bio"] == "Sails"


async def test_positions_may_come_in_several_fields(api: WriteSide) -> None:
    await ready(api)
    writes = [await api("PUT", f"/users/alice/{tie}/bob") for tie in ("following", "muted")]
    await api.project()
    fields = [("Fanfold-After", write.headers["fanfold-position"]) for write in writes]
    headers = [("X-User-Id", "alice"), *fields]
    assert (await api.client.get("/users/alice/muted", headers=headers)).status_code == 200
    headers.append(("Fanfold-After", "nonsense"))
    assert (await api.client.get("/users/alice/muted", headers=headers)).status_code == 422


@pytest.mark.slow
async def test_all_positions_of_the_largest_write_can_be_sent_back(api: WriteSide) -> None:
    user_ids = [f"u{n}" for n in range(MOST_AWAITED)]
    await api.registered("alice", *user_ids)
    written = await api("PUT", "/users/alice/following", json={"user_ids": user_ids})
    await api.project()
    page = (await after(api, "/users/alice/following?limit=100", written)).json()
    assert len(page["items"]) == MOST_AWAITED
