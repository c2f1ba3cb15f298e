"""Publishing, reading, editing and deleting posts, and watching their fan-out."""

from __future__ import annotations

from uuid import UUID

import pytest

from fanfold.core.clock import rfc3339
from fanfold.core.events import PostCreated, PostDeleted, PostEdited
from fanfold.core.ids import created_at_ms, new_post_id
from fanfold.http.positions import Written
from tests.support.app import WriteSide
from tests.support.clock import START_MS


async def test_a_post_is_answered_as_it_was_sent_and_is_in_the_log(api: WriteSide) -> None:
    await api.registered("alice")
    text = "Hello\tworld!\r\n 👩‍👩‍👧‍👦 "
    created = await api("POST", "/posts", json={"content": text})
    assert created.status_code == 201
    body = created.json()
    post_id = UUID(body["post_id"])
    assert body == {
        "post_id": str(post_id),
        "author_id": "alice",
        "author": "Alice",
        "author_avatar_url": None,
        "content": text,
        "created_at": rfc3339(created_at_ms(post_id)),
        "edited_at": None,
        "like_count": 0,
        "liked_by_me": False,
    }
    assert created.headers["location"] == f"/posts/{post_id}"
    event = (await api.events())[-1]
    assert isinstance(event, PostCreated)
    assert (event.post_id, event.author_id, event.content) == (post_id, "alice", text)


async def test_every_write_answers_the_position_of_its_event(api: WriteSide) -> None:
    created = await api("POST", "/posts", json={"content": "one"})
    path = created.headers["location"]
    edited = await api("PATCH", path, json={"content": "two"})
    deleted = await api("DELETE", path)
    answered = [answer.headers["fanfold-position"] for answer in (created, edited, deleted)]
    written = [Written.parse(text) for text in answered]
    assert [(w.position.topic, w.position.offset) for w in written] == [
        ("posts.v1", offset) for offset in range(3)
    ]
    assert [w.changes for w in written] == [event.changes() for event in await api.events()]


async def test_a_post_can_be_read_before_the_worker_has_seen_it(api: WriteSide) -> None:
    post_id = await api.posted("hello")
    read = await api("GET", f"/posts/{post_id}", actor="bob")
    assert read.status_code == 200
    assert read.json()["content"] == "hello"


async def test_an_unregistered_author_is_shown_by_the_id(api: WriteSide) -> None:
    created = await api("POST", "/posts", actor="ghost", json={"content": "boo"})
    assert created.json()["author"] == "ghost"


async def test_a_new_name_shows_on_older_posts(api: WriteSide) -> None:
    post_id = await api.posted()
    await api("PUT", "/users/alice", json={"display_name": "Alice Cooper"})
    assert (await api("GET", f"/posts/{post_id}")).json()["author"] == "Alice Cooper"


async def test_an_edit_shows_its_text_and_when_once_it_is_applied(api: WriteSide) -> None:
    post_id = await api.posted("before")
    await api.project()
    api.clock.advance(5)
    edited_at = rfc3339(api.clock.now_ms())
    edited = await api("PATCH", f"/posts/{post_id}", json={"content": "after"})
    assert edited.status_code == 200
    assert (edited.json()["content"], edited.json()["edited_at"]) == ("after", edited_at)
    await api.project()
    assert (await api("GET", f"/posts/{post_id}")).json() == edited.json()


async def test_an_edit_to_the_same_text_is_no_edit(api: WriteSide) -> None:
    post_id = await api.posted("same")
    edited = await api("PATCH", f"/posts/{post_id}", json={"content": "same"})
    assert edited.json()["edited_at"] is None
    await api.project()
    assert (await api("GET", f"/posts/{post_id}")).json()["edited_at"] is None


async def test_an_edit_answers_the_row_when_the_worker_is_quick(api: WriteSide) -> None:
    post_id = await api.posted("before")
    posts = api.pipeline.stores.posts
    # As another edit would leave it, which the log holds after this one.
    await posts.edit(UUID(post_id), "later still", edited_at_ms=START_MS, offset=7)
    edited = await api("PATCH", f"/posts/{post_id}", json={"content": "after"})
    assert edited.json()["content"] == "later still"


async def test_an_edit_is_not_answered_with_what_an_edit_before_it_left(api: WriteSide) -> None:
    post_id = await api.posted("zero")
    await api("PATCH", f"/posts/{post_id}", json={"content": "one"})
    await api.project()
    edited = await api("PATCH", f"/posts/{post_id}", json={"content": "two"})
    assert edited.json()["content"] == "two"


async def test_a_deleted_post_is_gone_for_everyone_and_can_be_deleted_again(api: WriteSide) -> None:
    post_id = await api.posted()
    path = f"/posts/{post_id}"
    assert (await api("DELETE", path)).status_code == 204
    assert (await api("DELETE", path)).status_code == 204
    assert (await api("GET", path)).status_code == 404
    assert (await api("PATCH", path, json={"content": "again"})).status_code == 404
    assert (await api("GET", f"{path}/fanout")).status_code == 404
    assert (await api("DELETE", path, actor="bob")).status_code == 404
    assert [type(event) for event in await api.events()] == [PostCreated, PostDeleted]


async def test_only_the_author_may_change_a_post_or_watch_it(api: WriteSide) -> None:
    path = f"/posts/{await api.posted(by='alice')}"
    answers = [
        await api("PATCH", path, actor="bob", json={"content": "mine"}),
        await api("DELETE", path, actor="bob"),
        await api("GET", f"{path}/fanout", actor="bob"),
    ]
    assert [answer.status_code for answer in answers] == [403] * 3
    assert len(await api.events()) == 1


async def test_an_absent_post_is_not_yet_there_while_it_is_young_and_unknown_later(
    api: WriteSide,
) -> None:
    path = f"/posts/{new_post_id(api.clock.now_ms())}"
    young = await api("GET", path)
    assert (young.status_code, young.headers["retry-after"]) == (503, "1")
    assert young.json()["type"] == "urn:fanfold:problem:post-not-yet-visible"
    api.clock.advance(61)
    assert (await api("GET", path)).status_code == 404


async def test_a_post_of_the_far_future_is_unknown(api: WriteSide) -> None:
    post_id = new_post_id(api.clock.now_ms() + 3_600_000)
    assert (await api("GET", f"/posts/{post_id}")).status_code == 404


async def test_a_fanout_is_pending_then_done_with_what_was_planned(api: WriteSide) -> None:
    await api.registered("alice", "bob")
    await api("PUT", "/users/bob/following/alice", actor="bob")
    await api.project()
    path = f"/posts/{await api.posted()}/fanout"
    pending = (await api("GET", path)).json()
    assert (pending["status"], pending["strategy"], pending["finished_at"]) == (
        "pending",
        None,
        None,
    )
    assert pending["first_slice_at"] is None
    await api.project()
    done = (await api("GET", path)).json()
    assert (done["status"], done["strategy"]) == ("done", "push")
    assert (done["planned"], done["delivered"]) == (1, 1)
    assert done["slices_done"] == done["slices_total"] == 1
    assert done["started_at"] <= done["first_slice_at"] == done["finished_at"]


async def test_the_fanout_of_a_post_that_no_feed_reaches_any_more_is_expired(
    api: WriteSide,
) -> None:
    path = f"/posts/{await api.posted()}/fanout"
    await api.project()
    assert (await api("GET", path)).json()["status"] == "done"
    api.clock.advance(31 * 24 * 3600)
    expired = (await api("GET", path)).json()
    assert (expired["status"], expired["strategy"]) == ("expired", "push")
    assert (expired["delivered"], expired["slices_done"], expired["slices_total"]) == (0, 0, 1)
    assert expired["finished_at"] is None


async def test_the_fanout_of_a_celebritys_post_is_done_with_0_of_0(api: WriteSide) -> None:
    followers = ["bob", "carol", "dave"]
    await api.registered("alice", *followers)
    for follower in followers:
        await api("PUT", f"/users/{follower}/following/alice", actor=follower)
    await api.project()
    api.clock.advance(61)  # past the overlap, in which a post is pushed too
    path = f"/posts/{await api.posted()}/fanout"
    await api.project()
    done = (await api("GET", path)).json()
    assert done["strategy"] == "pull"
    assert done["status"] == "done"
    assert [done[n] for n in ("planned", "delivered", "slices_total", "slices_done")] == [0] * 4


async def test_without_the_log_nothing_is_written_and_writes_are_503(
    api: WriteSide,
) -> None:
    path = f"/posts/{await api.posted()}"
    api.log.away = True
    refused = [
        await api("POST", "/posts", json={"content": "lost?"}),
        await api("PATCH", path, json={"content": "lost?"}),
        await api("DELETE", path),
    ]
    for answer in refused:
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert "the log" in answer.json()["detail"]
    assert (await api("GET", path)).json()["content"] == "hello"
    assert len(await api.events()) == 1


async def test_without_the_tables_posts_are_accepted_but_not_read(api: WriteSide) -> None:
    api.tables.away = True
    created = await api("POST", "/posts", json={"content": "kept"})
    assert created.status_code == 201
    assert created.json()["author"] == "alice"
    read = await api("GET", created.headers["location"])
    assert (read.status_code, read.headers["retry-after"]) == (503, "1")
    assert "the tables" in read.json()["detail"]
    edit = await api("PATCH", created.headers["location"], json={"content": "later"})
    assert edit.status_code == 503
    api.tables.away = False
    await api.project()
    assert (await api("GET", created.headers["location"])).json() == created.json()


async def test_nothing_is_written_through_when_the_log_does_not_tell_the_position(
    api: WriteSide,
) -> None:
    api.log.knows_positions = False
    created = await api("POST", "/posts", json={"content": "somewhere"})
    assert created.status_code == 201
    assert "fanfold-position" not in created.headers
    path = created.headers["location"]
    assert (await api("GET", path)).status_code == 503
    await api.project()
    assert (await api("GET", path)).status_code == 200
    edited = await api("PATCH", path, json={"content": "elsewhere"})
    assert (edited.status_code, edited.json()["content"]) == (200, "elsewhere")
    assert (await api("DELETE", path)).status_code == 204


@pytest.mark.parametrize("skew_ms", [2_001, -2_001])
async def test_a_server_with_clock_skew_refuses_writes(api: WriteSide, skew_ms: int) -> None:
    path = f"/posts/{await api.posted()}"
    api.log.skew_ms = skew_ms
    writes = [
        await api("POST", "/posts", json={"content": "when?"}),
        await api("PATCH", path, json={"content": "when?"}),
        await api("DELETE", path),
        await api("PUT", "/users/alice", json={"display_name": "Alice"}),
    ]
    assert [answer.status_code for answer in writes] == [503] * 4
    not_ready = await api("GET", "/readyz")
    assert not_ready.status_code == 503
    assert "clock" in not_ready.json()["detail"]
    assert (await api("GET", path)).status_code == 200
    assert len(await api.events()) == 1


async def test_edits_are_in_the_log_even_when_they_change_nothing(api: WriteSide) -> None:
    post_id = await api.posted("same")
    await api("PATCH", f"/posts/{post_id}", json={"content": "same"})
    assert isinstance((await api.events())[-1], PostEdited)
