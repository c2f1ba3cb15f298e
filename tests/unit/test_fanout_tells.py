"""The worker tells the shared cache of all that it changes, also when it dies or finds the cache away just before it tells it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from fanfold.adapters.telling_stores import telling
from fanfold.core.cache_keys import (
    authored_key,
    feed_entry,
    graph_key,
    like_count_key,
    name_key,
    post_key,
    pulled_key,
    recent_likes_key,
)
from fanfold.core.errors import TablesUnavailable, Unavailable
from fanfold.core.events import Event, PostCreated, UserLeft, UserRegistered
from fanfold.core.ports import Stores
from fanfold.core.ports.no_shared_cache import NoSharedCache
from fanfold.core.settings import Settings
from tests.support.clock import START_MS
from tests.support.crashes import Killed
from tests.support.fanout import (
    SMALL,
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
    at,
)
from tests.support.sleeping import a_sleep, an_awakening
from tests.support.stores import like_count

USERS = ("alice", "bob", "carl", "dave", "erin", "frank", "gina")
NAMES = USERS[1:]
PUSHED = SMALL.model_copy(update={"pull_threshold": 1000})
STEPWISE = SMALL.model_copy(update={"take_events": 200})

Read = Callable[[], Awaitable[Any]]
Story = Callable[[], tuple[list[Event], list[Event]]]


def posts_edited_and_deleted() -> tuple[list[Event], list[Event]]:
    first, second = a_post(), a_post()
    return [*map(a_follow, NAMES), first], [
        an_edit(first, "better"),
        an_edit(first, "better"),
        an_edit(first, "best"),
        second,
        an_edit(second, "hello"),
        a_deletion(second),
        an_edit(second, "late"),
    ]


def a_celebrity() -> tuple[list[Event], list[Event]]:
    return [a_post()], [*map(a_follow, NAMES), a_post(), an_unfollow("bob"), a_post()]


def follows_and_a_backfill() -> tuple[list[Event], list[Event]]:
    made: list[Event] = [a_post(ms=START_MS - n) for n in range(101)]
    return made, [a_follow("bob"), a_follow("carl"), an_unfollow("carl"), a_follow("carl")]


def ties() -> tuple[list[Event], list[Event]]:
    return [a_follow("bob"), a_follow("carl"), a_mute("bob"), a_block("carl")], [
        an_unmute("bob"),
        a_mute("carl"),
        an_unfollow("bob"),
        a_block("alice", "bob"),
        an_unblock("carl"),
        a_mute("bob", "carl"),
        a_block("bob"),
    ]


def likes() -> tuple[list[Event], list[Event]]:
    post, other = a_post(), a_post()
    return [post, other, a_like(post, "bob")], [
        a_like(post, "carl"),
        an_unlike(post, "bob"),
        a_like(other, "bob"),
        a_like(post, "bob", ms=START_MS + 5),
        an_unlike(other, "dave"),
    ]


def sleep() -> tuple[list[Event], list[Event]]:
    before: list[Event] = [a_follow("bob"), a_follow("carl"), a_post()]
    return before, [a_sleep("bob"), a_sleep("carl"), a_post(), an_awakening("bob"), a_post()]


def names_and_leaving() -> tuple[list[Event], list[Event]]:
    def named(user: str, name: str) -> UserRegistered:
        return UserRegistered(user_id=user, display_name=name, registered_at=at(START_MS))

    before: list[Event] = [named("alice", "Alice"), a_follow("bob"), a_follow("alice", "carl")]
    return before, [
        named("alice", "Al"),
        named("bob", "Bob"),
        UserLeft(user_id="alice", left_at=at(START_MS)),
    ]


STORIES = [
    (posts_edited_and_deleted, SMALL),
    (a_celebrity, SMALL),
    (a_celebrity, PUSHED),
    (follows_and_a_backfill, STEPWISE),
    (ties, SMALL),
    (likes, SMALL),
    (sleep, PUSHED),
    (names_and_leaving, SMALL),
]


@dataclass
class FullCache(NoSharedCache):
    """Holds every value: whatever is forgotten is read again at once. The telling numbered `fails_at` raises `error` instead."""

    stores: Stores
    post_ids: Collection[UUID]
    error: BaseException | None = None
    fails_at: int = -1
    tellings: int = 0
    held: dict[str, Any] = field(default_factory=dict)
    lists: dict[str, set[bytes]] = field(default_factory=dict)

    async def fill(self, values: Any = ()) -> None:
        for key, read in self._reads().items():
            self.held[key] = await read()
        for user_id in USERS:
            self.lists[user_id] = await self._timeline(user_id)

    async def forget(self, keys: Sequence[str]) -> None:
        self._tell()
        reads = self._reads()
        for key in keys:
            self.held[key] = await reads[key]()

    async def push(self, entries: Sequence[bytes], user_ids: Sequence[str]) -> None:
        self._tell()
        for user_id in user_ids:
            self.lists[user_id].update(entries)

    def _tell(self) -> None:
        number, self.tellings = self.tellings, self.tellings + 1
        if number == self.fails_at and self.error is not None:
            raise self.error

    async def old(self) -> list[str]:
        """The keys whose value is not what the tables hold."""
        old = [key for key, read in self._reads().items() if self.held[key] != await read()]
        return old + [
            f"the feed of {user_id}"
            for user_id in USERS
            if not self.lists[user_id] >= await self._timeline(user_id)
        ]

    def _reads(self) -> dict[str, Read]:
        stores = self.stores
        newest: dict[str, Any] = {"before": None, "since_ms": 0, "limit": 999}
        reads: dict[str, Read] = {}
        for post_id in self.post_ids:
            reads[post_key(post_id)] = partial(self._post, post_id)
            reads[like_count_key(post_id.int)] = partial(like_count, stores.likes, post_id)
        for user in USERS:
            reads[name_key(user)] = partial(self._name, user)
            reads[graph_key(user)] = partial(self._graph, user)
            reads[recent_likes_key(user)] = partial(stores.likes.recent, user, limit=99)
            reads[authored_key(user)] = partial(stores.posts.by_author, user, **newest)
            reads[pulled_key(user)] = partial(stores.timelines.pulled, user, **newest)
        return reads

    async def _post(self, post_id: UUID) -> Any:
        post = (await self.stores.posts.get([post_id])).get(post_id)
        return post and (post.content, post.edited_at_ms, post.deleted, post.offset)

    async def _name(self, user_id: str) -> Any:
        user = await self.stores.users.get(user_id)
        return user.name, user.left

    async def _graph(self, user_id: str) -> Any:
        user = await self.stores.users.get(user_id)
        return (
            await self.stores.follows.following(user_id),
            await self.stores.ties.mutes(user_id),
            await self.stores.ties.blocks_with(user_id, USERS),
            (user.asleep, user.asleep_offset, user.left),
        )

    async def _timeline(self, user_id: str) -> set[bytes]:
        found = await self.stores.timelines.timeline(user_id, before=None, since_ms=0, limit=999)
        return {feed_entry(entry.post_id, entry.author_id) for entry in found}


@dataclass
class SwitchAway:
    """A switch that can't be told once."""

    calls: int = 0

    async def begin(self, writer_id: str, epoch: UUID) -> None:
        self.calls += 1
        if self.calls == 1:
            raise TablesUnavailable("the tables are away")
        raise AssertionError("the cache is there again: no outage is due")


async def full_cache(pipeline: Pipeline, events: Sequence[Event], **fails: Any) -> FullCache:
    """A cache that the pipeline's worker tells from now on."""
    post_ids = [event.post_id for event in events if isinstance(event, PostCreated)]
    cache = FullCache(pipeline.stores, post_ids, **fails)
    await cache.fill()
    switch: Any = SwitchAway()
    pipeline.stores = telling(
        replace(pipeline.stores, cache_switch=switch),
        cache,
        writer_id="worker",
        clock=pipeline.clock,
    )
    return cache


@pytest.mark.slow
@pytest.mark.parametrize(("story", "settings"), STORIES)
@pytest.mark.parametrize("trouble", [Killed(), Unavailable("the cache is away")])
async def test_no_cached_value_stays_old_wherever_the_worker_dies_or_finds_the_cache_away(
    story: Story, settings: Settings, trouble: BaseException
) -> None:
    before, events = story()
    async with a_pipeline(settings) as pipeline:
        await pipeline.handle(*before)
        cache = await full_cache(pipeline, [*before, *events])
        await pipeline.handle(*events)
        assert await cache.old() == []
        tellings = cache.tellings
    assert tellings > 1

    for number in range(tellings):
        async with a_pipeline(settings) as pipeline:
            await pipeline.handle(*before)
            cache = await full_cache(pipeline, [*before, *events], error=trouble, fails_at=number)
            await pipeline.append(*events)
            if isinstance(trouble, Killed):
                with pytest.raises(Killed):
                    await pipeline.drain()
            await pipeline.drain()
            assert cache.tellings > number
            assert await cache.old() == [], f"telling {number} of {tellings}"
