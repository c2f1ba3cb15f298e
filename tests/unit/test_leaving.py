"""Users who leave: their follows end both ways, whatever races with it and wherever the worker dies."""

from __future__ import annotations

from typing import Any

import pytest

from fanfold.core.buckets import buckets_up_to
from fanfold.core.events import (
    COMMANDS,
    GRAPH,
    EndFollowers,
    Event,
    UserLeft,
    UserRegistered,
    UserUnfollowed,
    from_ms,
)
from fanout_service.leaving import Leaving
from tests.support.clock import START_MS
from tests.support.crashes import Killed, Life
from tests.support.fanout import SMALL, Pipeline, a_follow, a_pipeline, a_post, an_unfollow

FANS = ("bob", "carl", "dave", "erin", "frank", "gina")
IDOLS = ("zoe", "yann", "xena")
BEFORE: list[Event] = [
    *(a_follow(name) for name in FANS),
    *(a_follow("alice", name) for name in IDOLS),
    an_unfollow("gina"),
    an_unfollow("alice", "xena"),
    a_follow("bob", "zoe"),  # no one's business but theirs
]


def a_leave(user_id: str = "alice") -> UserLeft:
    return UserLeft(user_id=user_id, left_at=from_ms(START_MS))


def a_registration(user_id: str = "alice") -> UserRegistered:
    return UserRegistered(
        user_id=user_id, display_name=user_id.capitalize(), registered_at=from_ms(START_MS)
    )


async def tables(pipeline: Pipeline) -> dict[str, Any]:
    names = ("alice", *FANS, *IDOLS)
    users = {name: await pipeline.user(name) for name in names}
    return {
        "left": {name for name in names if users[name].left},
        "counts": {name: users[name].follower_count for name in names},
        "followers": {name: await pipeline.followers(name) for name in names},
        "following": {
            name: [f.followee_id for f in (await follows(pipeline, name)) if f.active]
            for name in names
        },
        "dead letters": await pipeline.dead_letters(),
    }


async def follows(pipeline: Pipeline, name: str) -> list[Any]:
    return list((await pipeline.stores.follows.following(name)).values())


EXPECTED = {
    "left": {"alice"},
    "counts": dict.fromkeys(("alice", *FANS, *IDOLS), 0) | {"zoe": 1},
    "followers": {name: [] for name in ("alice", *FANS, *IDOLS)} | {"zoe": ["bob"]},
    "following": {name: [] for name in ("alice", *FANS, *IDOLS)} | {"bob": ["zoe"]},
    "dead letters": [],
}


async def unfollows(pipeline: Pipeline) -> list[tuple[str, str]]:
    rows = await pipeline.log.rows([GRAPH], after=0, limit=1000)
    return [
        (event.follower_id, event.followee_id)
        for row in rows
        if isinstance(event := row.record.event(), UserUnfollowed)
    ]


async def test_a_user_who_leaves_is_marked_and_has_no_follows_in_either_direction() -> None:
    async with a_pipeline() as pipeline:
        await pipeline.handle(*BEFORE)
        given = len(await unfollows(pipeline))
        await pipeline.handle(a_leave())
        assert await tables(pipeline) == EXPECTED
        ended = (await unfollows(pipeline))[given:]
        assert len(ended) == len(set(ended)) == 7  # those that were active, once each


async def test_a_registration_after_a_leave_does_not_undo_it() -> None:
    async with a_pipeline() as pipeline:
        await pipeline.handle(a_registration(), a_leave(), a_registration())
        alice = await pipeline.user("alice")
        assert (alice.display_name, alice.left) == ("Alice", True)


@pytest.mark.parametrize("page", [1, 2, 3, 500])
async def test_follows_are_ended_a_page_at_a_time(
    page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_pipeline() as pipeline:
        await pipeline.handle(*BEFORE)
        defaults = {**(Leaving.__init__.__kwdefaults__ or {}), "page": page, "paced_page": page}
        monkeypatch.setattr(Leaving.__init__, "__kwdefaults__", defaults)
        longest = await longest_append(pipeline, a_leave())
        assert await tables(pipeline) == EXPECTED
        assert longest <= page


async def longest_append(pipeline: Pipeline, event: Event) -> int:
    """Of the unfollows in one append while the event is handled."""
    longest = 0
    append_many = pipeline.log.append_many

    async def counted(batch: Any) -> None:
        nonlocal longest
        if isinstance(batch[0], UserUnfollowed):
            longest = max(longest, len(batch))
        await append_many(batch)

    pipeline.log.append_many = counted  # type: ignore[method-assign]
    await pipeline.handle(event)
    return longest


@pytest.mark.slow
@pytest.mark.parametrize(
    "take_events", [*(pytest.param(n, marks=pytest.mark.slow) for n in (1, 5)), 200]
)
async def test_a_worker_that_dies_anywhere_ends_all_follows_in_the_end(
    take_events: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    defaults = {**(Leaving.__init__.__kwdefaults__ or {}), "page": 2, "paced_page": 2}
    monkeypatch.setattr(Leaving.__init__, "__kwdefaults__", defaults)
    settings = SMALL.model_copy(update={"take_events": take_events})
    lived = Life()
    async with a_pipeline(settings) as pipeline:
        await pipeline.handle(*BEFORE)
        await pipeline.append(a_leave())
        await pipeline.drain(pipeline.worker(lived))
        assert await tables(pipeline) == EXPECTED
    assert lived.written > 20
    for writes in range(lived.written):
        async with a_pipeline(settings) as pipeline:
            await pipeline.handle(*BEFORE)
            await pipeline.append(a_leave())
            with pytest.raises(Killed):
                await pipeline.drain(pipeline.worker(Life(writes)))
            await pipeline.drain()
            assert await tables(pipeline) == EXPECTED, f"after {writes} writes"


@pytest.mark.parametrize("take_events", [1, 2, 200])
@pytest.mark.parametrize(
    "late", [a_follow("bob"), a_follow("alice", "zoe"), a_follow("alice", "new")]
)
async def test_a_follow_that_the_log_took_after_the_leave_is_ended(
    late: Event, take_events: int
) -> None:
    """An API that had not yet seen the leave may still append one, either way round."""
    async with a_pipeline(SMALL.model_copy(update={"take_events": take_events})) as pipeline:
        await pipeline.handle(a_leave())
        await pipeline.handle(late)
        assert await pipeline.followers("alice") == []
        assert [follow for follow in await follows(pipeline, "alice") if follow.active] == []
    async with a_pipeline(SMALL.model_copy(update={"take_events": take_events})) as pipeline:
        await pipeline.handle(a_leave(), late)
        assert await pipeline.followers("alice") == []
        assert [follow for follow in await follows(pipeline, "alice") if follow.active] == []


async def test_a_follow_that_its_own_partition_is_late_to_project_is_ended() -> None:
    """The steps of the leave find no edge yet, so the worker that writes it later ends it."""
    async with a_pipeline() as pipeline:
        await pipeline.append(a_leave(), a_follow("alice", "zoe"))
        worker = pipeline.worker()
        await pipeline.step(worker, GRAPH, limit=1)
        while await pipeline.step(worker, COMMANDS, limit=100):
            pass
        await pipeline.drain(worker)
        assert (await pipeline.user("zoe")).follower_count == 0
        assert await unfollows(pipeline) == [("alice", "zoe")]


async def test_a_celebrity_who_leaves_crosses_back_and_every_bucket_is_emptied() -> None:
    async with a_pipeline(SMALL.model_copy(update={"take_events": 50})) as pipeline:
        fans = [f"fan-{n:03}" for n in range(90)]
        await pipeline.handle(*(a_follow(name) for name in fans))
        alice = await pipeline.user("alice")
        assert (alice.delivery, alice.generation) == ("pull", 2)
        follows = pipeline.stores.follows
        held = {bucket for bucket in buckets_up_to(2) if await follows.followers("alice", bucket)}
        await pipeline.handle(a_leave())
        alice = await pipeline.user("alice")
        assert (alice.follower_count, alice.delivery, alice.left) == (0, "push", True)
        assert await pipeline.followers("alice") == []
        rows = await pipeline.log.rows([COMMANDS], after=0, limit=10_000)
        steps = [row.record.event() for row in rows]
        asked = {(e.generation, e.bucket) for e in steps if isinstance(e, EndFollowers)}
        assert held <= asked <= set(buckets_up_to(2))


@pytest.mark.slow
async def test_the_followers_of_a_celebrity_who_leaves_are_ended_at_a_pace() -> None:
    """At most a thousand a second, and never more than a page before the log of others' follows."""
    async with a_pipeline(SMALL.model_copy(update={"take_events": 200})) as pipeline:
        fans = [f"fan-{n:04}" for n in range(1000)]
        await pipeline.handle(*(a_follow(name) for name in fans))
        began_s = pipeline.clock.monotonic_s()
        longest = await longest_append(pipeline, a_leave())
        assert (await pipeline.user("alice")).follower_count == 0
        assert longest <= 50
        assert pipeline.clock.monotonic_s() - began_s >= 1


async def test_many_empty_buckets_are_passed_over_in_several_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fanout_service.leaving.EMPTY_BUCKETS", 1)
    async with a_pipeline(SMALL.model_copy(update={"take_events": 200})) as pipeline:
        await pipeline.handle(*(a_follow(f"fan-{n:03}") for n in range(40)))
        await pipeline.handle(a_leave())
        assert await pipeline.followers("alice") == []


async def test_a_post_that_is_projected_after_its_author_left_stays_hidden() -> None:
    async with a_pipeline() as pipeline:
        post = a_post()
        await pipeline.handle(a_leave(), post)
        assert post.post_id in await pipeline.stores.posts.get([post.post_id])
        assert (await pipeline.user("alice")).left


async def test_a_command_about_a_bucket_that_does_not_exist_is_dead_lettered() -> None:
    async with a_pipeline() as pipeline:
        await pipeline.handle(EndFollowers(user_id="alice", generation=1, bucket=16))
        [(_, reason)] = await pipeline.dead_letters()
        assert "no such bucket" in reason
