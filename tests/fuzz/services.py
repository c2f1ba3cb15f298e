"""The applications to fuzz, each on the embedded stack, with something in it to be found."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from fastapi import FastAPI

from fanfold.core.clock import SystemClock
from fanfold.http.app import make_app
from fanfold.http.readiness import readiness
from fanout_service.progress import Progress
from feed_service import http as feed
from feed_service.feed_reader import feed_reader
from graph_service import http as graph
from post_service import http as post
from tests.support.app import WriteSide, a_write_side

ACTOR = "alice"
POST_ID = UUID("0190a5c2-7b1e-7000-8000-00000000cafe")
EXISTING = {"user_id": ACTOR, "target_id": "bob", "post_id": str(POST_ID)}
"""Path parameters of what is there to be found."""


@asynccontextmanager
async def post_service() -> AsyncIterator[FastAPI]:
    async with a_populated_write_side() as api:
        yield make_app(
            title="posts",
            routers=post.routers(api.engines, clock=api.clock, settings=api.settings),
            ready=post.ready(api.engines, api.settings),
        )


@asynccontextmanager
async def graph_service() -> AsyncIterator[FastAPI]:
    async with a_populated_write_side() as api:
        yield make_app(
            title="users and follows",
            routers=graph.routers(api.engines, clock=api.clock, settings=api.settings),
            ready=graph.ready(api.engines, api.settings),
        )


@asynccontextmanager
async def feed_service() -> AsyncIterator[FastAPI]:
    async with (
        a_populated_write_side() as api,
        # It refreshes in the background, for ever: on a clock that jumps it would never rest.
        feed_reader(api.settings, api.engines, clock=SystemClock()) as reader,
    ):
        for author in ("bob", "carol", ACTOR):
            await api.posted(by=author)
        await api.project()
        ready = feed.ready(api.engines)
        yield make_app(title="feeds", routers=feed.routers(reader), ready=ready)


@asynccontextmanager
async def fanout_service() -> AsyncIterator[FastAPI]:
    """What the worker serves: health and metrics."""
    yield make_app(
        title="the fan-out worker",
        routers=[],
        ready=readiness({}),
        alive=Progress(SystemClock()).check,
    )


@asynccontextmanager
async def a_populated_write_side() -> AsyncIterator[WriteSide]:
    async with a_write_side() as api:
        others = ["bob", "carol", "dave"]
        await api.registered(ACTOR, *others, "erin", "frank")
        for other in others:
            await api("PUT", f"/users/{ACTOR}/following/{other}", actor=ACTOR)
            await api("PUT", f"/users/{other}/following/{ACTOR}", actor=other)
        await api("PUT", f"/users/{ACTOR}/muted/erin", actor=ACTOR)
        await api("PUT", f"/users/{ACTOR}/blocked/frank", actor=ACTOR)
        await api.project()
        await api.tables.stores.posts.create(POST_ID, ACTOR, "something to find")
        yield api
