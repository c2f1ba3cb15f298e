"""`fanfold explain`: each reason, from tables that the worker wrote. The oracle says whether the post belongs into the feed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args
from uuid import UUID

import pytest
from typer.testing import CliRunner

from console_service.explain.facts import Cached
from console_service.explain.read_facts import read_cached
from console_service.explain.reasons import LATE_MS, Explanation, Fault, Hiding, Waiting
from console_service.explain.view import SourceOfPost
from fanfold.adapters.memory.shared_cache import MemorySharedCache
from fanfold.adapters.sqlite.log import SqliteLog
from fanfold.core import errors
from fanfold.core.cache_keys import graph_key
from fanfold.core.clock import SystemClock
from fanfold.core.events import (
    COMMANDS,
    PROJECTED_TOPICS,
    DeliverSlice,
    PostCreated,
    UserFellAsleep,
    UserFollowed,
    UserLeft,
)
from fanfold.core.ids import new_post_id
from fanfold.core.ports import FollowerEdge, Pointer
from fanfold.core.ports.cache_epoch import CacheEpoch
from fanfold.core.ports.engines import Engines
from fanfold.core.ports.shared_cache import Lease
from fanfold.core.settings import MS_PER_DAY
from fanfold.ops.command_line import app
from feed_service.served_feeds import served_feeds
from tests.support.clock import START_MS
from tests.support.explained import explained
from tests.support.fanout import (
    SMALL,
    Pipeline,
    a_block,
    a_deletion,
    a_follow,
    a_mute,
    a_pipeline,
    a_post,
    an_unfollow,
    at,
)
from tests.support.oracle import Oracle

SETTINGS = SMALL.model_copy(update={"feed_depth": 3, "cache": "memory", "overlap_s": 0})


@dataclass
class Case:
    """A pipeline with a shared cache that nobody tells: what a reader puts there grows old."""

    pipeline: Pipeline
    engines: Engines
    post: PostCreated

    async def handle(self, *events: Any) -> None:
        await self.pipeline.handle(*events)

    async def explain(self, *, viewer: str = "bob", post_id: UUID | None = None) -> Explanation:
        return await explained(
            self.engines,
            viewer,
            post_id or self.post.post_id,
            settings=SETTINGS,
            clock=self.pipeline.clock,
        )

    async def belongs(self, *, viewer: str = "bob") -> bool:
        """Whether the oracle has the post in the feed."""
        rows = await self.pipeline.log.rows(PROJECTED_TOPICS, after=0, limit=10_000)
        oracle = Oracle().fold(
            (r.topic, r.partition, r.offset, r.headers["ce_type"].decode(), r.value or b"")
            for r in (row.record for row in rows)
        )
        since_ms = self.pipeline.clock.now_ms() - SETTINGS.retention_ms
        feed = oracle.feed(viewer, since_ms=since_ms)[: SETTINGS.feed_depth]
        return viewer not in oracle.left and str(self.post.post_id) in [post[0] for post in feed]

    async def read(self) -> None:
        """Let a reader fill the cache."""
        clock = self.pipeline.clock
        async with served_feeds(self.engines.tables, settings=SETTINGS, clock=clock) as served:
            await served.whole("bob")

    async def explain_as_cached(self) -> Explanation:
        assert self.engines.cache_epoch is not None
        await self.engines.cache_epoch.read()
        return await self.explain()


@asynccontextmanager
async def a_case(*, followed: bool = True) -> AsyncIterator[Case]:
    """Bob follows Alice, who is pushed and then posts."""
    async with a_pipeline(SETTINGS) as pipeline:
        clock, stores = pipeline.clock, pipeline.stores
        epoch = CacheEpoch(stores.cache_switch, clock=clock)
        cache = MemorySharedCache(SETTINGS, clock=clock, epoch=epoch)
        case = Case(pipeline, Engines(pipeline.log, stores, cache, epoch), a_post())
        if followed:
            await case.handle(a_follow("bob"))
        await case.handle(case.post)
        yield case


# --- in the feed -----------------------------------------------------------------------------------------


async def by_the_timeline(case: Case) -> None:
    """As it is."""


async def by_pull(case: Case) -> None:
    await case.handle(a_follow("carl"), a_follow("dave"))
    case.post = a_post()
    await case.handle(case.post)


async def before_the_backfill(case: Case) -> None:
    await case.handle(an_unfollow("bob"))
    await case.pipeline.append(*(a_post(ms=START_MS - 1000 - n) for n in range(100)))
    await case.pipeline.drain()
    await case.pipeline.append(a_follow("bob"))
    worker = case.pipeline.worker()
    while await case.pipeline.step(worker, "graph.v1", limit=10):
        pass


async def to_a_sleeper(case: Case) -> None:
    await case.handle(UserFellAsleep(user_id="bob", fell_asleep_at=at(START_MS)))
    case.post = a_post()
    await case.handle(case.post)


@pytest.mark.parametrize(
    ("happens", "source"),
    [
        (by_the_timeline, "timeline"),
        (by_pull, "pulled"),
        (before_the_backfill, "not-materialised"),
        (to_a_sleeper, "asleep"),
    ],
)
async def test_a_post_in_the_feed_is_explained_by_its_source(
    happens: Callable[[Case], Awaitable[None]], source: str
) -> None:
    async with a_case() as case:
        await happens(case)
        found = await case.explain()
        assert await case.belongs()
        assert (found.in_feed, found.wrong, found.reasons[-1].kind) == (True, False, source)


async def test_the_viewers_own_post_is_explained_as_that() -> None:
    async with a_case() as case:
        found = await case.explain(viewer="alice")
        assert await case.belongs(viewer="alice")
        assert (found.in_feed, [reason.kind for reason in found.reasons]) == (True, ["own"])


# --- rightly not in the feed -----------------------------------------------------------------------------


async def never(case: Case) -> None:
    """As it is, without a follow."""


async def too_old(case: Case) -> None:
    case.pipeline.clock.advance(31 * MS_PER_DAY / 1000)


async def behind_newer_ones(case: Case) -> None:
    await case.handle(*(a_post(ms=START_MS + n) for n in range(1, 4)))


HIDDEN: list[tuple[Hiding, Callable[[Case], Awaitable[None]]]] = [
    ("never-followed", never),
    ("unfollowed", lambda case: case.handle(an_unfollow("bob"))),
    ("muted", lambda case: case.handle(a_mute("bob"))),
    # A block without the unfollows before it: the reader filters by it alone.
    ("blocked", lambda case: case.handle(a_block("bob"))),
    ("blocked-by-author", lambda case: case.handle(a_block("alice", "bob"))),
    ("deleted", lambda case: case.handle(a_deletion(case.post))),
    ("author-left", lambda case: case.handle(UserLeft(user_id="alice", left_at=at(START_MS)))),
    ("viewer-left", lambda case: case.handle(UserLeft(user_id="bob", left_at=at(START_MS)))),
    ("older-than-retention", too_old),
    ("beyond-depth", behind_newer_ones),
]


@pytest.mark.parametrize(("kind", "happens"), HIDDEN, ids=[kind for kind, _ in HIDDEN])
async def test_a_post_that_does_not_belong_into_the_feed_is_explained_by_what_hides_it(
    kind: str, happens: Callable[[Case], Awaitable[None]]
) -> None:
    async with a_case(followed=kind != "never-followed") as case:
        await happens(case)
        found = await case.explain()
        assert not await case.belongs()
        assert (found.in_feed, found.wrong) == (False, False)
        assert kind in [reason.kind for reason in found.reasons]


async def test_a_post_that_no_table_has_is_unknown() -> None:
    async with a_case() as case:
        found = await case.explain(post_id=new_post_id(START_MS))
        assert (found.in_feed, found.wrong) == (False, False)
        assert [reason.kind for reason in found.reasons] == ["unknown-post"]


async def test_a_reason_names_the_event_by_which_it_came() -> None:
    async with a_case() as case:
        await case.handle(a_mute("bob", ms=START_MS + 7))
        found = await case.explain()
        (muted,) = found.reasons
        assert (muted.topic, muted.key, muted.offset, muted.at_ms) == (
            "ties.v1",
            "bob",
            0,
            START_MS + 7,
        )


# --- not in the feed yet ---------------------------------------------------------------------------------


async def test_a_post_that_no_worker_has_planned_is_late_and_after_ten_minutes_wrong() -> None:
    async with a_case() as case:
        case.post = a_post(ms=START_MS)
        await case.pipeline.stores.posts.create(case.post.post_id, "alice", "hello")
        found = await case.explain()
        assert (found.in_feed, found.wrong, found.late) == (False, False, True)
        assert [reason.kind for reason in found.reasons] == ["not-planned"]
        case.pipeline.clock.advance(LATE_MS / 1000 + 1)
        assert (await case.explain()).wrong


async def test_a_post_whose_slice_waits_is_late_and_after_ten_minutes_wrong() -> None:
    settings = SETTINGS.model_copy(update={"pull_threshold": 100})
    async with a_case() as case:
        case.pipeline.settings = settings
        await case.handle(a_follow("carl"), a_follow("dave"), a_follow("erin"))
        case.post = a_post()
        await case.pipeline.append(case.post)
        await case.pipeline.step(case.pipeline.worker(), "posts.v1", limit=10)
        rows = await case.pipeline.log.rows([COMMANDS], after=0, limit=1000)
        assert any(isinstance(row.record.event(), DeliverSlice) for row in rows)
        found = await case.explain()
        assert (found.in_feed, found.wrong, found.late) == (False, False, True)
        assert [reason.kind for reason in found.reasons] == ["slice-waits"]
        case.pipeline.clock.advance(LATE_MS / 1000 + 1)
        assert (await case.explain()).wrong
        await case.pipeline.drain()
        assert (await case.explain()).in_feed


# --- wrong tables, wrong cache ---------------------------------------------------------------------------


async def without_timeline_row(case: Case) -> None:
    case.pipeline.stores.timelines._timelines["bob"].clear()  # type: ignore[attr-defined]


async def without_edge(case: Case) -> None:
    """The followee's side of the follow is lost, and so is a delivery."""
    edge = FollowerEdge("bob", 0, False, START_MS, 0, 7)
    await case.pipeline.stores.follows.write_followers("alice", [edge])
    case.post = a_post()
    await case.handle(case.post)


async def with_a_foreign_pointer(case: Case) -> None:
    await case.handle(a_follow("bob", "zoe"))
    case.post = a_post(ms=START_MS - 5)
    timelines = case.pipeline.stores.timelines
    await timelines.push([Pointer(case.post.post_id, "zoe")], ["bob"])
    await case.handle(case.post)


async def without_author_pointer(case: Case) -> None:
    await without_timeline_row(case)
    table = case.pipeline.stores.posts._by_author  # type: ignore[attr-defined]
    for partition in table.partitions():
        table.remove(partition)


async def without_pulled_row(case: Case) -> None:
    await by_pull(case)
    case.pipeline.stores.timelines._celebrity_posts.clear()  # type: ignore[attr-defined]


async def without_pulled_author(case: Case) -> None:
    await by_pull(case)
    pulled_authors: Any = case.pipeline.stores.pulled_authors
    pulled_authors._rows.clear()
    pulled_authors._announced.clear()


FAULTS: list[tuple[Fault, Callable[[Case], Awaitable[None]]]] = [
    ("timeline-row-missing", without_timeline_row),
    ("edge-missing", without_edge),
    ("foreign-pointer", with_a_foreign_pointer),
    ("author-pointer-missing", without_author_pointer),
    ("pulled-row-missing", without_pulled_row),
    ("author-not-pulled", without_pulled_author),
]


@pytest.mark.parametrize(("kind", "happens"), FAULTS, ids=[kind for kind, _ in FAULTS])
async def test_a_post_that_the_tables_lack_is_wrong_and_the_missing_row_is_named(
    kind: str, happens: Callable[[Case], Awaitable[None]]
) -> None:
    async with a_case() as case:
        await happens(case)
        found = await case.explain()
        assert await case.belongs()
        assert (found.in_feed, found.wrong) == (False, True)
        assert [reason.kind for reason in found.reasons] == [kind]


CACHED: list[tuple[Fault, Callable[[Case], Awaitable[None]]]] = [
    ("cached-graph", lambda case: case.handle(an_unfollow("bob"))),
    ("cached-post", lambda case: case.handle(a_deletion(case.post))),
    ("cached-name", lambda case: case.handle(UserLeft(user_id="alice", left_at=at(START_MS)))),
    ("cached-list", without_timeline_row),
    ("cached-pulled", without_pulled_row),
]


@pytest.mark.parametrize(("kind", "happens"), CACHED, ids=[kind for kind, _ in CACHED])
async def test_a_cache_that_is_older_than_the_tables_is_named(
    kind: str, happens: Callable[[Case], Awaitable[None]]
) -> None:
    async with a_case() as case:
        assert case.engines.cache_epoch is not None
        await case.engines.cache_epoch.read()
        if kind == "cached-pulled":
            await by_pull(case)
        await case.read()
        if kind == "cached-pulled":
            case.pipeline.stores.timelines._celebrity_posts.clear()  # type: ignore[attr-defined]
        else:
            await happens(case)
        found = await case.explain_as_cached()
        assert found.in_feed
        assert kind in [reason.kind for reason in found.reasons]
        assert found.wrong == (not await case.belongs())


async def test_an_authors_cached_list_that_lacks_a_post_is_named() -> None:
    async with a_case() as case:
        await to_a_sleeper(case)
        assert case.engines.cache_epoch is not None
        await case.engines.cache_epoch.read()
        await case.read()
        case.post = a_post(ms=START_MS + 1)
        await case.handle(case.post)
        found = await case.explain_as_cached()
        assert (found.in_feed, found.wrong) == (False, True)
        assert "cached-author-list" in [reason.kind for reason in found.reasons]


async def test_explaining_leases_no_key_and_wakes_nobody() -> None:
    async with a_case() as case:
        await to_a_sleeper(case)
        assert case.engines.cache_epoch is not None
        await case.engines.cache_epoch.read()
        cached = Cached()
        assert await read_cached(case.engines.cache, "bob", case.post.post_id, None) == cached
        (lease,) = await case.engines.cache.look_up([graph_key("bob")])
        assert isinstance(lease, Lease), "free for the first reader"
        await case.explain()
        assert (await case.pipeline.user("bob")).asleep
        assert await case.pipeline.stores.activity.last_reads(["bob"]) == {}


def test_every_reason_has_a_test() -> None:
    tested = {kind for kind, _ in [*HIDDEN, *FAULTS, *CACHED]}
    source = Path(__file__).read_text()
    for kinds in (SourceOfPost, Hiding, Waiting, Fault):
        for kind in get_args(kinds):
            assert kind in tested or f'"{kind}"' in source, kind


# --- the command -----------------------------------------------------------------------------------------


async def a_log(directory: Path) -> PostCreated:
    """The log of an embedded stack, in which Bob follows Alice, who has posted."""
    async with SqliteLog(directory / "log.sqlite", clock=SystemClock(), source="test") as log:
        return await followed_and_posted(log)


async def followed_and_posted(log: SqliteLog) -> PostCreated:
    now_ms = SystemClock().now_ms()
    follow = UserFollowed(follower_id="bob", followee_id="alice", followed_at=at(now_ms))
    post = a_post(ms=now_ms)
    await log.append_many([follow, post])
    return post


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["explain", *arguments])


async def test_the_command_reads_a_copy_of_an_embedded_stacks_log(tmp_path: Path) -> None:
    post = await a_log(tmp_path)
    before = (tmp_path / "log.sqlite").read_bytes()

    shown = await asyncio.to_thread(
        run, "bob", str(post.post_id), "--data", str(tmp_path), "--json"
    )
    assert shown.exit_code == 0, shown.output
    found = json.loads(shown.stdout)
    assert (found["in_feed"], found["wrong"]) == (True, False)
    assert found["reasons"][0]["reason"] == "timeline"
    assert (found["strategy"], found["slice"]["delivered"]) == ("push", 1)
    assert (tmp_path / "log.sqlite").read_bytes() == before

    hidden = await asyncio.to_thread(run, "carl", str(post.post_id), "--data", str(tmp_path))
    assert hidden.exit_code == 0
    assert "never-followed: carl has never followed alice" in hidden.output
    assert "planned_at and finished_at are of now" in " ".join(hidden.output.split())
    assert "None" not in hidden.output
    assert run("bob", "not-an-id").exit_code == 2


async def test_an_id_that_no_post_or_user_can_have_is_refused(tmp_path: Path) -> None:
    post = await a_log(tmp_path)
    for user, named, says in (
        ("bob", "f47ac10b-58cc-4372-a567-0e02b2c3d479", "UUIDv7"),
        ("bob", "ffffffff-ffff-ffff-ffff-ffffffffffff", "UUIDv7"),
        ("", str(post.post_id), "for the user"),
    ):
        refused = await asyncio.to_thread(run, user, named, "--data", str(tmp_path))
        assert isinstance(refused.exception, errors.Fault)
        assert says in str(refused.exception)
    # Its time is after the year 9999.
    far = "ffffffff-ffff-7fff-bfff-ffffffffffff"
    unknown = await asyncio.to_thread(run, "bob", far, "--data", str(tmp_path), "--json")
    assert json.loads(unknown.stdout)["created_at"] is None


async def test_the_log_of_a_running_stack_can_be_read(tmp_path: Path) -> None:
    async with SqliteLog(tmp_path / "log.sqlite", clock=SystemClock(), source="test") as log:
        post = await followed_and_posted(log)
        shown = await asyncio.to_thread(
            run, "bob", str(post.post_id), "--data", str(tmp_path), "--json"
        )
    assert json.loads(shown.stdout)["in_feed"] is True
