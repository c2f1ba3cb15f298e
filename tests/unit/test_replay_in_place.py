"""The whole log, or its later part, is handled again onto tables that hold it already, or hold some of it."""

from __future__ import annotations

from typing import Any

import pytest

from fanfold.adapters.memory import memory_stores
from fanfold.core.events import PROJECTED_TOPICS, Event
from tests.support.fanout import (
    TOPICS,
    Pipeline,
    a_block,
    a_deletion,
    a_follow,
    a_like,
    a_mute,
    a_pipeline,
    a_post,
    an_edit,
    an_unblock,
    an_unfollow,
    an_unlike,
    an_unmute,
)
from tests.support.stores import like_count

PEOPLE = ("alice", "bob", "carl", "dave", "eve")
FIRST, SECOND, GONE = a_post(), a_post(by="bob"), a_post(by="carl")
# Alice crosses the threshold of three, and comes back under it.
HISTORY: list[Event] = [
    *(a_follow(name) for name in ("bob", "carl")),
    FIRST,
    GONE,
    a_like(FIRST, "bob"),
    *(a_follow(name) for name in ("dave", "eve")),
    a_follow("alice", "bob"),
    SECOND,
    an_edit(FIRST, "better"),
    a_mute("bob"),
    a_block("carl"),
    an_unfollow("dave"),
    a_like(SECOND, "alice"),
    an_unlike(FIRST, "bob"),
    an_unmute("bob"),
    an_unblock("carl"),
    a_deletion(GONE),
    an_unfollow("eve"),
    an_unfollow("carl"),
]


async def tables(pipeline: Pipeline) -> dict[str, Any]:
    """What a reader could see."""
    stores = pipeline.stores
    likes, posts = stores.likes, stores.posts
    ids = [post.post_id for post in (FIRST, SECOND, GONE)]
    return {
        "users": await stores.users.get_many(PEOPLE),
        "follows": {name: await stores.follows.following(name) for name in PEOPLE},
        "followers": {name: await pipeline.followers(name) for name in PEOPLE},
        "mutes": {name: await stores.ties.mutes(name) for name in PEOPLE},
        "blocks": {name: await stores.ties.blocks_with(name, PEOPLE) for name in PEOPLE},
        "posts": await posts.get(ids),
        "likes": [await like_count(likes, post_id) for post_id in ids],
        "timelines": {name: await pipeline.timeline(name) for name in PEOPLE},
        "pulled": await pipeline.pulled("alice"),
        "progress": [await pipeline.progress(post_id) for post_id in ids],
    }


def goes_back(pipeline: Pipeline, share: float) -> None:
    """As `fanfold topics replay`: projected topics alone. 0 is the first event."""
    for topic in PROJECTED_TOPICS:
        pipeline.acknowledged[topic] = int(pipeline.acknowledged[topic] * share)


@pytest.mark.parametrize("share", [0, 0.3, 0.7])
async def test_what_the_tables_hold_is_not_changed(share: float) -> None:
    async with a_pipeline() as pipeline:
        await pipeline.handle(*HISTORY)
        before = await tables(pipeline)

        goes_back(pipeline, share)
        await pipeline.drain()

        assert await tables(pipeline) == before
        assert await pipeline.dead_letters() == []


async def test_tables_that_are_lost_come_back_whole() -> None:
    async with a_pipeline() as pipeline:
        await pipeline.handle(*HISTORY)
        before = await tables(pipeline)
        pipeline.stores = memory_stores(pipeline.settings, clock=pipeline.clock)

        goes_back(pipeline, 0)
        await pipeline.drain()

        assert await tables(pipeline) == before


async def test_tables_of_a_backup_are_brought_up_to_now() -> None:
    """The backup has what was handled up to the middle; the replay begins before that."""
    middle = len(HISTORY) // 2
    async with a_pipeline() as pipeline:
        await pipeline.handle(*HISTORY)
        before = await tables(pipeline)

        # A backup is old: its blocks are no longer so recent that they end follows (see `BlockedFollows`).
        pipeline.clock.advance(3600)
        pipeline.stores = memory_stores(pipeline.settings, clock=pipeline.clock)
        pipeline.acknowledged = dict.fromkeys(TOPICS, 0)
        worker = pipeline.worker()
        for _ in range(middle):
            for topic in TOPICS:
                await pipeline.step(worker, topic, limit=1)
        goes_back(pipeline, 0.5)
        await pipeline.drain()

        assert await tables(pipeline) == before
