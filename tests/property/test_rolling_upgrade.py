"""A worker of the previous version and one of this version share a log and its tables, in whatever turns they take.

The older one knows the events of `tests/fixtures/previous` and no other. What it could not read is replayed once it is gone,
and then the tables are as if it had never been there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfold.core.events import ENGAGEMENT, EVENTS, GRAPH, Event
from fanfold.core.events import POSTS as POSTS_TOPIC
from fanfold.core.ports.log import BatchHandler, Record
from fanfold.ops.dead_letters.replay import Replayed, replay
from fanfold.ops.dead_letters.states import Chosen, State, read_letters
from fanout_service.worker import Worker
from tests.support.examples import examples
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
from tests.support.previous import as_read_before, types_known
from tests.support.stores import like_count

PEOPLE = ("alice", "bob", "carl")
POSTS = tuple(a_post(by=name) for name in PEOPLE)
KNOWN = types_known()

# Few of each, so that they meet.
pairs = st.sampled_from([("alice", "bob"), ("bob", "alice"), ("alice", "carl")])
posts = st.sampled_from(POSTS[:2])

an_event: st.SearchStrategy[Event] = st.one_of(
    *(
        st.builds(lambda pair, make=make: make(*pair), pairs)
        for make in (a_follow, an_unfollow, a_mute, an_unmute, a_block, an_unblock)
    ),
    st.builds(a_like, posts, st.sampled_from(PEOPLE)),
    st.builds(an_unlike, posts, st.sampled_from(PEOPLE)),
    st.builds(an_edit, posts, st.sampled_from(["once", "twice"])),
    st.builds(a_deletion, posts),
)
"""Of both versions' kinds."""

a_turn = st.tuples(
    st.sampled_from(["older", "newer"]),
    st.sampled_from([GRAPH, ENGAGEMENT, POSTS_TOPIC]),
    st.integers(1, 5),
)
histories = st.lists(an_event | a_turn, max_size=40)


class Older:
    """A worker that knows only the events of the previous version."""

    def __init__(self, worker: Worker) -> None:
        self._handlers = worker.handlers()

    def handlers(self) -> Mapping[str, BatchHandler]:
        def reading(handler: BatchHandler) -> BatchHandler:
            async def handle(records: Sequence[Record]) -> None:
                await handler([as_read_before(record, KNOWN) for record in records])

            return handle

        return {topic: reading(handler) for topic, handler in self._handlers.items()}


async def lived_through(pipeline: Pipeline, history: Sequence[Any]) -> list[Event]:
    """What happened, in order, while the two took turns."""
    newer = pipeline.worker()
    workers: dict[str, Any] = {"newer": newer, "older": Older(newer)}
    happened: list[Event] = [*POSTS]
    await pipeline.append(*POSTS)
    for step in history:
        if isinstance(step, Event):
            await pipeline.append(step)
            happened.append(step)
        else:
            who, topic, limit = step
            await pipeline.step(workers[who], topic, limit=limit)
    # The older one takes all that is left: as late as a rollout can be.
    for topic in TOPICS:
        await pipeline.step(workers["older"], topic, limit=1000)
    return happened


def last(happened: Sequence[Event], *kinds: str) -> dict[tuple[str, ...], str]:
    """The kind of the last event about each pair of users, or user and post."""
    return {
        tuple(
            str(getattr(event, name))
            for name in ("user_id", "follower_id", "target_id", "followee_id", "post_id")
            if hasattr(event, name)
        ): type(event).__name__
        for event in happened
        if type(event).__name__ in kinds
    }


@pytest.mark.slow
@examples(40)
@given(histories)
def test_events_unreadable_to_the_older_version_end_as_if_it_had_read_them(
    history: list[Any],
) -> None:
    asyncio.run(_check(history))


async def _check(history: list[Any]) -> None:
    async with a_pipeline() as pipeline:
        happened = await lived_through(pipeline, history)

        await replay(pipeline.log, pipeline.clock, Chosen(), Replayed(), again=False, dry_run=False)
        await pipeline.drain()

        states = {letter.state for letter in await read_letters(pipeline.log, pipeline.clock)}
        assert states <= {State.REPLAYED, State.OVERTAKEN}
        await _tables_show(pipeline, happened)
        # Once more changes nothing.
        again = Replayed()
        await replay(pipeline.log, pipeline.clock, Chosen(), again, again=False, dry_run=False)
        assert again.replayed == 0


async def _follows_in_the_log(
    pipeline: Pipeline, happened: Sequence[Event]
) -> dict[tuple[str, ...], str]:
    """What happened, and the ends of follows across a block, which the worker appends."""
    kinds = ("UserFollowed", "UserUnfollowed")
    rows = await pipeline.log.rows([GRAPH], after=0, limit=10_000)
    in_the_log = last([row.record.event() for row in rows], *kinds)
    ties = last(happened, "UserBlocked", "UserUnblocked")
    for pair, kind in last(happened, *kinds).items():
        ends = [ties[between] for between in (pair, pair[::-1]) if between in ties]
        if "UserBlocked" in ends:
            assert in_the_log[pair] == "UserUnfollowed"
        elif not ends:
            assert in_the_log[pair] == kind
    return in_the_log


async def _tables_show(pipeline: Pipeline, happened: Sequence[Event]) -> None:
    stores, likes = pipeline.stores, pipeline.stores.likes
    followed = await _follows_in_the_log(pipeline, happened)
    for (user, other), kind in followed.items():
        follow = (await stores.follows.following(user)).get(other)
        assert bool(follow and follow.active) == (kind == "UserFollowed")
    for (user, other), kind in last(happened, "UserMuted", "UserUnmuted").items():
        mute = await stores.ties.mute_of(user, other)
        assert mute is not None
        assert mute.active == (kind == "UserMuted")
    for (user, other), kind in last(happened, "UserBlocked", "UserUnblocked").items():
        mine = [block for block in await stores.ties.blocks_between(user, other) if block.mine]
        assert [block.active for block in mine] == [kind == "UserBlocked"]
    liked = last(happened, "PostLiked", "PostUnliked")
    for post in POSTS:
        fans = {
            u for (u, p), kind in liked.items() if p == str(post.post_id) and kind == "PostLiked"
        }
        assert (await like_count(likes, post.post_id)).likes == len(fans)
        for name in PEOPLE:
            of_user = await likes.of_user(name, [post.post_id])
            assert bool(of_user) == (name in fans)
    for name in PEOPLE:
        fans = {
            u for (u, other), kind in followed.items() if other == name and kind == "UserFollowed"
        }
        assert await pipeline.followers(name) == sorted(fans)
        assert (await pipeline.user(name)).follower_count == len(fans)


def test_the_older_one_knows_less_and_nothing_that_is_unknown_now() -> None:
    assert {event.type_name() for event in EVENTS} > KNOWN
