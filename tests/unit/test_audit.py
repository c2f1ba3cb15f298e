"""`fanfold audit` and `fanfold rebuild`: seeded faults in the tables and in the shared cache are found, explained and mended."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from prometheus_client import REGISTRY
from rich.console import Console
from typer.testing import CliRunner

from fanfold.adapters import stacks
from fanfold.adapters.memory import memory_stores
from fanfold.adapters.memory.shared_cache import MemorySharedCache
from fanfold.adapters.sqlite.log import SqliteLog
from fanfold.adapters.telling_stores import stores_of_worker
from fanfold.core.clock import SystemClock
from fanfold.core.errors import Fault, Unavailable
from fanfold.core.events import PostCreated, UserFellAsleep
from fanfold.core.ports import FollowerEdge, Pointer
from fanfold.core.ports.cache_epoch import CacheEpoch
from fanfold.core.ports.engines import Engines
from fanfold.ops.audit import users
from fanfold.ops.audit.audit import AGAIN_AFTER_S
from fanfold.ops.audit.by_pull import FeedsByPull
from fanfold.ops.audit.command import Chosen, _audit, _round, audit_once, seconds, show
from fanfold.ops.audit.metrics import export
from fanfold.ops.audit.report import MOST_EXAMPLES, MOST_REPAIRS, Report
from fanfold.ops.command_line import app
from fanfold.ops.rebuild import rebuild_timeline
from feed_service.served_feeds import served_feeds
from tests.support.clock import START_MS, ManualClock
from tests.support.eventually import eventually
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
from tests.support.real_stack import free_port

SETTINGS = SMALL.model_copy(update={"cache": "memory", "overlap_s": 0})
READERS = ("bob", "carl", "dave", "erin")


@dataclass
class System:
    """Alice is pushed, Nova is pulled by all readers; each has posted. The cache is told by nobody, and filled by `read`."""

    pipeline: Pipeline
    engines: Engines
    pushed: PostCreated
    pulled: PostCreated

    async def audit(self, *names: str, repair: bool = False) -> Report:
        assert self.engines.cache_epoch is not None
        await self.engines.cache_epoch.read()
        chosen = Chosen(users=names, everyone=not names, repair=repair)
        return await audit_once(self.engines, SETTINGS, chosen, clock=self.pipeline.clock)

    async def read(self) -> None:
        """Let readers fill the cache."""
        assert self.engines.cache_epoch is not None
        await self.engines.cache_epoch.read()
        async with served_feeds(
            self.engines.tables, settings=SETTINGS, clock=self.pipeline.clock
        ) as served:
            for reader in READERS:
                await served.whole(reader)

    @property
    def tables(self) -> Any:
        return self.engines.stores


class WatchedClock(ManualClock):
    """The epoch is read again after each sleep, as a process does that watches it."""

    epoch: CacheEpoch | None = None

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        if self.epoch is not None:
            await self.epoch.read()


@asynccontextmanager
async def a_system() -> AsyncIterator[System]:
    clock = WatchedClock(autojump=True)
    async with a_pipeline(SETTINGS, clock) as pipeline:
        stores = pipeline.stores
        epoch = clock.epoch = CacheEpoch(stores.cache_switch, clock=clock)
        cache = MemorySharedCache(SETTINGS, clock=clock, epoch=epoch)
        await pipeline.handle(*(a_follow(reader, "nova") for reader in READERS))
        await pipeline.handle(a_follow("bob"), a_follow("carl"))
        pushed, pulled = a_post(ms=START_MS), a_post(by="nova", ms=START_MS + 1)
        await pipeline.handle(pushed, pulled)
        yield System(pipeline, Engines(pipeline.log, stores, cache, epoch), pushed, pulled)


async def test_right_feeds_are_right() -> None:
    async with a_system() as system:
        await system.pipeline.handle(
            a_mute("carl", "nova"), a_block("dave", "nova"), an_unfollow("erin", "nova")
        )
        await system.read()
        report = await system.audit()
        assert (report.users, report.posts, report.wrong_users) == (4, 2 + 1 + 0 + 0, 0)
        assert report.wrong.total() == 0 == report.late
        assert report.cached_values > 10
        assert report.describe() == "4 feeds of 3 posts: nothing is wrong"


# --- seeded faults ---------------------------------------------------------------------------------------


async def a_missing_timeline_row(system: System) -> None:
    system.tables.timelines._timelines["bob"].clear()


async def a_ghost_row(system: System) -> None:
    """A pointer that names Alice, to a post by Zoe; Bob does not follow her."""
    zoes = a_post(by="zoe", ms=START_MS + 5)
    await system.pipeline.handle(zoes)
    await system.tables.timelines.push([Pointer(zoes.post_id, "alice")], ["bob"])


async def a_pointer_to_another_author(system: System) -> None:
    post = a_post(ms=START_MS + 5)
    await system.tables.timelines.push([Pointer(post.post_id, "nova")], ["bob"])
    await system.pipeline.handle(post)


async def a_missing_pulled_row(system: System) -> None:
    system.tables.timelines._celebrity_posts.clear()


async def a_missing_pulled_author(system: System) -> None:
    system.tables.pulled_authors._rows.clear()
    system.tables.pulled_authors._announced.clear()


async def a_lost_edge(system: System) -> None:
    """The followee's side lacks Bob's follow, and so a delivery."""
    follows: Any = system.tables.follows
    for rows in follows._followers._partitions.values():
        rows.pop("bob", None)
    await system.pipeline.handle(a_post(ms=START_MS + 5))


async def a_stale_cached_list(system: System) -> None:
    await system.read()
    await system.pipeline.handle(a_post(ms=START_MS + 5))


async def a_stale_cached_graph(system: System) -> None:
    await system.read()
    await system.pipeline.handle(an_unfollow("bob"))


async def a_stale_cached_post(system: System) -> None:
    await system.read()
    await system.pipeline.handle(a_deletion(system.pushed))


Seed = Callable[[System], Awaitable[None]]
FAULTS: list[tuple[Seed, set[str], set[str]]] = [
    (a_missing_timeline_row, {"missing"}, {"timeline-row-missing"}),
    (a_ghost_row, {"foreign-pointer"}, {"foreign-pointer"}),
    (a_pointer_to_another_author, {"foreign-pointer"}, {"foreign-pointer"}),
    (a_missing_pulled_row, {"missing"}, {"pulled-row-missing"}),
    (a_missing_pulled_author, {"missing"}, {"author-not-pulled"}),
    (a_lost_edge, {"missing"}, {"edge-missing"}),
    (a_stale_cached_list, {"missing", "cached"}, {"cached-list"}),
    (a_stale_cached_graph, {"extra", "cached"}, {"cached-graph"}),
    (a_stale_cached_post, {"extra", "cached"}, {"cached-post"}),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seed", "what", "causes"), FAULTS, ids=[seed.__name__ for seed, _, _ in FAULTS]
)
async def test_a_seeded_fault_is_found_explained_and_mended(
    seed: Seed, what: set[str], causes: set[str]
) -> None:
    async with a_system() as system:
        await seed(system)
        found = await system.audit()
        assert what <= {kind for kind, count in found.wrong.items() if count}
        assert causes <= {finding.cause for finding in found.findings if finding.cause}
        assert "bob" in found.wrong_ids
        assert found.repairs == []
        assert all(found.rate(kind) > 0 for kind in what)

        mended = await system.audit(repair=True)
        assert mended.repairs
        # What is shared is mended once for all who see it.
        assert (mended.wrong_users, mended.repaired_users >= 1) == (0, True)
        again = await system.audit()
        assert (again.wrong_users, again.repairs) == (0, [])


async def test_an_authors_wrong_list_does_not_make_a_right_timeline_wrong() -> None:
    async with a_system() as system:
        alices = system.pushed.post_id
        await system.pipeline.handle(a_follow("bob", "zoe"))
        system.tables.posts._by_author.write("zoe", alices, START_MS * 1000, delivery="push")
        clock = system.pipeline.clock
        report = await system.audit("bob", repair=True)
        rebuilt = await rebuild_timeline("bob", system.engines, SETTINGS, clock=clock)
        timeline = await system.tables.timelines.timeline(
            "bob", before=None, since_ms=START_MS, limit=10
        )
        assert (report.mended, rebuilt.corrected) == (0, 0)
        assert [(row.post_id, row.author_id) for row in timeline] == [(alices, "alice")]


async def test_a_duplicate_is_counted() -> None:
    from fanfold.ops.audit.by_pull import PulledFeed
    from fanfold.ops.audit.compare import Difference, ServedPost, compare

    post = a_post().post_id
    served = ServedPost(post, "alice", "push")
    found = compare(
        PulledFeed(authors={post: "alice"}), [served, served], [served], window=10, most_of_pulled=5
    )
    assert found == {Difference("chronological", "duplicate", post)}


async def test_a_feed_of_many_authors_is_not_held_whole_and_exact_where_it_is_shown() -> None:
    clock = ManualClock()
    stores = memory_stores(SETTINGS, clock=clock)
    posts = [a_post(by=f"author{number}", ms=START_MS + number) for number in range(100)]
    for number, post in enumerate(posts):
        author = post.author_id
        follow = FollowerEdge("bob", 0, True, START_MS, number, number)
        await stores.follows.write_following(author, [follow])
        await stores.posts.create(post.post_id, author, "hello")
    await stores.posts.delete(posts[-1].post_id, offset=1_000)
    found = await FeedsByPull(stores=stores, depth=5)("bob", since_ms=START_MS)
    assert list(found.authors) == [post.post_id for post in reversed(posts[94:99])]
    assert posts[50].post_id < found.exact_since <= posts[94].post_id


async def test_a_post_under_way_is_late_and_not_wrong() -> None:
    async with a_system() as system:
        post = a_post(ms=START_MS + 5)
        await system.tables.posts.create(post.post_id, "alice", "hello")
        report = await system.audit()
        assert report.wrong_users == 0
        assert report.late == 2 * 2  # two followers, two rankings
        assert report.describe().endswith("nothing is wrong, 4 late")


async def test_an_error_that_cannot_be_mended_is_not_counted_as_mended() -> None:
    async with a_system() as system:
        # No worker has planned it, long after it was created.
        post = a_post(ms=START_MS - 3_600_000)
        await system.tables.posts.create(post.post_id, "alice", "hello")
        repairs = REGISTRY.get_sample_value("fanfold_audit_repairs_total") or 0
        report = await system.audit("bob", repair=True)
        export(report)
        assert (report.wrong_users, report.mended, report.repairs) == (1, 0, [])
        assert report.unmended == [f"{post.post_id} of bob: only a replay mends it"] * 2
        assert REGISTRY.get_sample_value("fanfold_audit_repairs_total") == repairs
        show(report, Console(file=(printed := io.StringIO()), width=200))
        assert f"not mended: {post.post_id} of bob" in printed.getvalue()


def test_a_report_of_a_disaster_has_a_bound() -> None:
    report = Report()
    for number in range(2 * MOST_REPAIRS):
        report.mend(f"put post {number}")
        report.leave(f"post {number}")
    assert (report.mended, len(report.repairs)) == (2 * MOST_REPAIRS, MOST_REPAIRS)
    assert len(report.unmended) == MOST_EXAMPLES
    show(report, Console(file=(printed := io.StringIO()), width=200))
    assert f"mended: {MOST_REPAIRS:,} more" in printed.getvalue()


@pytest.mark.parametrize("user", ["", "bob smith", "b\0b", "x" * 65])
@pytest.mark.parametrize("command", [["audit", "--user"], ["rebuild"]])
def test_a_text_that_can_be_no_user_is_refused(command: list[str], user: str) -> None:
    refused = run(*command, user)
    assert isinstance(refused.exception, Fault)
    assert "for the user" in str(refused.exception)


async def test_what_changes_during_an_audit_is_not_wrong() -> None:
    async with a_system() as system:
        await a_missing_timeline_row(system)
        clock = system.pipeline.clock
        sleep = clock.sleep
        worker = stores_of_worker(system.engines, name=None, clock=clock)

        async def mends_meanwhile(seconds: float) -> None:
            pointer = Pointer(system.pushed.post_id, "alice")
            await worker.timelines.push([pointer], ["bob"])
            await sleep(seconds)

        clock.sleep = mends_meanwhile  # type: ignore[method-assign]
        assert (await system.audit()).wrong_users == 0
        assert clock.slept_s == [AGAIN_AFTER_S]


async def test_an_engine_that_stays_away_ends_a_round_and_not_the_audit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with a_system() as system:
        chosen, clock = Chosen(everyone=True), system.pipeline.clock
        await a_missing_timeline_row(system)
        await _round(system.engines, SETTINGS, chosen, clock)
        assert REGISTRY.get_sample_value("fanfold_audit_wrong_ratio", {"what": "missing"})
        assert REGISTRY.get_sample_value("fanfold_audit_users") == len(READERS)

        async def away(*_: object, **__: object) -> None:
            raise Unavailable("away")

        monkeypatch.setattr(system.tables.posts, "by_author", away)
        await _round(system.engines, SETTINGS, chosen, clock)
        assert REGISTRY.get_sample_value("fanfold_audit_rounds_total", {"result": "unavailable"})


# --- which users -----------------------------------------------------------------------------------------


async def test_a_sample_has_as_many_users_as_asked_for_and_none_twice() -> None:
    async with a_pipeline(SETTINGS) as pipeline:
        readers = [f"{letter}-reader" for letter in "0369cfimpsvz"]
        await pipeline.handle(*(a_follow(reader) for reader in readers))
        follows = pipeline.stores.follows
        for count in (1, 5, len(readers), 100):
            found = [user async for user in users.sample(follows, count)]
            assert len(found) == len(set(found)) == min(count, len(readers))
        assert [user async for user in users.everyone(follows)] == readers


@pytest.mark.parametrize(("text", "s"), [("30s", 30), ("1.5m", 90), ("2h", 7200)])
def test_a_duration_has_a_unit(text: str, s: float) -> None:
    assert seconds(text) == s


@pytest.mark.parametrize("text", ["30", "0s", "-1s", "1d", ""])
def test_another_duration_is_refused(text: str) -> None:
    with pytest.raises(Fault, match="expected a duration"):
        seconds(text)


# --- rebuild ---------------------------------------------------------------------------------------------


async def test_a_lost_timeline_is_rebuilt_from_the_tables() -> None:
    async with a_system() as system:
        later = [a_post(ms=START_MS + n) for n in range(10, 20)]
        await system.pipeline.handle(*later)
        await a_missing_timeline_row(system)
        await system.tables.timelines.push([Pointer(later[0].post_id, "nova")], ["bob"])
        await system.read()

        clock = system.pipeline.clock
        rebuilt = await rebuild_timeline("bob", system.engines, SETTINGS, clock=clock)
        assert (rebuilt.pushed, rebuilt.corrected, rebuilt.materialised) == (10, 1, [])
        expected = [post.post_id for post in [*reversed(later), system.pushed]]
        assert await system.pipeline.timeline("bob") == expected
        assert (await system.audit()).wrong_users == 0
        again = await rebuild_timeline("bob", system.engines, SETTINGS, clock=clock)
        assert (again.pushed, again.corrected) == (0, 0)


async def test_a_backfill_that_was_lost_is_finished_by_a_rebuild() -> None:
    async with a_system() as system:
        await system.pipeline.handle(*(a_post(by="zoe", ms=START_MS - n) for n in range(1, 100)))
        await system.pipeline.handle(a_post(by="zoe", ms=START_MS - 100))
        await system.pipeline.append(a_follow("bob", "zoe"))
        worker = system.pipeline.worker()
        while await system.pipeline.step(worker, "graph.v1", limit=10):
            pass  # the command that would go on is lost
        clock = system.pipeline.clock
        rebuilt = await rebuild_timeline("bob", system.engines, SETTINGS, clock=clock)
        assert (rebuilt.pushed, rebuilt.materialised) == (100, ["zoe"])
        assert (await system.tables.follows.following("bob"))["zoe"].materialised
        assert (await system.audit()).wrong_users == 0


async def test_the_timeline_of_a_sleeper_is_left_to_the_awakening() -> None:
    async with a_system() as system:
        await system.pipeline.handle(UserFellAsleep(user_id="bob", fell_asleep_at=at(START_MS)))
        clock = system.pipeline.clock
        rebuilt = await rebuild_timeline("bob", system.engines, SETTINGS, clock=clock)
        assert (rebuilt.asleep, rebuilt.pushed) == (True, 0)
        assert rebuilt.describe().startswith("asleep")


async def test_a_follow_whose_later_event_one_side_lacks_is_mended_by_that_event() -> None:
    async with a_system() as system:
        # The followee's side knows of an unfollow that the follower's side lacks.
        gone = FollowerEdge("bob", 0, False, START_MS, 0, 10_000)
        await system.tables.follows.write_followers("alice", [gone])
        await system.pipeline.handle(a_post(ms=START_MS + 5))
        mended = await system.audit("bob", repair=True)
        assert (mended.wrong_users, mended.repaired_users) == (0, 1)
        assert not (await system.tables.follows.following("bob"))["alice"].active


# --- the commands ----------------------------------------------------------------------------------------


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, [*arguments])


@pytest.fixture
def commands_use(monkeypatch: pytest.MonkeyPatch) -> Callable[[Engines], None]:
    def use(opened: Engines) -> None:
        @asynccontextmanager
        async def real(*_: object, **__: object) -> AsyncIterator[Engines]:
            yield opened

        monkeypatch.setattr(stacks, "real", real)
        monkeypatch.setattr("fanfold.ops.looked_at.settings_of", lambda _: SETTINGS)

    return use


async def test_the_commands_report_and_mend_on_the_engines(
    commands_use: Callable[[Engines], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_system() as system:
        clock = system.pipeline.clock
        monkeypatch.setattr("fanfold.ops.audit.command.SystemClock", lambda: clock)
        monkeypatch.setattr("fanfold.ops.rebuild.SystemClock", lambda: clock)
        # Nobody watches the epoch of a cache here.
        commands_use(Engines(system.engines.log, system.engines.stores))
        await a_missing_timeline_row(system)
        data = ("--data", str(tmp_path))

        found = await asyncio.to_thread(run, "audit", "--all", "--json", *data)
        assert found.exit_code == 1, found.output
        document = json.loads(found.stdout)
        assert document["wrong"]["missing"] == 2
        assert document["examples"][0]["cause"] == "timeline-row-missing"

        rebuilt = await asyncio.to_thread(run, "rebuild", "bob", "--json", *data)
        assert json.loads(rebuilt.stdout)["pushed"] == 1, rebuilt.output
        right = await asyncio.to_thread(run, "audit", "--user", "bob", *data)
        assert (right.exit_code, "right" in right.output) == (0, True)

        await a_missing_timeline_row(system)
        mended = await asyncio.to_thread(run, "audit", "--user", "bob", "--repair", *data)
        assert mended.exit_code == 0, mended.output
        assert f"mended: put {system.pushed.post_id} into the timeline of bob" in mended.output


@pytest.mark.parametrize(("users", "shown"), [(0, []), (4, ["not finished"])])
async def test_an_audit_that_an_engine_ended_calls_no_feed_right(
    commands_use: Callable[[Engines], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    users: int,
    shown: list[str],
) -> None:
    async def some_and_then_away(**_: object) -> AsyncIterator[str]:
        for number in range(users):
            yield f"user{number}"
        raise Unavailable("away")

    async with a_system() as system:
        commands_use(Engines(system.engines.log, system.engines.stores))
        monkeypatch.setattr(system.tables.follows, "all_follower_ids", some_and_then_away)
        cut_short = await asyncio.to_thread(run, "audit", "--all", "--data", str(tmp_path))
    assert cut_short.exit_code == 75
    lines = cut_short.output.splitlines()
    assert [line for line in lines if line in {"right", "wrong", "not finished"}] == shown
    assert any("4 feeds" in line for line in lines) == bool(users)


async def test_an_audit_that_runs_on_serves_its_rates_as_metrics(
    commands_use: Callable[[Engines], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_system() as system:
        clock, port = system.pipeline.clock, free_port()
        monkeypatch.setattr("fanfold.ops.audit.command.SystemClock", lambda: clock)
        commands_use(Engines(system.engines.log, system.engines.stores))
        served = SETTINGS.model_copy(update={"metrics_port": port})
        monkeypatch.setattr("fanfold.ops.looked_at.settings_of", lambda _: served)
        await a_missing_timeline_row(system)
        running = asyncio.create_task(_audit(tmp_path, Chosen(everyone=True), 30.0))
        async with httpx2.AsyncClient() as client:

            async def served_rates() -> bool:
                try:
                    text = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
                except httpx2.TransportError:
                    return False
                return 'fanfold_audit_wrong_ratio{what="missing"} 0.3' in text

            await eventually(served_rates, within_s=30, what="the rates are served")
        assert not running.done(), "it runs on, though feeds are wrong"
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_the_embedded_stack_is_audited_and_not_repaired(tmp_path: Path) -> None:
    async with SqliteLog(tmp_path / "log.sqlite", clock=SystemClock(), source="test") as log:
        now = at(SystemClock().now_ms())
        await log.append(a_follow("bob").model_copy(update={"followed_at": now}))
    data = ("--data", str(tmp_path))
    audited = await asyncio.to_thread(run, "audit", "--all", *data)
    assert audited.exit_code == 0, audited.output
    again = await asyncio.to_thread(run, "audit", "--every", "30s", *data)
    assert "the same copy" in str(again.exception)
    refused = await asyncio.to_thread(run, "audit", "--repair", *data)
    assert isinstance(refused.exception, Fault)
    assert "restart it" in str(refused.exception)
