"""Each method of each store is a read, or a write of which it is known what it tells the shared cache: a new one can't be forgotten."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, get_type_hints

import pytest

from fanfold.adapters.memory import memory_stores
from fanfold.adapters.telling_stores import telling
from fanfold.core import ports
from fanfold.core.cache_keys import (
    authored_key,
    feed_entry,
    feed_key,
    graph_key,
    like_count_key,
    name_key,
    post_key,
    pulled_key,
    recent_likes_key,
)
from fanfold.core.ports import Like, LikeCount, ListedLike, Pointer, RecentLike, Stores, User
from fanfold.core.ports.no_shared_cache import NoSharedCache
from fanfold.core.settings import Settings
from tests.support.clock import START_MS, ManualClock
from tests.support.stores import a_post_id, an_edge

POST = a_post_id()
POINTER = Pointer(POST, "bob")
EDGES = [an_edge("alice", offset=1), an_edge("carl", offset=2)]
TIE: dict[str, Any] = {"active": True, "since_ms": START_MS, "offset": 1}

READS = {
    "posts": {"get", "counted", "by_author", "newest_by_authors"},
    "users": {"get", "get_many", "left", "generations", "all_users"},
    "follows": {
        "follower_edges",
        "followers",
        "audience",
        "following",
        "followee_ids",
        "follows_of",
        "has_followed",
        "following_counts",
        "following_rows",
        "followed_by",
        "all_follower_ids",
    },
    "ties": {
        "mutes",
        "mute_of",
        "has_tied",
        "mutes_of",
        "blocks_made",
        "blocks_with",
        "blocks_between",
    },
    "timelines": {"timeline", "pulled"},
    "pulled_authors": {"get", "announced", "page"},
    "likes": {"counts", "of_post", "of_pairs", "of_user", "recent"},
    "jobs": {"plan", "slices_done"},
    "activity": {"last_reads"},
    "cache_switch": {"outages"},
    "revocations": {"revoked"},
    "sweeps": {"checkpoint"},
    "idempotency_keys": set[str](),
    "tickets": set[str](),
}
OTHERS = {
    "jobs": {"write_plan", "uncount", "finish_slice"},
    "pulled_authors": {"keep", "announce", "mark_announced"},
    "activity": {"note_reads"},
    "cache_switch": {"begin", "end"},
    "revocations": {"revoke"},
    "tickets": {"keep", "take"},
    "sweeps": {"write"},
    "idempotency_keys": {"reserve", "take_over", "release", "answer"},
}
"""Writes to stores of which nothing is cached."""

Write = Callable[[Any], Awaitable[Any]]
TOLD: dict[str, dict[str, tuple[Write, list[str]]]] = {
    "posts": {
        "create": (
            lambda posts: posts.create(POST, "bob", "Hello"),
            [post_key(POST), authored_key("bob")],
        ),
        "edit": (
            lambda posts: posts.edit(POST, "Hi", edited_at_ms=START_MS, offset=1),
            [post_key(POST)],
        ),
        "note_offset": (lambda posts: posts.note_offset(POST, offset=1), [post_key(POST)]),
        "delete": (
            lambda posts: posts.delete(POST, offset=1),
            [post_key(POST), like_count_key(POST.int)],
        ),
        "set_delivery": (
            lambda posts: posts.set_delivery("bob", POST, "push", offset=1),
            [authored_key("bob")],
        ),
    },
    "users": {
        "register": (
            lambda users: users.register("alice", "Alice", registered_at_ms=START_MS, offset=1),
            [name_key("alice")],
        ),
        "write_follower_count": (
            lambda users: users.write_follower_count(User("alice"), offset=1),
            [],
        ),
        "write_post_count": (
            lambda users: users.write_post_count("alice", 1, offset=1),
            [],
        ),
        "set_asleep": (
            lambda users: users.set_asleep("alice", asleep=True, offset=1),
            [graph_key("alice")],
        ),
        "begin_waking": (lambda users: users.begin_waking("alice", offset=1), []),
        "leave": (
            lambda users: users.leave("alice", offset=1),
            [name_key("alice"), graph_key("alice")],
        ),
    },
    "follows": {
        "write_followers": (lambda follows: follows.write_followers("bob", EDGES), []),
        "write_following": (
            lambda follows: follows.write_following("bob", EDGES, materialised=["carl"]),
            [graph_key("alice"), graph_key("carl")],
        ),
        "mark_materialised": (
            lambda follows: follows.mark_materialised("bob", [("alice", 1), ("carl", 2)]),
            [graph_key("alice"), graph_key("carl")],
        ),
        "mark_asleep": (
            lambda follows: follows.mark_asleep("alice", [("bob", 0)], asleep=True, offset=1),
            [],
        ),
    },
    "ties": {
        "write_mute": (
            lambda ties: ties.write_mute("alice", "bob", **TIE),
            [graph_key("alice")],
        ),
        "write_block": (
            lambda ties: ties.write_block("alice", "bob", **TIE),
            [graph_key("alice"), graph_key("bob")],
        ),
    },
    "timelines": {
        "push": (
            lambda timelines: timelines.push([POINTER], ["alice", "carl"]),
            ["alice +", "carl +"],
        ),
        "correct": (
            lambda timelines: timelines.correct("alice", POINTER),
            [feed_key("alice")],
        ),
        "add_pulled": (
            lambda timelines: timelines.add_pulled(POINTER),
            [pulled_key("bob")],
        ),
    },
    "likes": {
        "write_counts": (
            lambda likes: likes.write_counts({POST: LikeCount(1, 1)}),
            [like_count_key(POST.int)],
        ),
        "write": (
            lambda likes: likes.write([Like("alice", POST, "bob", True, START_MS, 1)]),
            [],
        ),
        "write_recent": (
            lambda likes: likes.write_recent(
                [ListedLike("alice", RecentLike(START_MS, POST, "bob"), True, 1)]
            ),
            [recent_likes_key("alice")],
        ),
    },
}
"""For each other write an example, and what it tells: keys to forget, and lists that get the post."""

PORTS = [name for name in Stores.__dataclass_fields__ if name != "ping"]


@dataclass
class Recorder(NoSharedCache):
    """Notes what was told."""

    told: list[str] = field(default_factory=list)

    async def forget(self, keys: Sequence[str]) -> None:
        self.told += keys

    async def push(self, entries: Sequence[bytes], user_ids: Sequence[str]) -> None:
        assert entries == [feed_entry(POST, "bob")]
        self.told += [f"{user_id} +" for user_id in user_ids]


def methods_of(port: str) -> set[str]:
    protocol = get_type_hints(Stores, vars(ports))[port]
    found = {
        name
        for name, method in vars(protocol).items()
        if inspect.isfunction(method) and not name.startswith("_")
    }
    assert found, port
    return found


@pytest.mark.parametrize("port", PORTS)
def test_every_method_is_listed_as_a_read_or_with_what_it_tells(port: str) -> None:
    reads, others, told = READS[port], OTHERS.get(port, set()), set(TOLD.get(port, ()))
    assert methods_of(port) == reads | others | told
    assert len(reads) + len(others) + len(told) == len(reads | others | told), "listed twice"


@pytest.mark.parametrize(
    ("port", "method"), [(port, method) for port in TOLD for method in TOLD[port]]
)
async def test_a_write_tells_what_it_may_have_made_old_and_nothing_more(
    port: str, method: str
) -> None:
    write, expected = TOLD[port][method]
    tables = memory_stores(Settings(), clock=(clock := ManualClock()))
    cache = Recorder()
    # A method that isn't wrapped, or calls another, would be seen.
    called: list[str] = []
    changed: dict[str, Any] = {port: _Watched(getattr(tables, port), called, cache)}
    watched = replace(tables, **changed)
    stores = telling(watched, cache, writer_id="worker", clock=clock)

    await write(getattr(stores, port))

    assert called == [method]
    assert cache.told == expected


@pytest.mark.parametrize("port", PORTS)
def test_reads_and_other_stores_pass_straight_through(port: str) -> None:
    tables = memory_stores(Settings(), clock=(clock := ManualClock()))
    stores = telling(tables, Recorder(), writer_id="worker", clock=clock)
    if port not in TOLD:
        assert getattr(stores, port) is getattr(tables, port)
    for method in READS[port]:
        assert getattr(getattr(stores, port), method) == getattr(getattr(tables, port), method)


async def test_a_delivery_to_nobody_tells_nothing() -> None:
    cache = Recorder()
    tables = memory_stores(Settings(), clock=(clock := ManualClock()))
    stores = telling(tables, cache, writer_id="worker", clock=clock)
    assert await stores.timelines.push([POINTER], []) == 0
    assert await stores.timelines.push([], ["alice"]) == 0
    assert cache.told == []


class _Watched:
    """A store that notes its calls, and that nothing was told before them."""

    def __init__(self, store: Any, called: list[str], cache: Recorder) -> None:
        self._store, self._called, self._cache = store, called, cache

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            assert self._cache.told == []
            self._called.append(name)
            return method(*args, **kwargs)

        return call
