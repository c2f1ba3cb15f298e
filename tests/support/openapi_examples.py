"""Examples of answers for `schemas/openapi.json`: what the services answered to one short story, and to requests that they refuse.

Bodies of requests are the document's own examples. Ids and times are the same each time, so that the document is.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from unittest.mock import patch

import httpx2

from fanfold.http.app import make_app
from fanfold.http.problems import Problem
from feed_service import http as feed
from feed_service.feed_reader import FeedReader, feed_reader
from tests.support.app import WriteSide, a_write_side
from tests.support.clock import ManualClock
from tests.support.openapi_recorder import Json, Recorder
from tests.support.openapi_refusals import try_everything

_BEGIN_S = 3600.123
TICKET = "Jx0cTfm1mWbXb2wP3n1kYg5h8o7u6y4z9e0r2t3q1wE"


async def add_examples(document: Json) -> Json:
    """The document with an example of each answer that has a body. Takes nothing from the answers of an earlier call."""
    document = json.loads(json.dumps(document))
    # Ids of posts are random within their millisecond.
    with (
        patch("fanfold.core.ids.secrets.randbits", lambda _bits: 1),
        patch("fanfold.http.identity.tickets.secrets.token_urlsafe", lambda _bytes: TICKET),
    ):
        async with a_write_side() as api:
            api.clock.advance(_BEGIN_S)
            async with _feeds(api) as (reader, client):
                recorder = Recorder(document, api, client)
                await _tell(recorder)
                await _stream(recorder, reader)
                await try_everything(recorder)
    _write(document, recorder)
    return document


@asynccontextmanager
async def _feeds(api: WriteSide) -> AsyncIterator[tuple[FeedReader, httpx2.AsyncClient]]:
    # A clock of its own: what refreshes in the background would never rest on one that jumps.
    clock = ManualClock(api.clock.now_ms() + 600_000)
    async with feed_reader(api.settings, api.engines, clock=clock) as reader:
        app = make_app(title="feeds", routers=feed.routers(reader), ready=feed.ready(api.engines))
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            yield reader, client


async def _tell(the: Recorder) -> None:
    """Alice joins, follows Bob and Nova, and reads what they wrote."""
    api = the.api
    await api.registered("bob", "nova", "carol")
    await the.succeed("register_user", "alice", user_id="alice")
    await the.succeed("follow_users", "alice", user_id="alice")
    post_id = (await the.succeed("create_post", "bob"))["post_id"]
    api.clock.advance(60)
    newer = await api.posted("Good morning!", by="nova")
    await api.project()
    await api("PUT", f"/posts/{post_id}/like")
    await the.succeed("edit_post", "bob", {"content": "Hello, world!"}, post_id=post_id)
    await api("PUT", "/users/alice/muted/carol")
    await api("PUT", "/users/alice/blocked/carol")
    await api.project()
    await the.succeed("read_post", "alice", post_id=post_id)
    await the.succeed("read_posts_by_id", "alice", ids=f"{newer},{post_id}")
    await the.succeed("read_fanout", "bob", post_id=post_id)
    await the.succeed("read_user", "alice", user_id="bob")
    await the.succeed("read_users_by_id", "alice", ids="bob,nova")
    await the.succeed("read_following", "alice", user_id="alice", limit="1")
    await the.succeed("read_followers", "alice", user_id="bob")
    await the.succeed("read_relationships", "alice", user_id="alice", ids="bob,nova")
    await the.succeed("give_export_ticket", "alice", user_id="alice")
    await the.succeed("give_stream_ticket", "alice", user_id="alice")
    for operation in ("read_muted", "read_blocked", "export_user"):
        await the.succeed(operation, "alice", user_id="alice")
    await the.succeed("read_feed", "alice", user_id="alice", limit="1")
    await the.succeed("count_new", "alice", user_id="alice", since=post_id)
    await the.succeed("read_posts", "alice", user_id="bob")


async def _stream(the: Recorder, reader: FeedReader) -> None:
    """The first events of a live feed, and the refusals of one too many and of a wrong ticket. From then on no live feed is opened."""
    parameters = {"user_id": "alice"}
    with ExitStack() as slots:
        with suppress(Problem):
            while True:
                slots.enter_context(reader.live.opened("alice"))
        await the.refuse("stream_feed", "alice", parameters)
    for operation in ("stream_feed", "export_user"):
        await the.refuse(operation, None, {**parameters, "ticket": "used"})
    asking = asyncio.create_task(the.ask("stream_feed", "alice", parameters))
    while not any(feed.watched.sources for feed in reader.live._open):  # noqa: ASYNC110
        await asyncio.sleep(0)
    reader.live.close()
    the.keep("stream_feed", "alice", await asking, parameters)


def _write(document: Json, recorder: Recorder) -> None:
    """Put the answers into the operations, and each kind of problem once into the components."""
    named = document["components"]["examples"] = {}
    for name, (_, _, operation) in recorder.operations.items():
        for status, response in operation["responses"].items():
            media = next(iter(response.get("content", {}).values()), None)
            if media is None:
                continue
            if (name, status) in recorder.answers:
                media["example"] = recorder.answers[name, status]
            elif kinds := recorder.refusals.get((name, status)):
                media["examples"] = {
                    kind: {"$ref": f"#/components/examples/{kind}"} for kind in kinds
                }
                for kind in kinds:
                    problem = recorder.problems[kind]
                    named[kind] = {"summary": problem["title"], "value": problem}
    document["components"]["examples"] = dict(sorted(named.items()))
