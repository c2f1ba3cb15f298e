"""The worker dies before each single write in turn, also between two rows of one write; the rest comes again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from fanfold.core.buckets import buckets_up_to
from fanfold.core.events import Event
from fanfold.core.settings import Settings
from tests.support.clock import START_MS
from tests.support.crashes import Killed, Life
from tests.support.fanout import (
    SMALL,
    Pipeline,
    a_block,
    a_deletion,
    a_follow,
    a_mute,
    a_pipeline,
    a_post,
    an_edit,
    an_unblock,
    an_unfollow,
    an_unmute,
)

NAMES = ("bob", "carl", "dave", "erin", "frank", "gina")
PUSHED = SMALL.model_copy(update={"pull_threshold": 1000})
OVERLAPPING = SMALL.model_copy(update={"take_events": 3})
STEPWISE = SMALL.model_copy(update={"take_events": 200})


async def tables(pipeline: Pipeline, posts: Sequence[Any]) -> dict[str, Any]:
    """All that a crash must not change: not when things were done, and not in which generation an edge lies."""
    alice = await pipeline.user("alice")
    edges = [
        (edge.follower_id, edge.active, edge.follow_offset, edge.offset)
        for bucket in buckets_up_to(alice.generation)
        for edge in await pipeline.stores.follows.followers("alice", bucket)
    ]
    return {
        "alice": alice,
        "edges": sorted(edges),
        "follows": {name: await pipeline.stores.follows.following(name) for name in NAMES},
        "mutes": {name: await pipeline.stores.ties.mutes(name) for name in NAMES},
        "blocks": {
            name: await pipeline.stores.ties.blocks_with(name, ("alice", *NAMES))
            for name in ("alice", *NAMES)
        },
        "timelines": {name: await pipeline.timeline(name) for name in NAMES},
        "pulled": await pipeline.pulled("alice"),
        "posts": await pipeline.stores.posts.get([post.post_id for post in posts]),
        "modes": [await pipeline.mode(post) for post in posts],
        "progress": [await pipeline.progress(post.post_id) for post in posts],
        "dead letters": await pipeline.dead_letters(),
    }


def a_fan_out() -> tuple[list[Event], list[Event]]:
    return [a_follow(name) for name in NAMES[:2]], [a_post()]


def a_fan_out_in_slices() -> tuple[list[Event], list[Event]]:
    return [a_follow(name) for name in NAMES], [a_post()]


def a_group_of_follows() -> tuple[list[Event], list[Event]]:
    again: list[Event] = [
        an_unfollow("carl"),
        a_follow("carl"),
        a_follow("bob"),
        an_unfollow("dave"),
    ]
    return [a_post()], [*(a_follow(name) for name in NAMES), *again]


def a_backfill_in_steps() -> tuple[list[Event], list[Event]]:
    return [a_post(ms=START_MS - n) for n in range(201)], [a_follow("bob"), a_follow("carl")]


def an_edit_and_a_deletion() -> tuple[list[Event], list[Event]]:
    edited, deleted = a_post(), a_post()
    return [], [edited, an_edit(edited, "better"), deleted, a_deletion(deleted)]


def mutes_and_blocks_made_and_ended() -> tuple[list[Event], list[Event]]:
    later = START_MS + 5000
    blocked: list[Event] = [
        an_unfollow("bob"),
        an_unfollow("alice", "bob"),
        a_block("alice", "bob"),
    ]
    again: list[Event] = [
        an_unmute("bob"),
        a_mute("bob", ms=later),
        a_block("alice", "bob", ms=later),
    ]
    ended: list[Event] = [
        an_unblock("carl", ms=later),
        a_mute("bob", "carl"),
        a_block("bob", "alice"),
    ]
    return [a_follow("bob"), a_mute("bob"), a_block("carl")], [*blocked, *again, *ended]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("story", "settings"),
    [
        (a_fan_out, SMALL),
        (a_fan_out_in_slices, PUSHED),
        (a_fan_out_in_slices, OVERLAPPING),
        (a_group_of_follows, STEPWISE),
        (a_group_of_follows, OVERLAPPING),
        (a_backfill_in_steps, STEPWISE),
        (an_edit_and_a_deletion, SMALL),
        (mutes_and_blocks_made_and_ended, SMALL),
        (mutes_and_blocks_made_and_ended, STEPWISE),
    ],
)
async def test_a_worker_that_dies_anywhere_leaves_the_same_tables(
    story: Callable[[], tuple[list[Event], list[Event]]], settings: Settings
) -> None:
    before, events = story()
    posts = [event for event in (*before, *events) if type(event).__name__ == "PostCreated"]
    lived = Life()
    async with a_pipeline(settings) as pipeline:
        await pipeline.handle(*before)
        await pipeline.append(*events)
        await pipeline.drain(pipeline.worker(lived))
        expected = await tables(pipeline, posts)

    assert lived.written > 3
    # A backfill writes row by row what is alike: every seventh write is a sample of it.
    for writes in range(0, lived.written, 1 if lived.written < 200 else 7):
        async with a_pipeline(settings) as pipeline:
            await pipeline.handle(*before)
            await pipeline.append(*events)
            with pytest.raises(Killed):
                await pipeline.drain(pipeline.worker(Life(writes)))
            await pipeline.drain()
            assert await tables(pipeline, posts) == expected, f"after {writes} writes"


@pytest.mark.parametrize("posts", [3, 100])
async def test_a_follow_is_marked_only_once_all_its_posts_are_there(posts: int) -> None:
    """A reader trusts the mark at once, also while the worker that died is not back yet."""
    for writes in range(0, posts + 8, 1 if posts < 10 else 9):
        async with a_pipeline(STEPWISE) as pipeline:
            made = [a_post(ms=START_MS - n) for n in range(posts)]
            await pipeline.handle(*made)
            await pipeline.append(a_follow("bob"), a_follow("carl"))
            with contextlib.suppress(Killed):
                await pipeline.drain(pipeline.worker(Life(writes)))
            for name in ("bob", "carl"):
                follow = (await pipeline.stores.follows.following(name)).get("alice")
                if follow is not None and follow.materialised:
                    assert await pipeline.timeline(name) == [post.post_id for post in made]


async def test_a_worker_that_keeps_dying_finishes_in_the_end() -> None:
    async with a_pipeline(PUSHED) as pipeline:
        post = a_post()
        await pipeline.append(*(a_follow(name) for name in NAMES), post)
        lives = 0
        while True:
            lives += 1
            try:
                await pipeline.drain(pipeline.worker(Life(12 + lives)))
            except Killed:
                continue
            break
        assert lives > 2
        assert (await pipeline.user("alice")).follower_count == len(NAMES)
        assert all([await pipeline.timeline(name) == [post.post_id] for name in NAMES])
        _, _, _, done = await pipeline.progress(post.post_id)
        assert done
